package rooms

import (
	"errors"
	"fmt"
)

// Config bounds rooms. Rooms, inboxes and ids are counted per partition of weir.messages, so that all instances agree.
type Config struct {
	// History is how many messages of a room are kept, HistoryBytes how large they may be together.
	History      int `koanf:"history"`
	HistoryBytes int `koanf:"history_bytes"`
	// ReadBack is how many records of its partition a room's history is looked for in, for those who come back; 0: none.
	ReadBack int `koanf:"read_back"`
	// Rooms is how many there may be; those without members are forgotten for others. RoomsPerTenant is how many of one tenant
	// may have members or bans; 0: nine tenths of Rooms.
	Rooms          int `koanf:"rooms"`
	RoomsPerTenant int `koanf:"rooms_per_tenant"`
	// Members is how many sessions a room may have.
	Members int `koanf:"members"`
	// RoomsPerSession is how many rooms a session may be in.
	RoomsPerSession int `koanf:"rooms_per_session"`
	// Inbox is how many messages wait for a user, Inboxes for how many users.
	Inbox   int `koanf:"inbox"`
	Inboxes int `koanf:"inboxes"`
	// IDs is how many ids of messages are known as sent.
	IDs int `koanf:"ids"`
}

// DefaultConfig is what an installation without configuration runs with.
func DefaultConfig() Config {
	return Config{
		History: 100, HistoryBytes: 256 << 10, Rooms: 1000, Members: 1000, RoomsPerSession: 100,
		Inbox: 100, Inboxes: 1000, ReadBack: 20_000, IDs: 20_000,
	}
}

// Validate names every field that cannot work.
func (c Config) Validate() error {
	var errs []error
	for _, f := range []struct {
		name               string
		value, least, most int
	}{
		{"history", c.History, 1, 1000}, {"history_bytes", c.HistoryBytes, 1, 64 << 20}, {"read_back", c.ReadBack, 0, 1 << 20},
		{"rooms", c.Rooms, 1, 1 << 20}, {"rooms_per_tenant", c.RoomsPerTenant, 0, c.Rooms}, {"members", c.Members, 1, 1 << 20}, {"rooms_per_session", c.RoomsPerSession, 1, 10_000},
		{"inbox", c.Inbox, 1, 1000}, {"inboxes", c.Inboxes, 1, 1 << 20}, {"ids", c.IDs, 1, 1 << 24},
	} {
		if f.value < f.least || f.value > f.most {
			errs = append(errs, fmt.Errorf("%s: must be between %d and %d, is %d", f.name, f.least, f.most, f.value))
		}
	}
	return errors.Join(errs...)
}

// usedByOne is how many rooms of one tenant may be in use.
func (c Config) usedByOne() int {
	if c.RoomsPerTenant > 0 {
		return c.RoomsPerTenant
	}
	return max(1, c.Rooms*9/10)
}
