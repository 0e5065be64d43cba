package rooms

import (
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"weir/wire"
)

// said is a message in the log of a model.
type said struct {
	version int64
	room    string
}

// TestWhoComesBackMissesNothingUnlessToldSo draws messages to three rooms, of which two are remembered, and joins that
// know one of the versions: without a gap they are told all that came after it, with one the newest of that.
func TestWhoComesBackMissesNothingUnlessToldSo(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		cfg := DefaultConfig()
		cfg.History, cfg.Rooms = rapid.IntRange(1, 5).Draw(t, "history"), 2
		st, whole := newState(cfg), &stretch{}
		ids := map[string]bool{}
		var all []said
		for offset := range int64(rapid.IntRange(1, 40).Draw(t, "messages")) {
			room, id := rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "room"), fmt.Sprint(rapid.IntRange(0, 25).Draw(t, "id"))
			value := &wire.MessageValue{Target: wire.Target{Room: room}, ID: id, Type: "t", From: wire.Sender{User: "u"}}
			st.apply(offset, 1, &wire.RoomRecord{Kind: wire.RecordMessage, Message: value})
			message := &wire.RoomMessage{Target: value.Target, ID: id, Version: versionOf(offset), From: value.From}
			whole.to = offset + 1
			whole.messages = append(whole.messages, kept{message, 0}) // a repetition, too, as its first may be before the stretch
			if !ids[room+id] {
				ids[room+id] = true
				all = append(all, said{versionOf(offset), room})
			}
		}
		w := wanted{
			last: rapid.IntRange(0, 30).Draw(t, "last"), hasAfter: true,
			after: versionOf(int64(rapid.IntRange(0, int(whole.to)-1).Draw(t, "after"))), older: whole,
		}
		switch rapid.SampledFrom([]string{"whole", "none", "cut", "early"}).Draw(t, "read") {
		case "none":
			w.older = nil
		case "cut":
			from := rapid.Int64Range(0, whole.to).Draw(t, "from")
			w.older = &stretch{from: from, to: whole.to, messages: whole.messages[from:]}
		case "early":
			to := rapid.Int64Range(0, whole.to).Draw(t, "to")
			w.older = &stretch{to: to, messages: whole.messages[:to]}
		}
		st.apply(whole.to, 1, &wire.RoomRecord{Kind: wire.RecordJoin, Room: "a", User: "u", Session: "s", Node: "n"})
		var want, got []int64
		for _, s := range all {
			if s.room == "a" && s.version > w.after {
				want = append(want, s.version)
			}
		}
		messages, gap := st.missed(st.rooms["a"], w, cfg.HistoryBytes, 2)
		for _, m := range messages {
			got = append(got, m.Version)
		}
		if !gap && !slices.Equal(got, want) || !slices.Equal(got, want[max(0, len(want)-len(got)):]) {
			t.Fatalf("told %v (gap %v) of %v", got, gap, want)
		}
		if gap && w.older == whole && len(want) <= w.last {
			t.Fatalf("told of a gap, though all was there: %v of %v", got, want)
		}
	})
}

func TestWhoComesBackFromAnotherLogIsToldOfAGap(t *testing.T) {
	st := newState(DefaultConfig())
	st.apply(0, 1, &wire.RoomRecord{Kind: wire.RecordMessage, Message: &wire.MessageValue{Target: wire.Target{Room: "a"}, ID: "m", Type: "t"}})
	st.apply(1, 1, &wire.RoomRecord{Kind: wire.RecordJoin, Room: "a", User: "u", Session: "s", Node: "n"})
	for after, wantGap := range map[int64]bool{versionOf(0): false, versionOf(1): false, versionOf(900): true} {
		messages, gap := st.missed(st.rooms["a"], wanted{last: 10, after: after, hasAfter: true}, 1<<20, 2)
		if gap != wantGap || len(messages) == 1 != wantGap {
			t.Errorf("after %d: %d messages, gap %v", after, len(messages), gap)
		}
	}
}

func TestWhatIsToldToWhoComesBackIsBoundedInBytes(t *testing.T) {
	st := newState(DefaultConfig())
	for offset := range int64(4) {
		st.apply(offset, 1, &wire.RoomRecord{Kind: wire.RecordMessage, Message: &wire.MessageValue{
			Target: wire.Target{Room: "a"}, ID: fmt.Sprint(offset), Type: "t", Payload: make([]byte, 1000)}})
	}
	messages, gap := st.missed(st.rooms["a"], wanted{last: 10, hasAfter: true}, 2*(1000+overhead), 2)
	if !gap || len(messages) != 2 || messages[0].ID != "2" {
		t.Errorf("%d messages, gap %v", len(messages), gap)
	}
	st.holed = versionOf(2)
	if _, gap := st.missed(st.rooms["a"], wanted{last: 10, hasAfter: true, after: versionOf(1)}, 1<<20, 2); !gap {
		t.Error("what was lost to damage is no gap")
	}
}
