//go:build soak

package soak

import (
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"weir/kafka"
	"weir/telemetry"
	"weir/wire"
)

// What a stream may hold besides readings.
const (
	withDeletions = "deletions"
	withGarbage   = "garbage"
	withCommands  = "commands"
	withSilences  = "silences"
	withPlans     = "plans"
)

var streamFeatures = flag.String("soak.features", "deletions,garbage,commands,silences,plans", "what the stream holds besides readings")

// streamLateness is the pipeline's, short enough that a run meets both sides of it often.
const streamLateness = 30 * time.Second

// stream makes up what devices, people and operators write into weir.readings. What comes next follows from the seed and
// from the steps before, so that a soak that was killed goes on where its journal ends: what it repeats, devices send twice.
type stream struct {
	Seed    uint64    `json:"seed"`
	Step    uint64    `json:"step"`
	Plan    int       `json:"plan"`
	Sources []*source `json:"sources"`

	partitions int
	features   map[string]bool
	// alerts are those that commands may be about, the newest last.
	alerts []telemetry.Alert
}

// source is a device.
type source struct {
	Path  string `json:"path"`
	Boot  int    `json:"boot"`
	Seq   uint64 `json:"seq"`
	Clock int64  `json:"clock"` // source time, µs

	Level float64 `json:"level"`
	Walk  float64 `json:"walk"`
	Count float64 `json:"count"`
	Door  bool    `json:"door"`

	sent []*telemetry.Batch
}

// outgoing is a record on its way to a partition.
type outgoing struct {
	partition int
	record    kafka.Record
}

// streamDevices send, in groups that lie in several partitions.
const streamDevices = 24

func newStream(seed uint64, began time.Time) *stream {
	s := &stream{Seed: seed}
	for i := range streamDevices {
		s.Sources = append(s.Sources, &source{
			Path:  fmt.Sprintf("plant%d/line%d/press%d", i%2, i%3, i),
			Clock: began.Add(-30 * 24 * time.Hour).UnixMicro(), // it runs faster than the world's and must not overtake it
		})
	}
	return s
}

// ready sets what is not kept in the journal.
func (s *stream) ready(partitions int) {
	s.partitions, s.features = partitions, map[string]bool{}
	for _, f := range strings.Split(*streamFeatures, ",") {
		s.features[f] = true
	}
	for _, of := range s.Sources {
		of.Path = strings.Clone(of.Path)
	}
}

// next is the next step: a record, or one for each partition.
func (s *stream) next() []outgoing {
	rng := rand.New(rand.NewPCG(s.Seed, s.Step))
	s.Step++
	of := s.Sources[rng.IntN(len(s.Sources))]
	switch n := rng.IntN(2000); {
	case n < 2 && s.features[withDeletions]:
		return s.to(of.Path, wire.AppendControl(nil, &wire.Control{
			Kind: wire.ControlDeleteDevice, Device: of.Path, Time: time.Now().UnixMicro(), By: "soak"}))
	case n >= 2 && n < 5 && s.features[withGarbage]:
		return s.to(of.Path, garbage(rng))
	case n >= 5 && n < 25 && s.features[withCommands] && len(s.alerts) > 0:
		return s.command(rng)
	case n >= 25 && n < 28 && s.features[withSilences]:
		return s.everywhere(s.silence(rng))
	case n >= 28 && n < 34 && s.features[withPlans]:
		return s.plan(rng)
	}
	b := of.frame(rng)
	return s.to(b.Device, wire.AppendReadingBatch(nil, b))
}

func (s *stream) to(device string, value []byte) []outgoing {
	return []outgoing{{kafka.PartitionFor(device, s.partitions), kafka.Record{Key: []byte(device), Value: value}}}
}

func (s *stream) everywhere(c *wire.Control) []outgoing {
	var out []outgoing
	for p := range s.partitions {
		out = append(out, outgoing{p, kafka.Record{Value: wire.AppendControl(nil, c)}})
	}
	return out
}

// garbage is what no reader of records can take.
func garbage(rng *rand.Rand) []byte {
	switch rng.IntN(3) {
	case 0:
		return []byte("\x00{")
	case 1:
		return wire.AppendReadingBatch(nil, &telemetry.Batch{Device: "a//b"})
	default:
		return []byte{0x0a, 0xff, 0xff, 0xff}
	}
}

func (s *stream) command(rng *rand.Rand) []outgoing {
	a := s.alerts[rng.IntN(len(s.alerts))]
	if rng.IntN(20) == 0 {
		a.ID = "0-none"
	}
	actions := []telemetry.AlertAction{
		telemetry.ActionAcknowledge, telemetry.ActionAcknowledge, telemetry.ActionUnacknowledge, telemetry.ActionComment, telemetry.ActionAssign}
	device, _, _ := telemetry.SplitSeries(a.Series)
	c := &wire.Control{
		Kind: wire.ControlAlert, Device: device, Time: time.Now().UnixMicro(), By: "soak",
		Alert: &telemetry.AlertCommand{Alert: a.ID, Series: a.Series, Action: actions[rng.IntN(len(actions))], Text: fmt.Sprint("note ", s.Step)}}
	return s.to(device, wire.AppendControl(nil, c))
}

func (s *stream) silence(rng *rand.Rand) *wire.Control {
	now := time.Now()
	patterns := []string{"plant0/#", "+/line1/#", "plant1/+/+/temperature", s.Sources[rng.IntN(len(s.Sources))].Path + "/#"}
	return &wire.Control{Kind: wire.ControlSilence, Time: now.UnixMicro(), By: "soak", Silence: &telemetry.Silence{
		ID: fmt.Sprint("silence", rng.IntN(6)), Series: patterns[rng.IntN(len(patterns))],
		From: now.UnixMicro(), Until: now.Add(time.Duration(rng.IntN(20)) * time.Second).UnixMicro(), By: "soak", Created: now.UnixMicro()}}
}

func (s *stream) plan(rng *rand.Rand) []outgoing {
	s.Plan = (s.Plan + 1 + rng.IntN(len(streamPlans)-1)) % len(streamPlans)
	return s.everywhere(planControl(streamPlans[s.Plan], time.Now().UnixMicro()))
}

// frame is the next one of a device, or one of the last it has sent.
func (d *source) frame(rng *rand.Rand) *telemetry.Batch {
	if len(d.sent) > 0 && rng.IntN(8) == 0 {
		return d.sent[rng.IntN(len(d.sent))]
	}
	switch rng.IntN(400) {
	case 0:
		d.Boot, d.Seq = d.Boot+1, 0
	case 1:
		d.Clock += int64(rng.IntN(6*3600)) * 1e6
	case 2, 3:
		d.Level = float64(rng.IntN(5)-2) * 8
	}
	b := &telemetry.Batch{Device: d.Path, Session: fmt.Sprint("boot", d.Boot), Seq: d.Seq, Ingest: time.Now().UnixMicro()}
	d.Seq++
	if rng.IntN(20) == 0 {
		b.Session, b.Seq = "", 0
	}
	n := 1 + rng.IntN(6)
	if rng.IntN(150) == 0 {
		n = 100 + rng.IntN(200)
	}
	for range n {
		b.Readings = append(b.Readings, d.reading(rng))
	}
	if b.Session != "" {
		d.sent = append(d.sent, b)
		if len(d.sent) > 20 {
			d.sent = slices.Delete(d.sent, 0, 1)
		}
	}
	return b
}

func (d *source) reading(rng *rand.Rand) telemetry.Reading {
	d.Clock += int64(rng.IntN(1_500_000))
	metric, value := d.measure(rng)
	r := telemetry.Reading{Metric: metric, Time: d.Clock, Value: value}
	switch rng.IntN(240) {
	case 0, 1:
		r.Value = math.NaN()
	case 2:
		r.Value = math.Inf(1 - 2*rng.IntN(2))
	case 3, 4, 5:
		r.Time -= streamLateness.Microseconds() + int64(rng.IntN(600_000_000)) // late, as plans see it
	case 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20:
		r.Time -= int64(rng.IntN(int(streamLateness.Microseconds())))
	case 21, 22, 23:
		r.Value *= 20
	}
	return r
}

// measure is a value of one of the device's metrics.
func (d *source) measure(rng *rand.Rand) (metric string, value float64) {
	switch rng.IntN(9) {
	case 0, 1, 2:
		daily := 5 * math.Sin(2*math.Pi*float64(d.Clock%86_400e6)/86_400e6)
		return "temperature", 20 + daily + d.Level + rng.NormFloat64()/3
	case 3, 4:
		if d.Clock/600e6%5 != 0 { // else stuck
			d.Walk += rng.NormFloat64() / 10
		}
		return "pressure", 100 + d.Walk
	case 5:
		if d.Count += float64(rng.IntN(10)); rng.IntN(300) == 0 {
			d.Count = 0
		}
		return "count", d.Count
	case 6:
		d.Door = d.Door != (rng.IntN(4) == 0)
		if d.Door {
			return "door", 1
		}
		return "door", 0
	default:
		return "vibration", math.Abs(rng.NormFloat64())
	}
}
