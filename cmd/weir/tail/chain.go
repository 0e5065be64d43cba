package tail

import "weir/telemetry"

// chain proves that nothing is missing: per view and series the last version seen. It is of one
// connection.
type chain map[int]map[string]telemetry.Version

// begin forgets a view; its snapshot follows.
func (c chain) begin(view int) { c[view] = make(map[string]telemetry.Version) }

// follow takes an update of a view and tells how it relates to what was seen before, and what that was.
// After a gap or an overlap the chain goes on from the update.
func (c chain) follow(view int, u *telemetry.Update) (telemetry.Relation, telemetry.Version) {
	if c[view] == nil {
		c.begin(view)
	}
	seen, known := c[view][u.Series]
	if !known {
		seen = telemetry.NoVersion
	}
	relation := u.Follow(seen)
	if relation != telemetry.Replay {
		c[view][u.Series] = u.Version
	}
	return relation, seen
}

// set takes a snapshot's row, which begins the chain of its series.
func (c chain) set(view int, u *telemetry.Update) {
	c[view][u.Series] = u.Version
}
