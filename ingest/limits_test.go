package ingest

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"weir/auth"
	"weir/wire"
)

// model is a token bucket as in a textbook, with a debt.
type model struct {
	rate, burst, tokens float64
	at                  int64
}

func (m *model) take(n int, now int64) bool {
	m.tokens = min(m.burst, m.tokens+m.rate*float64(now-m.at)/1e9)
	m.at = now
	if m.tokens+1e-6 < min(float64(n), m.burst) {
		return false
	}
	m.tokens -= float64(n)
	return true
}

func TestABucketTakesWhatATextbookBucketTakes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		// Refilling one takes a whole number of ns, so that rounding makes no difference.
		rate := rapid.SampledFrom([]int{1, 8, 100, 1000, 12_500}).Draw(t, "rate")
		burst := rapid.IntRange(1, 3*rate).Draw(t, "burst")
		p := newPacer(Limit{rate, burst})
		b, m := new(bucket), &model{rate: float64(rate), burst: float64(burst), tokens: float64(burst)}
		now := int64(1)
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			now += rapid.Int64Range(0, 2e9).Draw(t, "pause") / 1000 * 1000
			n := rapid.IntRange(1, 2*burst).Draw(t, "n")
			before := b.full.Load()
			wait := b.take(&p, n, now)
			if took, want := wait == 0, m.take(n, now); took != want {
				t.Fatalf("%d of burst %d: taken %v, want %v (%v tokens)", n, burst, took, want, m.tokens)
			}
			if wait == 0 {
				continue
			}
			// The wait is enough, and no shorter one is.
			if b.full.Load() != before {
				t.Fatal("a refusal has cost something")
			}
			probe := new(bucket)
			probe.full.Store(before)
			if probe.take(&p, n, now+wait-1) == 0 {
				t.Fatalf("%d ns sooner would have done", 1)
			}
			if probe.take(&p, n, now+wait) != 0 {
				t.Fatalf("not taken after the wait of %d ns", wait)
			}
		}
	})
}

func TestABucketGivesNoMoreToManyAtOnce(t *testing.T) {
	p, b := newPacer(Limit{1, 1000}), new(bucket)
	var takers sync.WaitGroup
	counts := make([]int, 8)
	for i := range counts {
		takers.Go(func() {
			for range 1000 {
				if b.take(&p, 1, 1) == 0 {
					counts[i]++
				}
			}
		})
	}
	takers.Wait()
	sum := 0
	for _, n := range counts {
		sum += n
	}
	if sum != 1000 {
		t.Errorf("%d taken of 1000", sum)
	}
}

func TestABucketInUseIsNotForgotten(t *testing.T) {
	m := newBuckets(Limit{1, 1}, 2*bucketShards*4)
	var mine known
	first := m.find(&mine, "plant1/mine")
	first.take(&m.pacer, 1, 1)
	for i := range 10_000 {
		var k known
		m.find(&k, fmt.Sprintf("plant1/d%d", i))
		if b := m.find(&mine, "plant1/mine"); b != first {
			t.Fatalf("forgotten after %d others", i)
		}
		if n := m.len(); n > 2*bucketShards*4 {
			t.Fatalf("%d remembered", n)
		}
	}
	var another known // connection that has not looked it up before
	if m.find(&another, "plant1/mine") != first {
		t.Error("another connection of the device has a bucket of its own")
	}
	if m.find(&mine, "plant1/other") == first {
		t.Error("another device has the same bucket")
	}
}

// limited is a site with limits, and the answer to a frame of n readings.
func limited(t *testing.T, change func(*Config)) (*site, *logProducer, func(device string, n int) *wire.Receipt) {
	t.Helper()
	p := &logProducer{}
	s := start(t, p, func(o *Options) { o.Config.Limits = Limits{Remembered: 1 << 10}; change(&o.Config) })
	d := s.dial(t, "", nil)
	return s, p, func(device string, n int) *wire.Receipt {
		t.Helper()
		d.send(frameOf(device, n))
		return d.receipt()
	}
}

func frameOf(device string, n int) string {
	return fmt.Sprintf(`{"device":%q,"readings":[%s]}`, device, strings.TrimSuffix(strings.Repeat(`{"metric":"m","value":1},`, n), ","))
}

func TestEachLimitNamesItselfAndStoresNothing(t *testing.T) {
	slow := Limit{Rate: 1, Burst: 10}
	for _, c := range []struct {
		code, limit string
		set         func(*Config)
	}{
		{wire.CodeLimitDevice, "device", func(c *Config) { c.Limits.Device = slow }},
		{wire.CodeLimitTenant, "tenant", func(c *Config) { c.Limits.Tenant = slow }},
		{wire.CodeLimitGlobal, "global", func(c *Config) { c.Limits.Global = slow }},
	} {
		t.Run(c.limit, func(t *testing.T) {
			s, p, send := limited(t, c.set)
			if r := send("plant1/a", 8); r.Err != nil || r.Accepted != 8 {
				t.Fatalf("within the limit: %+v", r)
			}
			r := send("plant1/a", 8)
			if r.Err == nil || r.Err.Code != c.code || r.Accepted != 0 || len(r.Rejected) != 0 {
				t.Fatalf("beyond it: %+v", r)
			}
			if r.RetryAfter < 5000 || r.RetryAfter > 6000 {
				t.Errorf("retry after %d ms, want about 6 s", r.RetryAfter)
			}
			if n := len(p.readings(t)); n != 8 {
				t.Errorf("%d readings stored", n)
			}
			if n := len(p.stored(wire.TopicDeadLetters)); n != 0 {
				t.Errorf("%d dead letters", n)
			}
			if n := s.count(fmt.Sprintf(`weir_ingest_limited_frames_total{limit=%q}`, c.limit)); n != 1 {
				t.Errorf("counted %d times", n)
			}
			if r := send("plant1/a", 2); r.Accepted != 2 {
				t.Errorf("the refused frame has cost something: %+v", r)
			}
			// Who shares the bucket is limited with it, who does not is not.
			for device, code := range map[string]string{
				"plant1/b": map[string]string{"tenant": c.code, "global": c.code}[c.limit],
				"plant2/c": map[string]string{"global": c.code}[c.limit],
			} {
				r := send(device, 9)
				if got := codeOf(r); got != code {
					t.Errorf("%s: %q, want %q", device, got, code)
				}
			}
		})
	}
}

func codeOf(r *wire.Receipt) string {
	if r.Err == nil {
		return ""
	}
	return r.Err.Code
}

func TestTheKeysLimitCountsAllThatAHolderSends(t *testing.T) {
	l := newLimiter(&Limits{Key: Limit{1, 10}, Remembered: 1 << 10}, Limit{}, perServer)
	one, other := &auth.Principal{Method: auth.MethodKey, KeyID: "k1", Subject: "s"}, &auth.Principal{Method: auth.MethodToken, Subject: "s"}
	var a, b quota
	if _, wait := a.take(l, one, []charge{{"p/a", 6}}, 1); wait != 0 {
		t.Fatal("refused at once")
	}
	if at, wait := b.take(l, one, []charge{{"p/b", 6}}, 1); wait == 0 || at != perKey {
		t.Errorf("another connection of the key: %v %d", levelNames[at], wait)
	}
	if _, wait := b.take(l, other, []charge{{"p/b", 6}}, 1); wait != 0 {
		t.Error("another holder is limited with it")
	}
	everybody := auth.Everybody()
	for range 5 {
		if _, wait := b.take(l, everybody, []charge{{"p/b", 6}}, 1); wait != 0 {
			t.Error("who has no credentials has no key")
		}
	}
}

func TestDevicesOfATenantInOneFrameCountTogether(t *testing.T) {
	l := newLimiter(&Limits{Tenant: Limit{1, 10}, Remembered: 1 << 10}, Limit{}, perServer)
	var charges []charge
	for i := range 15 { // more than the burst: one by one, the last would find an empty bucket
		charges = append(charges, charge{fmt.Sprintf("t/d%d", i), 1})
	}
	var q quota
	if _, wait := q.take(l, nil, charges, 1); wait != 0 {
		t.Errorf("refused for %d ns by a full bucket", wait)
	}
	if _, wait := q.take(l, nil, charges[:1], 1); wait != int64(6*time.Second) {
		t.Errorf("in debt by 5, one more has to wait %s", time.Duration(wait))
	}
}

func TestDevicesOfATenantThatAreApartInAFrameCountTogether(t *testing.T) {
	l := newLimiter(&Limits{Tenant: Limit{1, 10}, Remembered: 1 << 10}, Limit{}, perServer)
	charges := []charge{{"t", 2}, {"t/a", 8}, {"u/a", 9}, {"t-1/a", 1}, {"", 3}, {"t/b", 8}, {"u/b", 1}}
	var q quota
	if _, wait := q.take(l, nil, charges, 1); wait != 0 {
		t.Fatalf("full buckets refuse it, with a wait of %s", time.Duration(wait))
	}
	for tenant, want := range map[string]time.Duration{"t/c": 9 * time.Second, "u/c": time.Second, "t-1/c": 0} {
		if _, wait := q.take(l, nil, []charge{{tenant, 1}}, 1); wait != int64(want) {
			t.Errorf("%s has to wait %s, want %s", tenant, time.Duration(wait), want)
		}
	}
}

func TestALimitThatRefusesLeavesTheOthersAsTheyWere(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		limit := func(name string) Limit { return Limit{1, rapid.IntRange(5, 60).Draw(t, name)} }
		l := newLimiter(&Limits{Device: limit("device"), Key: limit("key"), Tenant: limit("tenant"), Remembered: 1 << 10}, limit("all"), perServer)
		who := &auth.Principal{Method: auth.MethodKey, KeyID: "k"}
		var q quota
		taken := 0
		for range rapid.IntRange(1, 10).Draw(t, "frames") {
			var charges []charge
			n := 0
			for d := range rapid.IntRange(1, 4).Draw(t, "devices") {
				c := charge{fmt.Sprintf("t%d/d%d", d/2, d), rapid.IntRange(1, 8).Draw(t, "n")}
				charges = append(charges, c)
				n += c.n
			}
			before := l.all.full.Load()
			if _, wait := q.take(l, who, charges, 1); wait > 0 {
				if l.all.full.Load() != before {
					t.Fatal("the global bucket has paid for a refused frame")
				}
				continue
			}
			taken += n
		}
		// The key's bucket has paid for what was taken, and nothing else.
		var k known
		if got := max(0, l.key.find(&k, holder(who)).full.Load()-1); got != l.key.cost(taken) && taken > 0 {
			t.Fatalf("the key paid %d for %d", got, taken)
		}
	})
}

func TestAFrameBeyondTheBurstPassesAFullBucketAndLeavesADebt(t *testing.T) {
	_, p, send := limited(t, func(c *Config) { c.Limits.Device = Limit{Rate: 10, Burst: 20} })
	if r := send("plant1/a", 50); r.Accepted != 50 {
		t.Fatalf("with a full bucket: %+v", r)
	}
	r := send("plant1/a", 1)
	if codeOf(r) != wire.CodeLimitDevice || r.RetryAfter < 3000 || r.RetryAfter > 3200 {
		t.Errorf("in debt: %+v", r)
	}
	if n := len(p.readings(t)); n != 50 {
		t.Errorf("%d stored", n)
	}
}

func TestABucketRefillsInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := Options{Config: DefaultConfig(), Producer: nullProducer{}, Partitions: 1}
		o.Config.Limits = Limits{Device: Limit{Rate: 100, Burst: 100}, Remembered: 1 << 10}
		s, err := New(o)
		if err != nil {
			t.Fatal(err)
		}
		e, r := newEncoder(s, dialect{}), newReceipt(func() {})
		send := func(n int) *receipt {
			r.begin(1, 64, nowMicros())
			e.submit(t.Context(), []byte(frameOf("plant1/a", n)), r)
			r.release()
			return r
		}
		send(100)
		for range 20 { // as a device does that keeps to what it is told
			refused := send(50)
			if codeOf(&refused.Receipt) != wire.CodeLimitDevice || refused.RetryAfter != 500 {
				t.Fatalf("empty: %+v", refused.Receipt)
			}
			time.Sleep(time.Duration(refused.RetryAfter-1) * time.Millisecond)
			if send(50).Err == nil {
				t.Fatal("taken a millisecond too soon")
			}
			time.Sleep(time.Millisecond)
			if r := send(50); r.Accepted != 50 {
				t.Fatalf("after the wait: %+v", r.Receipt)
			}
		}
	})
}

func TestRejectedReadingsAndUnreadableFramesCount(t *testing.T) {
	s, p, send := limited(t, func(c *Config) { c.Limits.Global = Limit{Rate: 1, Burst: 10} })
	d := s.dial(t, "", nil)
	d.send(`{"device":"plant1/a","readings":[7,7,7,7,7,{"metric":"m","value":1}]}`)
	if r := d.receipt(); r.Accepted != 1 || len(r.Rejected) != 5 {
		t.Fatalf("%+v", r)
	}
	for range 4 {
		d.send(`nonsense`)
		if r := d.receipt(); codeOf(r) == wire.CodeLimitGlobal {
			t.Fatalf("%+v", r)
		}
	}
	d.send(`nonsense`)
	if r := d.receipt(); codeOf(r) != wire.CodeLimitGlobal {
		t.Errorf("the eleventh: %+v", r)
	}
	if r := send("plant1/a", 1); codeOf(r) != wire.CodeLimitGlobal {
		t.Errorf("a good one after it: %+v", r)
	}
	if n := len(p.stored(wire.TopicDeadLetters)); n != 5 {
		t.Errorf("%d dead letters", n)
	}
}

func TestAKnownDuplicateCostsNothing(t *testing.T) {
	p := &logProducer{}
	s := start(t, p, func(o *Options) {
		o.Config.Limits = Limits{Device: Limit{Rate: 1, Burst: 3}, Remembered: 1 << 10}
	})
	d := s.dial(t, "", nil)
	frame := `{"device":"plant1/a","session":"s","seq":1,"readings":[{"metric":"m","value":1},{"metric":"n","value":1}]}`
	d.send(frame)
	if r := d.receipt(); r.Accepted != 2 {
		t.Fatalf("%+v", r)
	}
	for range 5 {
		d.send(frame)
		if r := d.receipt(); r.Duplicate != 2 || r.Err != nil {
			t.Fatalf("%+v", r)
		}
	}
}

func TestOverHTTPALimitIs429WithTheTimeToWait(t *testing.T) {
	s, _, _ := limited(t, func(c *Config) { c.Limits.Device = Limit{Rate: 10, Burst: 10} })
	post := func() *http.Response {
		t.Helper()
		res, err := http.Post(s.url+"/v1/readings", "application/json", strings.NewReader(frameOf("plant1/a", 35)))
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		return res
	}
	if res := post(); res.StatusCode != http.StatusOK {
		t.Fatalf("first: %d", res.StatusCode)
	}
	res := post()
	if res.StatusCode != http.StatusTooManyRequests || res.Header.Get("Retry-After") != "4" {
		t.Errorf("second: %d, Retry-After %q", res.StatusCode, res.Header.Get("Retry-After"))
	}
}

func TestALimiterWithoutLimitsIsOff(t *testing.T) {
	if !newLimiter(&Limits{Remembered: 64}, Limit{}, perServer).off {
		t.Error("it is on")
	}
	c := DefaultConfig()
	c.Limits.Tenant = Limit{Rate: 5}
	c.Backlog.Burst = -1
	c.Admission.Stop = c.Admission.Slow
	c.Lateness = time.Second
	err := c.Validate()
	for _, name := range []string{"limits.tenant.burst: ", "backlog.burst: ", "admission.stop: ", "lateness: "} {
		if err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%v does not name %s", err, name)
		}
	}
}
