package device

import "weir/telemetry"

// maxEndedAlerts is how many alerts that ended are remembered, the newest: a subscription that goes on from a cursor, or
// begins anew, may be told again what was told before it. Those that ended since the second cursor before the newest
// are remembered however many there are: alerts go past frames that wait, of which there may be two.
const maxEndedAlerts = 1024

// alertBook knows which transitions were told: the newest of each alert that is open, or ended lately.
type alertBook struct {
	told  map[string]Version
	ended []endedAlert // oldest first
	// cursors counts those that came.
	cursors int
}

// endedAlert is one that ended when so many cursors had come.
type endedAlert struct {
	id      string
	cursors int
}

// settle notes a cursor.
func (b *alertBook) settle() {
	b.cursors++
	b.forget()
}

func (b *alertBook) forget() {
	for len(b.ended) > maxEndedAlerts && b.ended[0].cursors+3 <= b.cursors {
		delete(b.told, b.ended[0].id)
		b.ended = b.ended[1:]
	}
}

// isNew reports whether a transition was not told before.
func (b *alertBook) isNew(a *Alert) bool {
	told, known := b.told[a.ID]
	return !known || a.Version > told
}

// enter notes a transition that is told.
func (b *alertBook) enter(a *Alert) {
	if b.told == nil {
		b.told = make(map[string]Version)
	}
	b.told[a.ID] = a.Version
	if a.Phase == telemetry.Resolved {
		b.end(a.ID)
	}
}

func (b *alertBook) end(id string) {
	b.ended = append(b.ended, endedAlert{id, b.cursors})
	b.forget()
}

// stillOpen are the alerts that are open after some transitions, in order.
func stillOpen(transitions []Alert) (open []Alert) {
	newest := make(map[string]int, len(transitions))
	for i := range transitions {
		newest[transitions[i].ID] = i
	}
	for i := range transitions {
		if a := &transitions[i]; newest[a.ID] == i && a.Phase != telemetry.Resolved {
			open = append(open, *a)
		}
	}
	return open
}

// retain takes for ended what is open no more: a snapshot has said which are.
func (b *alertBook) retain(open []Alert) {
	over := make(map[string]bool, len(b.told))
	for id := range b.told {
		over[id] = true
	}
	for i := range open {
		delete(over, open[i].ID)
	}
	for _, e := range b.ended {
		delete(over, e.id)
	}
	for id := range over {
		b.end(id)
	}
}
