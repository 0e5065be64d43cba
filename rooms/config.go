package rooms

import (
	"errors"
	"fmt"
)

// Config bounds rooms. Rooms, inboxes and ids are counted per partition of weir.messages, so that all instances agree.
type Config struct {
	// History is how many messages of a room are kept, HistoryBytes how large they may be together.
	History      int
	HistoryBytes int
	// Rooms is how many there may be; those without members are forgotten first.
	Rooms int
	// Members is how many sessions a room may have.
	Members int
	// RoomsPerSession is how many rooms a session may be in.
	RoomsPerSession int
	// Inbox is how many messages wait for a user, Inboxes for how many users.
	Inbox, Inboxes int
	// IDs is how many ids of messages are known as sent.
	IDs int
}

// DefaultConfig is what an installation without configuration runs with.
func DefaultConfig() Config {
	return Config{
		History: 100, HistoryBytes: 256 << 10, Rooms: 1000, Members: 1000, RoomsPerSession: 100,
		Inbox: 100, Inboxes: 1000, IDs: 20_000,
	}
}

// Validate names every field that cannot work.
func (c Config) Validate() error {
	var errs []error
	for _, f := range []struct {
		name        string
		value, most int
	}{
		{"history", c.History, 1000}, {"history_bytes", c.HistoryBytes, 64 << 20}, {"rooms", c.Rooms, 1 << 20},
		{"members", c.Members, 1 << 20}, {"rooms_per_session", c.RoomsPerSession, 10_000}, {"inbox", c.Inbox, 1000},
		{"inboxes", c.Inboxes, 1 << 20}, {"ids", c.IDs, 1 << 24},
	} {
		if f.value < 1 || f.value > f.most {
			errs = append(errs, fmt.Errorf("%s: must be between 1 and %d, is %d", f.name, f.most, f.value))
		}
	}
	return errors.Join(errs...)
}
