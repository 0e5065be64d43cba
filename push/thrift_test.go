package push

import (
	"errors"
	"testing"
	"time"

	"weir/wire"
)

func TestTheLogIsNotReadAgainAndAgain(t *testing.T) {
	k := newKafka(t, 1)
	k.marker(0, wire.Marker{})
	k.updates(0, 1, single("p/a/m", 0, 1))
	next := k.updates(0, 1, single("p/a/m", 1, 2)) + 1
	src := newSource(k.start(nil), k.client)
	got, err := src.readBack(t.Context(), wire.TopicUpdates, 0, 0, next)
	if err != nil || len(got) != 2 {
		t.Fatalf("%d records, %v", len(got), err)
	}
	if m := src.hub.m; m.readBacks.Get() != 1 || m.readBackBytes.Get() == 0 {
		t.Errorf("%d readings of %d bytes are counted", m.readBacks.Get(), m.readBackBytes.Get())
	}
	src.thrift.bucket.rate = 0
	for src.thrift.take(time.Now()) {
	}
	if _, err := src.readBack(t.Context(), wire.TopicUpdates, 0, 0, next); !errors.Is(err, errTooOld) {
		t.Errorf("too much was read, and more is: %v", err)
	}
}

func TestThriftCountsWhatIsRead(t *testing.T) {
	now := time.Unix(1, 0)
	th := newThrift(now)
	r := th.begin(func() time.Time { return now })
	read := 0
	for r.spend(thriftUnit) {
		read += thriftUnit
	}
	if want := (thriftBurst - 1) * thriftUnit; read != want {
		t.Errorf("%d bytes are read at once, not %d", read, want)
	}
	now = now.Add(time.Second)
	again := th.begin(func() time.Time { return now })
	read = 0
	for again.spend(1000) {
		read += 1000
	}
	if want := thriftRate * thriftUnit; read < want-thriftUnit || read > want {
		t.Errorf("%d bytes are read in a second, not about %d", read, want)
	}
}
