package ingest

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/lxzan/gws"

	"weir/wire"
)

const oneReading = `{"device":"plant1/press7","metric":"temperature","value":21.5}`

func TestAReceiptFollowsEveryFrameInOrder(t *testing.T) {
	p := &logProducer{hold: true}
	s := start(t, p)
	d := s.dial(t, "", nil)
	for i := range 20 {
		d.send(fmt.Sprintf(`{"device":"plant1/press%d","metric":"temperature","value":%d}`, i, i))
	}
	eventually(t, "all frames produced", func() bool { return p.asked() == 20 })
	d.silent("receipt before the acknowledgement")
	p.release() // the newest first
	for i := range 20 {
		r := d.receipt()
		if r.Frame != uint64(i+1) || r.Accepted != 1 || len(r.Rejected) != 0 || r.Credit != 64 {
			t.Fatalf("receipt %d: %+v", i+1, r)
		}
	}
	if n := s.count(`weir_ingest_receipt_writes_total`); n > 10 {
		t.Errorf("20 receipts that were ready together took %d writes", n)
	}
}

func TestAFrameOfSeveralDevicesWaitsForAllItsRecords(t *testing.T) {
	p := &logProducer{hold: true}
	s := start(t, p)
	d := s.dial(t, "", nil)
	var frame []string
	for i := range 10 {
		frame = append(frame, fmt.Sprintf(`{"device":"plant1/press%d","metric":"a","value":%d}`, i, i))
	}
	d.send("[" + strings.Join(frame, ",") + "]")
	eventually(t, "records produced", func() bool { return len(p.stored(wire.TopicReadings)) == 10 })
	if calls := p.asked(); calls > 4 {
		t.Errorf("10 devices in 4 partitions took %d produce calls", calls)
	}
	p.set(func(p *logProducer) { go p.held[0](); p.held = p.held[1:] })
	d.silent("receipt before the last acknowledgement")
	p.release()
	if r := d.receipt(); r.Accepted != 10 {
		t.Fatalf("receipt: %+v", r)
	}
}

func TestTheConnectionCanNameTheDevice(t *testing.T) {
	p := &logProducer{}
	s := start(t, p)
	d := s.dial(t, "?device=plant1/press7", nil)
	d.send(`{"metric":"temperature","value":21.5}`)
	if r := d.receipt(); r.Accepted != 1 {
		t.Fatalf("receipt: %+v", r)
	}
	if key := string(p.stored(wire.TopicReadings)[0].Key); key != "plant1/press7" {
		t.Errorf("key %q", key)
	}
	res, err := http.Get(s.url + "/v1/ingest?device=plant1/%23")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusBadRequest {
		t.Errorf("a wildcard as device: status %d", res.StatusCode)
	}
}

func TestAResentSeqIsADuplicateOnAnyConnection(t *testing.T) {
	p := &logProducer{}
	s := start(t, p)
	frame := `{"device":"plant1/press7","session":"boot1","seq":%d,"readings":[{"metric":"a","value":1},{"metric":"b","value":2}]}`
	first := s.dial(t, "", nil)
	first.send(fmt.Sprintf(frame, 7))
	if r := first.receipt(); r.Accepted != 2 || r.Seq != 7 || !r.HasSeq {
		t.Fatalf("first: %+v", r)
	}
	second := s.dial(t, "", nil)
	second.send(fmt.Sprintf(frame, 7))
	if r := second.receipt(); r.Accepted != 0 || r.Duplicate != 2 {
		t.Fatalf("resent: %+v", r)
	}
	second.send(fmt.Sprintf(frame, 8))
	if r := second.receipt(); r.Accepted != 2 || r.Duplicate != 0 {
		t.Fatalf("next: %+v", r)
	}
	if n := len(p.readings(t)); n != 4 {
		t.Errorf("%d readings stored", n)
	}
}

func TestAFrameThatWasNotStoredSaysSoAndIsNotKnownAsDuplicate(t *testing.T) {
	p := &logProducer{err: errors.New("broker gone")}
	s := start(t, p)
	d := s.dial(t, "", nil)
	frame := `{"device":"plant1/press7","session":"boot1","seq":1,"readings":[{"metric":"a","value":1}]}`
	d.send(frame)
	r := d.receipt()
	if r.Err == nil || r.Err.Code != wire.CodeNotStored || r.RetryAfter == 0 || r.Accepted != 0 {
		t.Fatalf("receipt: %+v", r)
	}
	p.set(func(p *logProducer) { p.err = nil })
	d.send(frame)
	if r := d.receipt(); r.Accepted != 1 || r.Duplicate != 0 || r.Err != nil {
		t.Fatalf("resent: %+v", r)
	}
}

func TestAnApplicationPingIsAnswered(t *testing.T) {
	s := start(t, &logProducer{})
	d := s.dial(t, "", nil)
	d.send(`{"type":"app_ping","payload":{"n":[1,2]}}`)
	if m := string(d.message()); m != `{"type":"app_pong","payload":{"n":[1,2]}}` {
		t.Errorf("answer %s", m)
	}
	d.send(oneReading)
	if r := d.receipt(); r.Frame != 1 {
		t.Errorf("a ping was counted as a frame: %+v", r)
	}
}

func TestAForeignPageIsClosedAs1008(t *testing.T) {
	p := &logProducer{}
	s := start(t, p)
	d := s.dial(t, "", http.Header{"Origin": {"https://elsewhere.example"}})
	if code, reason := d.closeCode(); code != wire.CloseRefused || reason != wire.ReasonOriginRefused {
		t.Errorf("closed %d %q", code, reason)
	}
	own := s.dial(t, "", http.Header{"Origin": {s.url}})
	own.send(oneReading)
	if r := own.receipt(); r.Accepted != 1 {
		t.Errorf("own page: %+v", r)
	}
}

func TestConnectionsBeyondTheLimitAreRefusedBeforeTheUpgrade(t *testing.T) {
	s := start(t, &logProducer{}, func(o *Options) { o.Config.MaxConnections = 1 })
	d := s.dial(t, "", nil)
	_, res, err := gws.NewClient(&gws.BuiltinEventHandler{}, &gws.ClientOption{
		Addr: "ws" + strings.TrimPrefix(s.url, "http") + "/v1/ingest"})
	if err == nil || res == nil || res.StatusCode != http.StatusTooManyRequests || res.Header.Get("Retry-After") == "" {
		t.Fatalf("second connection: %v, %v", res, err)
	}
	_ = d.conn.WriteClose(1000, nil)
	eventually(t, "the place is free again", func() bool { return s.connections.Load() == 0 })
	s.dial(t, "", nil).send(oneReading)
}

func TestAPanicEndsItsConnectionOnly(t *testing.T) {
	p := &logProducer{}
	s := start(t, p)
	other := s.dial(t, "", nil)
	other.send(oneReading)
	other.receipt()
	victim := s.dial(t, "", nil)
	p.set(func(p *logProducer) { p.panics = true })
	victim.send(oneReading)
	if code, _ := victim.closeCode(); code != wire.CloseInternal {
		t.Errorf("closed with %d", code)
	}
	p.set(func(p *logProducer) { p.panics = false })
	other.send(oneReading)
	if r := other.receipt(); r.Accepted != 1 {
		t.Errorf("other connection: %+v", r)
	}
	eventually(t, "no frame counted as in flight", func() bool { return s.inflight.Load() == 0 })
}

func TestAStopGivesReceiptsForWhatWasTaken(t *testing.T) {
	p := &logProducer{hold: true}
	s := start(t, p)
	d := s.dial(t, "", nil)
	for range 5 {
		d.send(oneReading)
	}
	eventually(t, "frames taken", func() bool { return p.asked() == 5 })
	stopped := make(chan struct{})
	go func() { s.stop(); close(stopped) }()
	eventually(t, "draining", func() bool { return s.Ready() != nil })
	d.silent("nothing is acknowledged yet")
	p.release()
	for i := range 5 {
		if r := d.receipt(); r.Frame != uint64(i+1) || r.Accepted != 1 {
			t.Fatalf("receipt: %+v", r)
		}
	}
	if code, reason := d.closeCode(); code != wire.CloseDraining || reason != wire.ReasonDraining {
		t.Errorf("closed %d %q", code, reason)
	}
	<-stopped
}

func TestAStopDoesNotWaitForeverForKafka(t *testing.T) {
	p := &logProducer{hold: true}
	s := start(t, p, func(o *Options) { o.Config.DrainTimeout = 50 * time.Millisecond })
	d := s.dial(t, "", nil)
	d.send(oneReading)
	eventually(t, "frame taken", func() bool { return p.asked() == 1 })
	s.stop()
	select {
	case <-d.closed:
	case <-time.After(patience):
		t.Fatal("connection stays open after the stop")
	}
	if s.inflight.Load() != 0 {
		t.Errorf("%d frames counted as in flight", s.inflight.Load())
	}
}
