//go:build soak

package soak

import (
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"sync"

	device "weir/sdk/go"
)

// ledger is what a client was told, and checks it. The n-th reading of a device's "count" has the value n, so a row of
// (known, last] has n = last − known readings, from known+1 to last; anything lost, told twice or out of order is seen at once.
type ledger struct {
	mu     sync.Mutex // guards the following
	told   told
	newest map[string]device.Version // of alerts by id
	begun  bool
}

func newLedger(w way) ledger {
	return ledger{newest: map[string]device.Version{}, told: told{
		Name: w.Name, Follows: patternsOf(w),
		Known: map[string]uint64{}, Versions: map[string]device.Version{}, Heard: map[transition]int{}, Said: map[string][]said{},
	}}
}

func (l *ledger) hear(room string, m *device.Message) {
	var body struct{ N int }
	if err := json.Unmarshal(m.Payload, &body); err != nil {
		l.wrong("%s: message %s: %v", room, m.ID, err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.told.Said[room] = append(l.told.Said[room], said{m.ID, m.Version, body.N})
}

func (l *ledger) wrong(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.wrongLocked(fmt.Errorf(format, args...))
}

func (l *ledger) wrongLocked(err error) {
	if l.told.Fault == "" {
		l.told.Fault = err.Error()
	}
}

func (l *ledger) take(c *device.Changes) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if c.Resumed {
		l.told.Resumes++
	}
	if c.Reset {
		if l.begun {
			l.told.Resets++
		}
		l.begun = true
		clear(l.told.Known)
		clear(l.told.Versions)
		clear(l.told.Heard)
		clear(l.newest)
	}
	for i := range c.Rows {
		if err := l.row(&c.Rows[i], c.Reset); err != nil {
			l.wrongLocked(err)
		}
	}
	for i := range c.Alerts {
		a := &c.Alerts[i]
		if at, known := l.newest[a.ID]; known && a.Version <= at {
			l.wrongLocked(fmt.Errorf("alert %s: version %d after %d", a.ID, a.Version, at))
		}
		l.newest[a.ID] = a.Version
		l.told.Heard[transition{a.ID, a.Series, a.Version}]++
	}
}

func (l *ledger) row(u *device.Update, state bool) error {
	l.told.Rows++
	before, known := l.told.Versions[u.Series]
	l.told.Versions[u.Series] = u.Version
	if known && u.Since != before {
		return fmt.Errorf("%s: row (%d, %d] after %d", u.Series, u.Since, u.Version, before)
	}
	if !strings.HasSuffix(u.Series, "/count") {
		return nil
	}
	from, last := l.told.Known[u.Series], uint64(u.Last)
	l.told.Known[u.Series] = last
	if state && !known {
		return nil
	}
	l.told.Readings += int64(u.N)
	sum := float64(last*(last+1)/2) - float64(from*(from+1)/2)
	if u.N != last-from || u.Min != float64(from+1) || u.Max != float64(last) || math.Abs(u.Sum-sum) > 1e-9*sum {
		return fmt.Errorf("%s: after %d came n %d, min %v, max %v, last %v, sum %v", u.Series, from, u.N, u.Min, u.Max, u.Last, u.Sum)
	}
	return nil
}
