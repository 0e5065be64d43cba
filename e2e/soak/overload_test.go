//go:build soak

package soak

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"weir/kafka"
	"weir/kafka/embedded"
	device "weir/sdk/go"
	"weir/wire"
)

const (
	rudeDevices, honestDevices, posters = 8, 8, 4
	// overloadBy is how many times the capacity is offered.
	overloadBy = 3
	// memoryBound is what the server's resident memory must stay below, whatever is offered: the bounds of its
	// configuration (256 MiB of messages under way, 64 MiB of records without acknowledgement) with room for the
	// rest. Frames of this size never come near the first.
	memoryBoundMiB = 512
)

// TestOverloadEndsInRefusalsAndNothingElse offers three times what a server can take. It has one core, so that the
// devices on the same machine can offer that much.
func TestOverloadEndsInRefusalsAndNothingElse(t *testing.T) {
	t.Run("by limits", func(t *testing.T) { overloadWith(t, true) })
	t.Run("by unread sockets", func(t *testing.T) { overloadWith(t, false) })
}

// overloadWith overloads a server that has limits per device, or none, so that only credit and unread sockets hold
// devices back.
func overloadWith(t *testing.T, limited bool) {
	began := time.Now()
	r := newRig(t)
	capacity := measureCapacity(r)
	share := capacity / (rudeDevices + honestDevices)
	o := &overload{rig: r, limited: limited, result: overloadResult{
		Seconds: soakTime.Seconds(), Capacity: capacity, Offered: overloadBy * capacity,
		RefusedFrames: map[string]int{}, Posts: map[string]int{},
	}}
	name, what := "soak-overload-unread", "overload by three times the capacity, without limits"
	if limited {
		o.result.DeviceLimit = 0.75 * share
		name, what = "soak-overload", "overload by three times the capacity, with limits per device"
	}
	o.server = startOverloaded(r, "overloaded", o.result.DeviceLimit)
	o.run(0.375 * share)
	o.count()
	o.result.about = aboutNow(t, what, began)
	writeResult(t, name, o.result, o.result.table())
}

// startOverloaded starts a server on one core with a limit per device, 0 for none.
func startOverloaded(r *rig, name string, limit float64) *server {
	set := func(key string, value float64) string { return fmt.Sprintf("ingest.limits.%s=%.0f", key, value) }
	s := serve(r.T, name, freeAddress(r.T), []string{"GOMAXPROCS=1"},
		"--set", "auth.signing_key_file="+r.key, "--set", set("key.rate", 0), "--set", set("key.burst", 0),
		"--set", set("device.rate", limit), "--set", set("device.burst", limit))
	eventually(r.T, time.Minute, "the server is ready", s.ready)
	return s
}

// measureCapacity is how many readings per second devices that keep to their credit bring in.
func measureCapacity(r *rig) float64 {
	s := startOverloaded(r, "measured", 0)
	ctx, cancel := context.WithTimeout(r.Context(), 10*time.Second)
	defer cancel()
	var all sync.WaitGroup
	var fleet []*flooder
	for i := range rudeDevices {
		f := dialFlooder(r.T, s.addr, fmt.Sprintf("measure/d%d", i), r.admin)
		fleet = append(fleet, f)
		all.Go(func() { f.obey(ctx) })
	}
	sum := func() (n int64) {
		for _, f := range fleet {
			n += f.accepted.Load()
		}
		return n
	}
	time.Sleep(3 * time.Second)
	before, from := sum(), time.Now()
	<-ctx.Done()
	capacity := float64(sum()-before) / time.Since(from).Seconds()
	all.Wait()
	for _, f := range fleet {
		f.settle(r.T)
		if len(f.wrong) > 0 {
			r.Fatal(f.wrong[0])
		}
		f.close()
	}
	if err := s.finish(time.Minute); err != nil {
		r.Fatal(err)
	}
	if capacity <= 0 {
		r.Fatal("no capacity was measured")
	}
	r.Logf("capacity: %.0f readings/s", capacity)
	return capacity
}

// overload is the run.
type overload struct {
	*rig
	limited bool
	server  *server
	rude    []*flooder
	honest  []*device.Client
	posted  []*poster
	watch   *watcher
	result  overloadResult
}

// run offers too much for a while. honest is the rate (readings/s) of each device that behaves.
func (o *overload) run(honest float64) {
	ctx, cancel := context.WithTimeout(o.Context(), *soakTime)
	defer cancel()
	var all sync.WaitGroup
	rate := (overloadBy*o.result.Capacity - honest*honestDevices) / rudeDevices / perFrame
	due, taken := make([]int64, rudeDevices), atomic.Int64{}
	for i := range rudeDevices {
		f := dialFlooder(o.T, o.server.addr, fmt.Sprintf("over/rude%d", i), o.admin)
		o.rude = append(o.rude, f)
		all.Go(func() { due[i] = f.insist(ctx, rate) })
	}
	for i := range honestDevices {
		c, err := device.New(device.Options{
			URL: "ws://" + o.server.addr + "/v1/ingest", Device: fmt.Sprintf("over/honest%d", i), Token: o.admin,
			Retry: device.Retry{First: 100 * time.Millisecond, Max: time.Second}, BacklogAfter: -1,
		})
		if err != nil {
			o.Fatal(err)
		}
		o.honest = append(o.honest, c)
		all.Go(func() { taken.Add(o.behave(ctx, c, honest/perFrame)) })
	}
	for i := range posters {
		p := &poster{addr: o.server.addr, token: o.admin, device: "over/post", session: fmt.Sprintf("post%d", i), codes: map[string]int{}}
		o.posted = append(o.posted, p)
		all.Go(func() { p.run(ctx) })
	}
	o.watch = newWatcher(o.server, o.admin)
	all.Go(func() { o.watch.run(ctx) })
	<-ctx.Done()
	for _, c := range o.honest {
		s := c.Stats()
		o.result.HonestAccepted += s.Accepted + s.Duplicate + s.Late
	}
	all.Wait()
	for i, f := range o.rude {
		o.result.RudeOffered += due[i] * perFrame
		f.settle(o.T)
		f.close()
	}
	o.result.HonestOffered = taken.Load() * perFrame
}

// behave hands frames to the SDK at a rate, and returns how many it took.
func (o *overload) behave(ctx context.Context, c *device.Client, rate float64) (sent int64) {
	began := time.Now()
	readings := make([]device.Reading, perFrame)
	for ctx.Err() == nil {
		if float64(sent) >= time.Since(began).Seconds()*rate {
			time.Sleep(2 * time.Millisecond)
			continue
		}
		now := time.Now()
		for i := range readings {
			readings[i] = device.At(fmt.Sprintf("m%d", i%4), float64(sent), now)
		}
		// A full buffer is the device's own decision; what it did not take is not offered.
		if _, err := c.Send(ctx, readings...); err != nil {
			time.Sleep(10 * time.Millisecond)
			continue
		}
		sent++
	}
	return sent
}

// count compares what was said with what is stored.
func (o *overload) count() {
	n := &o.result
	o.takeHonest()
	said := map[string]int64{}
	for _, f := range o.rude {
		said[f.path] = f.accepted.Load()
		n.RudeSent += f.sent.Load() * perFrame
		n.RudeAccepted += f.accepted.Load()
		frames := int64(0)
		for code, k := range f.refused {
			n.RefusedFrames[code] += k
			frames += int64(k)
		}
		if frames*perFrame+f.accepted.Load() != f.sent.Load()*perFrame {
			o.Errorf("%s: of %d frames %d were accepted and %d refused", f.path, f.sent.Load(), f.accepted.Load()/perFrame, frames)
		}
		for _, w := range f.wrong {
			o.Error(w)
		}
	}
	for _, p := range o.posted {
		said[p.device] += p.accepted
		for code, k := range p.codes {
			n.Posts[code] += k
		}
		for _, w := range p.wrong {
			o.Error(w)
		}
	}
	for i, c := range o.honest {
		s := c.Stats()
		said[fmt.Sprintf("over/honest%d", i)] = s.Accepted + s.Duplicate + s.Late
	}
	o.servers = []*server{o.server}
	o.awaitPipeline()
	o.checkLogs()
	o.compare(said)
	o.watch.judge(o)
	switch {
	case !o.limited && n.RudeSent >= n.RudeOffered:
		o.Error("the sockets took everything: this was no overload")
	case o.limited && len(n.RefusedFrames) == 0:
		o.Error("nothing was refused: this was no overload")
	case o.limited && n.HonestAccepted*5 < n.HonestOffered:
		// All of it comes in the end (see takeHonest); this is about how long it waits.
		o.Errorf("devices that behave brought in %d of %d readings while it lasted, within their limits", n.HonestAccepted, n.HonestOffered)
	}
}

// takeHonest lets devices that behave deliver what they still have.
func (o *overload) takeHonest() {
	ctx, cancel := context.WithTimeout(o.Context(), 2*time.Minute)
	defer cancel()
	for _, c := range o.honest {
		if err := c.Close(ctx); err != nil {
			o.Error(err)
		}
		if s := c.Stats(); s.Rejected > 0 {
			o.Errorf("%d readings of a device that behaves were rejected for good", s.Rejected)
		}
	}
}

// compare counts weir.readings by device, each frame once, and weir.updates.
func (o *overload) compare(said map[string]int64) {
	if err := o.server.finish(time.Minute); err != nil {
		o.Fatalf("stop the server: %v", err)
	}
	broker, err := embedded.Open(embedded.Options{Dir: o.server.data + "/kafka"})
	if err != nil {
		o.Fatal(err)
	}
	defer broker.Close()
	p := &proof{rig: o.rig}
	if p.client, err = kafka.New(broker.Options()); err != nil {
		o.Fatal(err)
	}
	defer p.client.Close()
	stored, once := map[string]int64{}, map[frameKey]bool{}
	p.each(wire.TopicReadings, func(partition int, r *kafka.Record) {
		var c wire.ReadingColumns
		if err := c.Unmarshal(r.Value); err != nil {
			o.Errorf("%d@%d: %v", partition, r.Offset, err)
			return
		}
		key := frameKey{string(r.Key), c.Session, c.Seq}
		if c.Session != "" {
			if once[key] {
				o.result.Repeated++
				return
			}
			key.session = string([]byte(c.Session))
			once[key] = true
		}
		stored[key.device] += int64(len(c.Time))
	})
	for name, n := range said {
		if stored[name] != n {
			o.Errorf("%s: %d readings were receipted as stored, %d are", name, n, stored[name])
		}
	}
	for name, n := range stored {
		o.result.Stored += n
		if _, known := said[name]; !known {
			o.Errorf("%d readings of %s, which has sent nothing", n, name)
		}
	}
	for _, n := range said {
		o.result.Said += n
	}
	o.result.Updates = p.sumUpdates()
	if o.result.Updates != uint64(o.result.Stored) {
		o.Errorf("%d readings are stored, %d are in weir.updates", o.result.Stored, o.result.Updates)
	}
}

// overloadResult is what is kept of a run. Readings, unless they say otherwise.
type overloadResult struct {
	about
	Seconds        float64        `json:"overload_seconds"`
	Capacity       float64        `json:"capacity_per_second"`
	Offered        float64        `json:"offered_per_second"`
	DeviceLimit    float64        `json:"limit_per_device"`
	RudeOffered    int64          `json:"rude_offered"`
	RudeSent       int64          `json:"rude_sent"`
	RudeAccepted   int64          `json:"rude_accepted"`
	RefusedFrames  map[string]int `json:"refused_frames_by_code"`
	HonestOffered  int64          `json:"honest_offered"`
	HonestAccepted int64          `json:"honest_accepted"`
	Posts          map[string]int `json:"posts_by_answer"`
	Said           int64          `json:"receipted"`
	Stored         int64          `json:"stored"`
	Repeated       int            `json:"repeated_records"`
	Updates        uint64         `json:"in_updates"`
	Watch          watched        `json:"server"`
}

func (r *overloadResult) table() string {
	row := func(name, format string, values ...any) [2]string {
		return [2]string{name, fmt.Sprintf(format, values...)}
	}
	rows := [][2]string{
		row("capacity of the server, on one core", "%.0f readings/s", r.Capacity),
		row("offered", "%.0f readings/s for %.0f s", r.Offered, r.Seconds),
		row("limit per device (0: none)", "%.0f readings/s", r.DeviceLimit),
		row("devices that ignore credit and refusals", "%d: offered %d, sent %d (sockets took no more), accepted %d", rudeDevices, r.RudeOffered, r.RudeSent, r.RudeAccepted),
		row("devices that behave", "%d: offered %d, accepted while it lasted %d (%.1f %%)", honestDevices, r.HonestOffered, r.HonestAccepted,
			100*float64(r.HonestAccepted)/float64(max(1, r.HonestOffered))),
	}
	for _, code := range slices.Sorted(maps.Keys(r.RefusedFrames)) {
		rows = append(rows, row("frames refused with "+code, "%d", r.RefusedFrames[code]))
	}
	for _, code := range slices.Sorted(maps.Keys(r.Posts)) {
		rows = append(rows, row("posts answered "+code, "%d", r.Posts[code]))
	}
	w := &r.Watch
	rows = append(rows,
		row("readings receipted as stored / stored / in weir.updates", "%d / %d / %d", r.Said, r.Stored, r.Updates),
		row("resident memory of the server, highest", "%.0f MiB", w.MaxMiB),
		row("and by quarter of the run, median", "%.0f, %.0f, %.0f, %.0f MiB", w.Quarters[0], w.Quarters[1], w.Quarters[2], w.Quarters[3]),
		row("frames without a receipt in the server, highest", "%.0f", w.Inflight),
		row("bytes without acknowledgement, highest", "%.1f MiB", w.Unacknowledged/(1<<20)),
		row("records that the pipeline was behind, highest", "%.0f", w.Lag))
	return markdown(r.about, rows)
}
