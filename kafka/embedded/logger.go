package embedded

import (
	"context"
	"fmt"
	"log/slog"
	"strings"

	"github.com/twmb/franz-go/pkg/kfake"
)

// logger passes kfake's messages on and listens for the one thing kfake tells nobody else: that it could
// not write. It acknowledges group offsets and producer epochs all the same, and answers a retry of a batch
// it could not write as a duplicate, so the broker stops at the first such message (see [Broker.Failed]).
type logger struct {
	log  *slog.Logger
	fail func(error)
}

var levels = map[kfake.LogLevel]slog.Level{
	kfake.LogLevelError: slog.LevelError,
	kfake.LogLevelWarn:  slog.LevelWarn,
}

// Logf is called in the broker's own goroutine.
func (l *logger) Logf(level kfake.LogLevel, format string, args ...any) {
	to, important := levels[level]
	if !important {
		to = slog.LevelDebug // its "info" is one line per request
	}
	if important && strings.HasPrefix(format, "persist ") {
		l.fail(fmt.Errorf(strings.ReplaceAll(format, "%v", "%w"), args...))
	}
	ctx := context.Background()
	if l.log.Enabled(ctx, to) {
		l.log.Log(ctx, to, "kfake", "message", fmt.Sprintf(format, args...))
	}
}
