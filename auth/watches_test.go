package auth

import (
	"testing"
	"time"

	"weir/wire"
)

func TestAWatchEndsOnce(t *testing.T) {
	w := newWatches(time.Now)
	ends := 0
	over := func(*Principal) (time.Time, *wire.Error) {
		return time.Time{}, wire.NewError(wire.CodeTokenExpired, "")
	}
	holds := func(*Principal) (time.Time, *wire.Error) { return time.Now().Add(time.Hour), nil }
	one := w.add(&Principal{Subject: "bob"}, holds, func(*wire.Error) { ends++ })
	w.add(&Principal{Subject: "ada"}, over, func(*wire.Error) { ends++ })
	w.expire()
	for range 2 {
		w.review(nameOf(revokeSubject, "bob"), over)
		w.stop(one)
		w.expire()
	}
	if ends != 2 || w.len() != 0 || len(w.byTime) != 0 || len(w.byName) != 0 {
		t.Errorf("%d ends of 2 watches; %d are left, %d of them in the heap", ends, w.len(), len(w.byTime))
	}
}

func TestARevocationLooksOnlyAtTheWatchesItNames(t *testing.T) {
	w := newWatches(time.Now)
	asked := 0
	v := func(*Principal) (time.Time, *wire.Error) { asked++; return time.Time{}, nil }
	var stops []*watch
	for range 1000 {
		stops = append(stops, w.add(&Principal{Subject: "key1", KeyID: "key1"}, v, func(*wire.Error) {}))
	}
	one := w.add(&Principal{Subject: "bob", TokenID: "t", Family: "f", parent: "root"}, v, func(*wire.Error) {})
	for name, want := range map[string]int{
		nameOf(revokeToken, "t"): 1, nameOf(revokeToken, "root"): 1, nameOf(revokeFamily, "f"): 1, nameOf(revokeSubject, "bob"): 1,
		nameOf(revokeKey, "key1"): 1000, nameOf(revokeToken, "of nobody"): 0,
	} {
		asked = 0
		if w.review(name, v); asked != want {
			t.Errorf("%s: %d watches were looked at, want %d", name, asked, want)
		}
	}
	for _, s := range append(stops, one) {
		w.stop(s)
		w.stop(s)
	}
	if len(w.byName) != 0 || w.len() != 0 {
		t.Errorf("%d names of %d watches are kept", len(w.byName), w.len())
	}
}
