package rule

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	"weir/pipeline/detect"
	"weir/telemetry"
)

// keepers are ways to come from one transition of an alert to the next.
var keepers = map[string]func(*bed, *Transition){
	"in memory": func(*bed, *Transition) {},
	"restored from state": func(b *bed, _ *Transition) {
		b.t.Helper()
		state := b.w.MarshalAppend(nil)
		b.w = Watch{}
		if err := b.w.Unmarshal(state); err != nil {
			b.t.Fatal(err)
		}
	},
	"adopted from the record": func(b *bed, x *Transition) {
		b.w = Watch{}
		b.w.Adopt(&b.s, &x.Alert, x.Time)
	},
}

func TestEachRecordOfAnAlertTellsWhyItIsThere(t *testing.T) {
	for name, keep := range keepers {
		t.Run(name, func(t *testing.T) {
			b := newBed(t, hot())
			for at := range int64(5) {
				b.none(b.read(at, float64(60+at)))
			}
			b.w.LateOrInvalid(true)
			raised := b.one(b.read(5, 91.2), telemetry.Firing, telemetry.Raised)
			for at := range int64(20) { // nothing of the raise is left among the newest readings
				b.none(b.read(6+at, 100+float64(at)))
			}
			last := raised
			for _, action := range []telemetry.AlertAction{
				telemetry.ActionAcknowledge, telemetry.ActionComment, telemetry.ActionAssign, telemetry.ActionUnacknowledge,
			} {
				keep(b, last)
				got := b.done(b.command(raised.ID, action, "bob"))
				last = &got[0]
				if len(got) != 1 || last.Summary != raised.Summary || last.Link != raised.Link || last.Quality != raised.Quality ||
					!slices.Equal(last.Samples, raised.Samples) || last.Value != 91.2 || last.Limit != 85 {
					t.Errorf("%s: %+v\nraised: %+v", action, last, raised)
				}
			}
			keep(b, last)
			end := b.one(b.read(100, 70), telemetry.Resolved, telemetry.Cleared)
			want := "plant1/press7/temperature is back to normal after 1m35s: 70 °C (before: 91.2 °C, above 85)"
			if end.Summary != want || end.Link != raised.Link || end.Value != 70 || len(end.Samples) == 0 || len(end.Comments) != 1 {
				t.Errorf("%+v, want %s", end, want)
			}
		})
	}
}

func TestAnAlertThatFlapsTellsOfItsFlapping(t *testing.T) {
	b := newBed(t, flappy())
	b.beat(0)
	b.beat(10)
	x := b.one(b.read(20, 90), telemetry.Flapping, telemetry.FlappingBegan)
	b.none(b.read(21, 70))
	y := b.one(b.done(b.command(x.ID, telemetry.ActionComment, "why")), telemetry.Flapping, telemetry.Commented)
	if y.Summary != x.Summary || y.Value != 90 || y.Link != x.Link {
		t.Errorf("%+v", y)
	}
}

// A record without readings is no evidence: where none is known, those of before stay.
func TestAnEndWithoutReadingsKeepsTheSamples(t *testing.T) {
	origin := newBed(t, hot())
	raised := origin.one(origin.read(1, 90), telemetry.Firing, telemetry.Raised)
	b := newBed(t)
	b.w.Adopt(&b.s, &raised.Alert, 5*second)
	b.version = raised.Version
	if x := b.one(b.tick(6), telemetry.Resolved, telemetry.RuleRemoved); !slices.Equal(x.Samples, raised.Samples) ||
		!strings.HasSuffix(x.Summary, "(before: 90 °C, above 85)") {
		t.Errorf("%+v", x)
	}
}

func TestStateOfAVersionThatKeptNoAccountIsRead(t *testing.T) {
	b := newBed(t, hot())
	raised := b.one(b.read(1, 90), telemetry.Firing, telemetry.Raised)
	b.w.states[0].alert.account = nil
	old := b.w.MarshalAppend(nil)
	b.w = Watch{}
	if err := b.w.Unmarshal(old); err != nil || b.w.states[0].alert.account != nil {
		t.Fatal(err)
	}
	x := b.one(b.done(b.command(raised.ID, telemetry.ActionComment, "hm")), telemetry.Firing, telemetry.Commented)
	if x.Summary != raised.Summary || !reflect.DeepEqual(x.Samples, raised.Samples) {
		t.Errorf("%+v", x)
	}
}

func TestSummariesNameTheHead(t *testing.T) {
	found := map[string]bool{}
	for head := detect.HeadNovelty; head.String() != "unknown"; head++ {
		b := newBed(t, *Default())
		o := b.observation(1, 160)
		o.Lo, o.Hi, o.Score, o.State, o.Onset, o.Head = 98, 102, 0.83, telemetry.Alerting, true, head.String()
		x := b.one(b.w.Observe(&b.s, &o, nil), telemetry.Firing, telemetry.Raised)
		words := finding(head.String())
		if words == "" || found[words] || !strings.Contains(x.Summary, words+" ("+head.String()+", score 0.83)") {
			t.Errorf("%s: %q", head, x.Summary)
		}
		found[words] = true
	}
	if len(found) != len(heads) {
		t.Errorf("%d heads, %d of them known", len(found), len(heads))
	}
}
