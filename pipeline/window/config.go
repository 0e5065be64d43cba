package window

import (
	"errors"
	"time"
)

// Bounds of Config.Window. Below the lower one a pane would be narrower than the clock's microsecond
// allows to tell apart.
const (
	MinWindow = time.Millisecond
	MaxWindow = 24 * time.Hour
)

// Config sets the moving average of the live path.
type Config struct {
	// Window is how far back, in source time, the average looks.
	Window time.Duration `koanf:"window"`
}

// DefaultConfig averages over the last minute.
func DefaultConfig() Config { return Config{Window: time.Minute} }

// Validate names the field that is wrong.
func (c Config) Validate() error {
	if c.Window < MinWindow || c.Window > MaxWindow {
		return errors.New("window: must be between 1ms and 24h")
	}
	return nil
}
