package device

import "weir/telemetry"

// alertBook knows which transitions were told. Those of open alerts are kept; those of alerts that ended, until they are
// surely before a cursor: a subscription that goes on from one may be told again what came since the cursor before.
type alertBook struct {
	open         map[string]Version
	ended, older map[string]Version
}

// isNew reports whether a transition was not told before.
func (b *alertBook) isNew(a *Alert) bool {
	for _, m := range []map[string]Version{b.open, b.ended, b.older} {
		if told, ok := m[a.ID]; ok && a.Version <= told {
			return false
		}
	}
	return true
}

// enter notes a transition that is told.
func (b *alertBook) enter(a *Alert) {
	if a.Phase != telemetry.Resolved {
		if b.open == nil {
			b.open = make(map[string]Version)
		}
		b.open[a.ID] = a.Version
		return
	}
	delete(b.open, a.ID)
	if b.ended == nil {
		b.ended = make(map[string]Version)
	}
	b.ended[a.ID] = a.Version
}

// settle notes a cursor. Alerts go past frames that wait, so those which ended since the cursor before are kept for one more.
func (b *alertBook) settle() {
	if len(b.ended)+len(b.older) > 0 {
		b.older, b.ended = b.ended, nil
	}
}

// retain forgets alerts that are open no more: a snapshot has said which are.
func (b *alertBook) retain(open []Alert) {
	told := b.open
	*b = alertBook{open: make(map[string]Version, len(open))}
	for i := range open {
		if version, ok := told[open[i].ID]; ok {
			b.open[open[i].ID] = version
		}
	}
}
