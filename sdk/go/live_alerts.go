package device

import "weir/telemetry"

// maxEndedAlerts is how many alerts that ended are remembered, the newest: a subscription that goes on from a cursor, or
// begins anew, may be told again what was told before it.
const maxEndedAlerts = 1024

// alertBook knows which transitions were told: the newest of each alert that is open, or ended lately.
type alertBook struct {
	told  map[string]Version
	ended []string // ids, oldest first
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
	if b.ended = append(b.ended, id); len(b.ended) > maxEndedAlerts {
		delete(b.told, b.ended[0])
		b.ended = b.ended[1:]
	}
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
	for _, id := range b.ended {
		delete(over, id)
	}
	for id := range over {
		b.end(id)
	}
}
