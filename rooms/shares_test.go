package rooms

import (
	"cmp"
	"fmt"
	"reflect"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"weir/wire"
)

// holdings are what there is of each kind, by name: whose it is.
type holdings struct{ lived, shut, idle, inboxes, ids map[string]string }

func holdingsOf(s *state) holdings {
	h := holdings{map[string]string{}, map[string]string{}, map[string]string{}, map[string]string{}, map[string]string{}}
	for name, r := range s.rooms {
		map[standing]map[string]string{lived: h.lived, shut: h.shut, idle: h.idle}[r.among][name] = tenantOf(name)
	}
	for name := range s.inboxes {
		h.inboxes[name] = tenantOf(name)
	}
	for key, p := range s.ids.places {
		h.ids[key.path+" "+key.user+" "+key.id] = p.in.tenant
	}
	return h
}

func countOf(kinds ...map[string]string) map[string]int {
	out := map[string]int{}
	for _, things := range kinds {
		for _, tenant := range things {
			out[tenant]++
		}
	}
	return out
}

// drawRecord is a record of one of a few tenants, of which the first does the most. next is its offset, at its time.
func drawRecord(t *rapid.T, next, at int64) *wire.RoomRecord {
	tenant := rapid.SampledFrom([]string{"a", "a", "a", "b", "b", "c", "d"}).Draw(t, "tenant")
	room := fmt.Sprintf("%s/%d", tenant, rapid.IntRange(0, 9).Draw(t, "room"))
	reader := fmt.Sprintf("%s/_users/%d", tenant, rapid.IntRange(0, 9).Draw(t, "reader"))
	session := fmt.Sprintf("s%d", rapid.IntRange(0, 1).Draw(t, "session"))
	user := tenant + "/_users/" + session
	kind := rapid.SampledFrom([]string{"join", "join", "leave", "message", "message", "ban", "ban", "kick", "ack"}).Draw(t, "kind")
	r := &wire.RoomRecord{Kind: kind, Room: room, User: user, Session: session, Node: "n", Until: at + rapid.Int64Range(1, 400e6).Draw(t, "for")}
	switch kind {
	case wire.RecordMessage:
		to := rapid.SampledFrom([]wire.Target{{Room: room}, {User: reader}}).Draw(t, "to")
		r = &wire.RoomRecord{Kind: kind, Message: &wire.MessageValue{
			Target: to, ID: fmt.Sprint(next - rapid.Int64Range(0, 6).Draw(t, "again")), Type: "t", From: wire.Sender{User: user},
			Ephemeral: rapid.IntRange(0, 4).Draw(t, "ephemeral") == 0}}
	case wire.RecordBan, wire.RecordKick:
		r.ID, r.From.User = fmt.Sprint(next-rapid.Int64Range(0, 6).Draw(t, "again")), user
	case wire.RecordAck:
		r.User, r.Version = reader, versionOf(next-10)
	}
	return r
}

// checkParts fails if something went for another tenant whose own had less than an even part of it, or no more than that one.
func checkParts(t *rapid.T, by string, count map[string]int, places int, before, after map[string]string) {
	present := len(count)
	if count[by] == 0 {
		present++
	}
	for name, tenant := range before {
		if _, kept := after[name]; !kept && tenant != by && (count[tenant]*present < places || count[tenant] <= count[by]) {
			t.Fatalf("%s went for %s, of %d places and %v", name, by, places, count)
		}
	}
}

// checkBounds fails if a state has more than it may have, or has lost count.
func checkBounds(t *rapid.T, s *state) {
	h := holdingsOf(s)
	rooms, used, held := countOf(h.lived, h.shut, h.idle), countOf(h.lived, h.shut), 0
	for _, r := range s.rooms {
		if r.standing() != r.among {
			t.Fatalf("%s: %d, should be %d", r.name, r.among, r.standing())
		}
		if r.held > 0 {
			held++
		}
	}
	if len(s.rooms) > s.cfg.Rooms || len(s.inboxes) > s.cfg.Inboxes || len(s.ids.places) > s.cfg.IDs || len(s.tenants) != len(rooms) {
		t.Fatalf("%d rooms, %d inboxes, %d ids, %d tenants", len(s.rooms), len(s.inboxes), len(s.ids.places), len(s.tenants))
	}
	for name, tenant := range s.tenants {
		if tenant.rooms != rooms[name] || tenant.used != used[name] || tenant.used > s.cfg.usedByOne() {
			t.Fatalf("%s: %+v, want %d rooms and %d in use", name, tenant, rooms[name], used[name])
		}
	}
	if s.idle.count != len(h.idle) || s.shut.count != len(h.shut) || len(s.ends) != held || s.waiting.count != len(h.inboxes) || s.ids.shares.count != len(h.ids) {
		t.Fatalf("%d idle, %d shut, %d with bans; %+v", s.idle.count, s.shut.count, len(s.ends), h)
	}
}

// checkRecord applies a record to a state that has forgotten the bans that have ended, and checks what was lost for it.
func checkRecord(t *rapid.T, s *state, at int64, r *wire.RoomRecord) {
	by, before := tenantOf(recordKey(r)), holdingsOf(s)
	full := len(before.idle) == 0 && len(s.rooms) == s.cfg.Rooms
	used := countOf(before.lived, before.shut)
	out := s.apply(s.next, at, r)
	after := holdingsOf(s)
	checkParts(t, by, countOf(before.idle), len(before.idle), before.idle, after.all())
	checkParts(t, by, used, s.cfg.Rooms, before.shut, after.all())
	checkParts(t, by, countOf(before.inboxes), s.cfg.Inboxes, before.inboxes, after.inboxes)
	checkParts(t, by, countOf(before.ids), s.cfg.IDs, before.ids, after.ids)
	for _, kind := range []map[string]string{before.lived, before.shut} {
		for name, tenant := range kind {
			own := name != recordKey(r) && tenant == by
			if _, kept := after.all()[name]; !kept && (own || name != recordKey(r) && before.lived[name] != "") {
				t.Fatalf("%s in use went for %+v", name, r)
			}
		}
	}
	if e := out.refusal; e != nil && e.Code == wire.CodeRoomsTooMany && !full && used[by] < s.cfg.usedByOne() {
		t.Fatalf("%+v was refused: %+v", r, before)
	}
	checkBounds(t, s)
}

// all are the rooms of any standing.
func (h holdings) all() map[string]string {
	out := map[string]string{}
	for _, kind := range []map[string]string{h.lived, h.shut, h.idle} {
		for name, tenant := range kind {
			out[name] = tenant
		}
	}
	return out
}

// TestTenantsKeepTheirParts applies records of several tenants: who has no more than an even part loses nothing to others, what
// is in use is kept but for bans of who has more, and who reads the log another time comes to the same.
func TestTenantsKeepTheirParts(t *testing.T) {
	cfg := DefaultConfig()
	cfg.Rooms, cfg.RoomsPerTenant, cfg.Members, cfg.Inboxes, cfg.IDs, cfg.History = 8, 6, 2, 6, 7, 2
	var rooms, bans, inboxes uint64
	rapid.Check(t, func(t *rapid.T) {
		type stored struct {
			at int64
			r  *wire.RoomRecord
		}
		s, again := newState(cfg), newState(cfg)
		var log []stored
		for i := range int64(rapid.IntRange(1, 200).Draw(t, "records")) {
			at := i*4e6 - rapid.Int64Range(0, 8e6).Draw(t, "late")
			nothing := &wire.RoomRecord{Kind: wire.RecordAck, User: "_users/nobody", Version: 1}
			s.apply(s.next, at, nothing) // forgets the bans that have ended
			r := drawRecord(t, s.next, at)
			log = append(log, stored{at, nothing}, stored{at, r})
			checkRecord(t, s, at, r)
		}
		for _, record := range log {
			again.apply(again.next, record.at, record.r)
		}
		if !reflect.DeepEqual(s, again) {
			t.Fatalf("the log comes to %+v and to %+v", holdingsOf(s), holdingsOf(again))
		}
		rooms, bans, inboxes = rooms+s.lost.rooms.Get(), bans+s.lost.bans.Get(), inboxes+s.lost.inboxes.Get()
	})
	if rooms == 0 || bans == 0 || inboxes == 0 {
		t.Errorf("only %d rooms, %d bans and %d inboxes had to make room", rooms, bans, inboxes)
	}
}

// freshen are records without ids that use all rooms and inboxes of a state once more, in the order in which they were used.
func freshen(s *state) (log []*wire.RoomRecord) {
	type use struct {
		version int64
		records []*wire.RoomRecord
	}
	var uses []use
	say := func(to wire.Target) *wire.RoomRecord {
		return &wire.RoomRecord{Kind: wire.RecordMessage, Message: &wire.MessageValue{Target: to, Type: "t"}}
	}
	for name, r := range s.rooms {
		u := use{version: r.place.used}
		for user, until := range r.bans {
			u.records = append(u.records, &wire.RoomRecord{Kind: wire.RecordBan, Room: name, User: user, Until: until})
		}
		for session, m := range r.members {
			u.records = append(u.records, &wire.RoomRecord{Kind: wire.RecordJoin, Room: name, User: m.User, Session: session, Node: "n"})
		}
		if len(r.history.messages) > 0 {
			u.records = append(u.records, say(wire.Target{Room: name}))
		}
		uses = append(uses, u)
	}
	for user, in := range s.inboxes {
		uses = append(uses, use{in.place.used, []*wire.RoomRecord{say(wire.Target{User: user})}})
	}
	slices.SortFunc(uses, func(a, b use) int { return cmp.Compare(a.version, b.version) })
	for _, u := range uses {
		log = append(log, u.records...)
	}
	return log
}

// TestWhoReadsTheLogFromLaterAgreesOnceAllWasUsed reads the log from a record on behind which all that is kept is used again.
func TestWhoReadsTheLogFromLaterAgreesOnceAllWasUsed(t *testing.T) {
	cfg := DefaultConfig()
	cfg.Rooms, cfg.RoomsPerTenant, cfg.Members, cfg.Inboxes, cfg.History, cfg.Inbox = 8, 6, 2, 6, 1, 1
	const at = 1e6 // no ban ends meanwhile
	var lost uint64
	rapid.Check(t, func(t *rapid.T) {
		whole, later := newState(cfg), newState(cfg)
		draw := func() *wire.RoomRecord {
			r := drawRecord(t, whole.next, at)
			if r.ID = ""; r.Message != nil {
				r.Message.ID = ""
			}
			return r
		}
		both := func(r *wire.RoomRecord) {
			offset := whole.next
			one, two := whole.apply(offset, at, r), later.apply(offset, at, r)
			if fmt.Sprint(one.refusal) != fmt.Sprint(two.refusal) {
				t.Fatalf("%+v came to %v, and from later to %v", r, one.refusal, two.refusal)
			}
		}
		for range rapid.IntRange(1, 100).Draw(t, "before") {
			whole.apply(whole.next, at, draw())
		}
		for _, r := range freshen(whole) {
			both(r)
		}
		before := whole.lost.rooms.Get() + whole.lost.inboxes.Get()
		for range rapid.IntRange(1, 100).Draw(t, "after") {
			both(draw())
		}
		if one, two := holdingsOf(whole), holdingsOf(later); !reflect.DeepEqual(one, two) {
			t.Fatalf("%+v, and from later %+v", one, two)
		}
		lost += whole.lost.rooms.Get() + whole.lost.inboxes.Get() - before
	})
	if lost == 0 {
		t.Error("nothing had to make room")
	}
}
