package conformance

import (
	"bytes"
	"compress/flate"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lxzan/gws"
	"go.uber.org/goleak"

	device "weir/sdk/go"
	"weir/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const patience = 30 * time.Second

// untilTold is the limit of a kit that finish ends at once: a test first waits for what it tells the kit to be heard.
const untilTold = time.Hour

// start makes a kit behind a real server. finish ends it, but for untilTold at its limit, and gives the report, by check.
func start(t *testing.T, scenario string, limit time.Duration) (kit *Kit, url string, finish func() map[string]*Result) {
	t.Helper()
	kit, err := New(Options{Scenario: scenario, Pace: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	web := httptest.NewServer(kit)
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	report := make(chan *Report, 1)
	go func() { report <- kit.Run(ctx) }()
	return kit, strings.TrimPrefix(web.URL, "http://"), func() map[string]*Result {
		out := map[string]*Result{}
		if limit == untilTold {
			cancel()
		}
		r := <-report
		cancel()
		for i := range r.Results {
			out[r.Results[i].Check] = &r.Results[i]
		}
		web.CloseClientConnections()
		web.Close()
		return out
	}
}

func TestSDKPassesAllChecks(t *testing.T) {
	t.Parallel()
	for _, columns := range []bool{false, true} {
		t.Run(fmt.Sprintf("columns %v", columns), func(t *testing.T) {
			t.Parallel()
			_, address, finish := start(t, All, 60*time.Second)
			var asked atomic.Int64
			client, err := device.New(device.Options{
				URL: "ws://" + address + "/v1/ingest", Device: "plant1/press1", Columns: columns, Compress: true,
				Retry:       device.Retry{First: 300 * time.Millisecond},
				TokenSource: func(context.Context) (string, error) { return fmt.Sprint("token", asked.Add(1)), nil },
			})
			if err != nil {
				t.Fatal(err)
			}
			stop := make(chan struct{})
			done := make(chan struct{})
			go func() {
				defer close(done)
				tick := time.NewTicker(20 * time.Millisecond)
				defer tick.Stop()
				for n := 0; ; n++ {
					select {
					case <-tick.C:
						_, _ = client.Send(context.Background(), device.At("temperature", float64(n), time.Now()))
					case <-stop:
						return
					}
				}
			}()
			results := finish()
			close(stop)
			<-done
			gone, cancel := context.WithCancel(context.Background())
			cancel()
			_ = client.Close(gone)
			for id, r := range results {
				if r.Verdict != Pass {
					t.Errorf("%s: %s %v", id, r.Verdict, r.Evidence)
				}
			}
		})
	}
}

// bad is a device that does wrong what its test says.
type bad struct {
	gws.BuiltinEventHandler
	t        *testing.T
	address  string
	receipts chan *wire.Receipt
	closed   chan error
	ponged   chan struct{}
	mute     bool // answers no pings
	deflate  bool // offers to compress
	conn     *gws.Conn
}

func (b *bad) OnMessage(_ *gws.Conn, m *gws.Message) {
	if r, err := wire.DecodeReceipt(m.Bytes()); err == nil {
		b.receipts <- r
	}
	m.Close()
}

func (b *bad) OnPing(c *gws.Conn, payload []byte) {
	if !b.mute {
		_ = c.WritePong(payload)
	}
}

func (b *bad) OnPong(*gws.Conn, []byte) { close(b.ponged) }

func (b *bad) OnClose(_ *gws.Conn, err error) { b.closed <- err }

// heard waits until the kit has heard all that was written, or has done with the connection.
func (b *bad) heard(k *Kit) {
	b.t.Helper()
	_ = b.conn.WritePing(nil)
	select {
	case <-b.ponged:
	case err := <-b.closed:
		b.closed <- err
		k.await(b.t, "it is away", func() bool { return len(k.conns) == 0 })
	case <-time.After(patience):
		b.t.Fatal("neither answered nor closed")
	}
}

// await waits until the kit has come to something.
func (k *Kit) await(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for began := time.Now(); ; time.Sleep(5 * time.Millisecond) {
		k.mu.Lock()
		is := ok()
		k.mu.Unlock()
		if is {
			return
		}
		if time.Since(began) > patience {
			t.Fatal("not in time: " + what)
		}
	}
}

// dial connects; false when it is refused.
func (b *bad) dial(header http.Header) bool {
	conn, _, err := gws.NewClient(b, &gws.ClientOption{
		Addr: "ws://" + b.address + "/v1/ingest", RequestHeader: header, PermessageDeflate: gws.PermessageDeflate{Enabled: b.deflate},
	})
	if err != nil {
		return false
	}
	b.conn = conn
	b.receipts = make(chan *wire.Receipt, 4096)
	b.closed, b.ponged = make(chan error, 1), make(chan struct{})
	go conn.ReadLoop()
	return true
}

func newBad(t *testing.T, address string) *bad {
	b := &bad{t: t, address: address, closed: make(chan error, 1)}
	if !b.dial(http.Header{"Authorization": {"Bearer fixed"}}) {
		t.Fatal("not connected")
	}
	return b
}

func (b *bad) write(text string) { _ = b.conn.WriteString(text) }

func (b *bad) end() {
	b.conn.NetConn().Close()
	select {
	case <-b.closed:
	case <-time.After(patience):
		b.t.Error("the connection did not end")
	}
}

// frame is a good one.
func frame(seq int) string { return frameAt(seq, "s1", time.Now()) }

func frameAt(seq int, session string, at time.Time) string {
	return fmt.Sprintf(`{"device":"a/b","session":%q,"seq":%d,"readings":[{"metric":"m","ts":%d,"value":%d}]}`, session, seq, at.UnixMicro(), seq)
}

// expect asserts that exactly these checks failed, and the first with the words.
func expect(t *testing.T, results map[string]*Result, words string, failed ...string) {
	t.Helper()
	want := map[string]bool{}
	for _, id := range failed {
		want[id] = true
	}
	for id, r := range results {
		if (r.Verdict == Fail) != want[id] {
			t.Errorf("%s: %s %v", id, r.Verdict, r.Evidence)
		}
		if r.Verdict == Fail && len(failed) > 0 && id == failed[0] && !strings.Contains(r.Evidence[0].What, words) {
			t.Errorf("%s: evidence %q lacks %q", id, r.Evidence[0].What, words)
		}
	}
}

func TestBadFramesAreFound(t *testing.T) {
	t.Parallel()
	env := func(rest string) string { return `{"device":"a/b","session":"s1","seq":1,"readings":[` + rest + `]}` }
	reading := func(ts int64) string { return env(fmt.Sprintf(`{"metric":"m","ts":%d,"value":1}`, ts)) }
	for name, c := range map[string]struct {
		frames func(now time.Time) []string
		words  string
		failed []string
	}{
		"good":               {func(now time.Time) []string { return []string{frame(1), frame(2)} }, "", nil},
		"no time is allowed": {func(now time.Time) []string { return []string{env(`{"metric":"m","value":1}`)} }, "", nil},
		"resent":             {func(now time.Time) []string { return []string{frameAt(1, "s1", now), frameAt(1, "s1", now)} }, "", nil},
		"no JSON":            {func(now time.Time) []string { return []string{`{"device":`, frame(1)} }, "json_syntax", []string{"syntax"}},
		"no device": {func(now time.Time) []string {
			return []string{`{"session":"s1","seq":1,"readings":[{"metric":"m","value":1}]}`}
		}, "device_missing", []string{"names"}},
		"no metric":       {func(now time.Time) []string { return []string{env(`{"value":1}`)} }, "metric_missing", []string{"names"}},
		"reserved metric": {func(now time.Time) []string { return []string{env(`{"metric":"_m","value":1}`)} }, "path_reserved", []string{"names"}},
		"not finite":      {func(now time.Time) []string { return []string{env(`{"metric":"m","value":NaN}`)} }, "value_not_finite", []string{"values"}},
		"no session": {func(now time.Time) []string {
			return []string{`{"device":"a/b","seq":1,"readings":[{"metric":"m","value":1}]}`}
		}, "no session", []string{"numbers"}},
		"no seq": {func(now time.Time) []string {
			return []string{`{"device":"a/b","session":"s","readings":[]}`, frame(1)}
		}, "seq_missing", []string{"numbers"}},
		"seq falls": {func(now time.Time) []string { return []string{frame(5), frame(4)} }, "after seq 5", []string{"order"}},
		"seq used again": {func(now time.Time) []string {
			return []string{frameAt(1, "s1", now), frameAt(1, "s1", now.Add(-time.Second))}
		}, "other readings", []string{"reuse"}},
		"uptime as time": {func(now time.Time) []string { return []string{reading(12345)} }, "is the clock set?", []string{"units"}},
		"ms declared as s": {func(now time.Time) []string {
			return []string{strings.Replace(reading(now.UnixMilli()/1000), `"readings"`, `"ts_unit":"ms","readings"`, 1)}
		}, "factor of 1000", []string{"units"}},
		"an hour ahead":        {func(now time.Time) []string { return []string{reading(now.Add(time.Hour).UnixMilli())} }, "ts_future", []string{"future"}},
		"10 s ahead":           {func(now time.Time) []string { return []string{reading(now.Add(10 * time.Second).UnixMilli())} }, "ahead of this", []string{"skew"}},
		"10 s behind":          {func(now time.Time) []string { return []string{reading(now.Add(-10 * time.Second).UnixMilli())} }, "the clock is behind", []string{"skew"}},
		"late once is no skew": {func(now time.Time) []string { return []string{frame(1), frameAt(2, "s1", now.Add(-10*time.Second))} }, "", nil},
		"too many readings": {func(now time.Time) []string {
			return []string{env(strings.Repeat(`{"metric":"m","value":1},`, 5000) + `{"metric":"m","value":1}`), frame(2)}
		}, "readings_too_many", []string{"size"}},
		"message of an own kind": {func(now time.Time) []string { return []string{frame(1), `{"type":"status","payload":{}}`} }, "not known", []string{"syntax"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			kit, address, finish := start(t, Basic, untilTold)
			b := newBad(t, address)
			for _, f := range c.frames(time.Now()) {
				b.write(f)
			}
			b.heard(kit)
			results := finish()
			b.end()
			expect(t, results, c.words, c.failed...)
		})
	}
}

// unmasked is the beginning of a WebSocket frame whose mask is zero.
func unmasked(first byte, payload []byte) []byte {
	return append([]byte{first, 0x80 | 126, byte(len(payload) >> 8), byte(len(payload)), 0, 0, 0, 0}, payload...)
}

// deflated is a message of permessage-deflate.
func deflated(text string) []byte {
	var b bytes.Buffer
	w, _ := flate.NewWriter(&b, flate.BestSpeed)
	_, _ = w.Write([]byte(text))
	_ = w.Flush()
	return b.Bytes()[:b.Len()-4]
}

func TestBadWebSocketFramesAreFound(t *testing.T) {
	t.Parallel()
	// A stored block that ends before its 64 bytes do; a block of a type that there is not.
	truncated, damaged := []byte{0x00, 64, 0, 0xff ^ 64, 0xff, '{'}, []byte{0xff, 0xff, 0xff, 0xff}
	for name, c := range map[string]struct {
		deflate bool
		raw     []byte
		words   string
		failed  []string
	}{
		"reserved bits":      {false, []byte{0xb1, 0x80, 0, 0, 0, 0}, "protocol error", []string{"framing"}},
		"reserved opcode":    {false, []byte{0x83, 0x80, 0, 0, 0, 0}, "opcode 3", []string{"framing"}},
		"deflate not agreed": {false, unmasked(0xc1, deflated(frame(2))), "protocol error", []string{"framing"}},
		"deflate":            {true, unmasked(0xc1, deflated(frame(2))), "", nil},
		"damaged deflate":    {true, unmasked(0xc1, damaged), "corrupt input", []string{"framing"}},
		"truncated deflate":  {true, unmasked(0xc1, truncated), "unexpected EOF", []string{"framing"}},
		"stray continuation": {false, []byte{0x80, 0x81, 0, 0, 0, 0, 'x'}, "protocol error", []string{"framing"}},
		"too large":          {false, []byte{0x81, 0xff, 0, 0, 0, 0, 0, 0x40, 0, 0, 0, 0, 0, 0}, "1 MiB", []string{"size"}},
		"deflate too large":  {true, unmasked(0xc1, deflated(strings.Repeat(" ", wire.MaxFrameBytes+1))), "1 MiB", []string{"size"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			kit, address, finish := start(t, Basic, untilTold)
			b := &bad{t: t, address: address, deflate: c.deflate}
			if !b.dial(nil) {
				t.Fatal("not connected")
			}
			b.write(frame(1))
			<-b.receipts
			_, _ = b.conn.NetConn().Write(c.raw)
			b.heard(kit)
			results := finish()
			b.end()
			expect(t, results, c.words, c.failed...)
		})
	}
}

func TestConnectionLostInAFrameIsNotBlamed(t *testing.T) {
	t.Parallel()
	kit, address, finish := start(t, Basic, untilTold)
	b := newBad(t, address)
	b.write(frame(1))
	<-b.receipts
	_, _ = b.conn.NetConn().Write(unmasked(0x81, []byte(frame(2)))[:40])
	b.end()
	kit.await(t, "it is away", func() bool { return len(kit.conns) == 0 })
	expect(t, finish(), "")
}

func TestNumbersThatAreUsedTwiceAreForgotten(t *testing.T) {
	type deed struct {
		seq, content  uint64
		owed, refused bool
	}
	const a, b = 11, 12
	for name, deeds := range map[string][]deed{
		"owed twice":       {{seq: 3, content: a, owed: true}, {seq: 3, content: b, owed: true}, {seq: 3, content: a}, {seq: 4, content: a}},
		"owed and refused": {{seq: 3, content: a, owed: true}, {seq: 3, content: b, refused: true}, {seq: 4, content: a}, {seq: 5, content: b}},
		"refused and owed": {{seq: 3, content: a, refused: true}, {seq: 3, content: b, owed: true}, {seq: 3, content: a}, {seq: 4, content: b}},
		"refused twice":    {{seq: 3, content: a, refused: true}, {seq: 3, content: b, refused: true}, {seq: 3, content: a}, {seq: 4, content: a}},
	} {
		t.Run(name, func(t *testing.T) {
			n, found := newNotebook(), tally{}
			for _, d := range deeds {
				s := &seen{key: key{"s", d.seq}, numbered: true, content: d.content}
				n.number(s, found)
				if d.owed || d.refused {
					n.owe(s, d.refused)
				}
			}
			if found.of(checkReuse).Failures == 0 {
				t.Error("the number used twice is not found")
			}
			if len(n.owed)+len(n.refused)+len(n.contents) != 0 {
				t.Errorf("left: %v, %v, %v", n.owed, n.refused, n.contents)
			}
		})
	}
}

func TestSilenceIsNoProof(t *testing.T) {
	t.Parallel()
	_, _, finish := start(t, All, 200*time.Millisecond)
	results := finish()
	for id, r := range results {
		if want := map[bool]Verdict{true: Fail, false: NotExercised}[id == "connect"]; r.Verdict != want {
			t.Errorf("%s: %s, want %s", id, r.Verdict, want)
		}
	}
}

func TestDeviceThatDoesNotAnswerPingsIsFound(t *testing.T) {
	t.Parallel()
	kit, address, finish := start(t, Basic, untilTold)
	b := &bad{t: t, address: address, mute: true}
	b.dial(nil)
	b.write(frame(1))
	kit.await(t, "a ping is not answered", func() bool { return kit.tally.of(checkPong).Failures > 0 })
	results := finish()
	b.end()
	expect(t, results, "not answered", "pong")
}

// careless is a device that sends a frame every 20 ms and lets its test say how it is careless.
type careless struct {
	keepTalking bool // ignores retry_after_ms
	forget      bool // does not resend
	renumber    bool // resends under a new number
	greedy      bool // ignores credit
	hasty       bool // connects again without back-off
	stubborn    bool // comes back after 1008 forbidden
	absent      bool // does not come back
}

// play runs it until stop closes.
func (c careless) play(t *testing.T, address string, stop <-chan struct{}) {
	b := newBad(t, address)
	defer func() { b.conn.NetConn().Close() }()
	seq, flying, credit := 0, 0, 1
	var pending []string
	pause := time.Time{}
	resume := func() {
		old := pending
		pending = nil
		if c.forget {
			return
		}
		for _, f := range old {
			if c.renumber {
				seq++
				i := strings.Index(f, `"seq":`)
				j := strings.Index(f, `,"readings"`)
				f = f[:i] + fmt.Sprintf(`"seq":%d`, seq) + f[j:]
			}
			pending = append(pending, f)
			b.write(f)
			flying++
		}
	}
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-stop:
			return
		case r := <-b.receipts:
			flying--
			credit = r.Credit
			switch {
			case r.RetryAfter > 0 && !c.forget:
				pause = time.Now().Add(time.Duration(r.RetryAfter) * time.Millisecond)
				refused := pending[0]
				pending = append(pending[1:], refused)
				asked := b.conn // on another, it is among those that were not answered
				time.AfterFunc(time.Until(pause)+50*time.Millisecond, func() { _ = asked.WriteString(refused) })
				flying++
			case len(pending) > 0:
				pending = pending[1:]
			}
		case err := <-b.closed:
			if c.absent || strings.Contains(err.Error(), "1008") && !c.stubborn {
				<-stop
				return
			}
			header := http.Header{"Authorization": {"Bearer " + fmt.Sprint(time.Now().UnixNano())}}
			for !b.dial(header) {
				if !c.hasty {
					select {
					case <-time.After(200 * time.Millisecond):
					case <-stop:
						return
					}
				}
				select {
				case <-stop:
					return
				default:
				}
			}
			resume()
		case <-tick.C:
			if !c.greedy && flying >= credit || !c.keepTalking && time.Now().Before(pause.Add(100*time.Millisecond)) {
				continue
			}
			seq++
			f := frame(seq)
			pending = append(pending, f)
			b.write(f)
			flying++
		}
	}
}

func TestCarelessDevicesAreFound(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		careless
		words  string
		failed []string
	}{
		"talks in the pause":            {careless{keepTalking: true}, "before the end of the pause", []string{"retry_after"}},
		"never resends":                 {careless{forget: true, keepTalking: true}, "never came again", []string{"resend", "retry_after"}},
		"resends under another number":  {careless{renumber: true}, "came again as", []string{"renumber"}},
		"ignores the credit":            {careless{greedy: true}, "credit is 2", []string{"credit"}},
		"storms":                        {careless{hasty: true}, "attempts to connect within", []string{"backoff"}},
		"comes back although forbidden": {careless{stubborn: true}, "the device came back", []string{"stop"}},
		"does not come back":            {careless{absent: true}, "did not come back", []string{"reconnect"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			limit := 14 * time.Second
			if c.absent {
				limit = 4 * time.Second
			}
			kit, address, finish := start(t, Faults, limit)
			if c.keepTalking { // it would be quiet if the machine stood still for the whole of the pause
				kit.mu.Lock()
				kit.times.pause = 3 * time.Second
				kit.mu.Unlock()
			}
			stop, ended := make(chan struct{}), make(chan struct{})
			go func() { defer close(ended); c.play(t, address, stop) }()
			results := finish()
			close(stop)
			<-ended
			expect(t, results, c.words, c.failed...)
		})
	}
}

func TestDeviceThatComesBackWithTheSameCredentialIsFound(t *testing.T) {
	t.Parallel()
	kit, address, finish := start(t, Faults, 5*time.Second)
	kit.mu.Lock()
	kit.stage.acts = kit.stage.acts[5:]
	kit.mu.Unlock()
	b := newBad(t, address)
	for i := range 4 {
		b.write(frame(i + 1))
	}
	<-b.closed
	b.dial(http.Header{"Authorization": {"Bearer fixed"}})
	results := finish()
	b.end()
	expect(t, results, "same credential", "reauth")
}

func TestPostsAreChecked(t *testing.T) {
	t.Parallel()
	_, address, finish := start(t, Faults, untilTold)
	post := func(body string) (status int) {
		resp, err := http.Post("http://"+address+"/v1/readings", "application/json", bytes.NewReader([]byte(body)))
		if err != nil {
			return 0
		}
		defer resp.Body.Close()
		return resp.StatusCode
	}
	for seq := 1; seq <= 11; seq++ {
		f := frame(seq)
		for status := post(f); status != 200; status = post(f) {
			if status == 503 {
				time.Sleep(1200 * time.Millisecond)
			}
		}
		time.Sleep(50 * time.Millisecond)
	}
	results := finish()
	expect(t, results, "")
	for _, id := range []string{"resend", "retry_after", "order", "numbers", "reconnect"} {
		if results[id].Verdict != Pass {
			t.Errorf("%s: %s", id, results[id].Verdict)
		}
	}
}

func TestScenariosAreChecked(t *testing.T) {
	if _, err := New(Options{Scenario: "some"}); err == nil {
		t.Error("taken")
	}
}
