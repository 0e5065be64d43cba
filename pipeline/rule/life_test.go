package rule

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"weir/telemetry"
)

func flappy() Spec {
	return Spec{Name: "hot", Kind: Threshold, Above: level(85), Flapping: Flapping{Count: 3, Period: time.Minute}}
}

// beat has the condition come at the second and go a second later.
func (b *bed) beat(at int64) []Transition { return append(b.read(at, 90), b.read(at+1, 70)...) }

func TestConditionThatComesTooOftenIsOneAlertInPhaseFlapping(t *testing.T) {
	b := newBed(t, flappy())
	for at := range int64(2) {
		if got := b.beat(10 * at); len(got) != 2 {
			t.Fatalf("beat %d: %+v", at, got)
		}
	}
	x := b.one(b.beat(20), telemetry.Flapping, telemetry.FlappingBegan)
	if want := (telemetry.Flaps{Count: 3, Period: 20 * second}); x.Flaps != want {
		t.Errorf("flaps %+v, want %+v", x.Flaps, want)
	}
	if want := "plant1/press7/temperature is flapping: hot came 3 times within 20s; last, plant1/press7/temperature is 90 °C, above 85"; x.Summary != want {
		t.Errorf("summary %q, want %q", x.Summary, want)
	}
	b.none(b.beat(30))
	b.none(b.beat(40))
	y := b.one(b.beat(50), telemetry.Flapping, telemetry.FlappingBegan)
	if y.ID != x.ID || y.Flaps.Count != 6 || y.Flaps.Period != 50*second {
		t.Errorf("flaps %+v of %s", y.Flaps, y.ID)
	}
	b.none(b.tick(110))
	z := b.one(b.tick(112), telemetry.Resolved, telemetry.Cleared)
	if z.ID != x.ID || z.Flaps.Count != 6 {
		t.Errorf("%s with %+v", z.ID, z.Flaps)
	}
	if got := b.beat(120); len(got) != 2 || got[0].Reason != telemetry.Raised {
		t.Errorf("after flapping ended a single time is %+v", got)
	}
}

func TestFlappingOnTheEdgeOfItsPeriod(t *testing.T) {
	for last, want := range map[int64]telemetry.Reason{60: telemetry.FlappingBegan, 61: telemetry.Raised} {
		b := newBed(t, flappy())
		b.beat(0)
		b.beat(30)
		if got := b.beat(last); got[0].Reason != want {
			t.Errorf("third time after %d s is %s, want %s", last, got[0].Reason, want)
		}
	}
}

func TestSteadyButStillHotGoesOnFiring(t *testing.T) {
	b := newBed(t, flappy())
	b.beat(0)
	b.beat(10)
	id := b.one(b.read(20, 90), telemetry.Flapping, telemetry.FlappingBegan).ID
	for at := int64(30); at < 80; at += 10 {
		b.none(b.read(at, 95))
	}
	x := b.one(b.tick(81), telemetry.Firing, telemetry.FlappingEnded)
	if x.ID != id || x.Flaps.Count != 3 {
		t.Errorf("%s with %+v", x.ID, x.Flaps)
	}
	b.one(b.read(90, 70), telemetry.Resolved, telemetry.Cleared)
}

func TestKeepFiringForOutlastsAShorterPeriod(t *testing.T) {
	s := flappy()
	s.KeepFiringFor = 2 * time.Minute
	b := newBed(t, s)
	b.one(b.beat(0), telemetry.Firing, telemetry.Raised)
	b.none(b.beat(10)) // the alert is still open
	b.one(b.beat(20), telemetry.Flapping, telemetry.FlappingBegan)
	b.none(b.tick(140))
	b.one(b.tick(142), telemetry.Resolved, telemetry.Cleared)
	if got := b.beat(145); got[0].Reason != telemetry.Raised {
		t.Errorf("%+v, want what came before flapping ended not to count", got)
	}
}

func TestAlertDoesNotMoveTwiceAtOneVersion(t *testing.T) {
	b := newBed(t, hot())
	b.one(b.read(1, 90), telemetry.Firing, telemetry.Raised)
	o := b.observation(2, 70)
	o.Version -= 4096
	b.none(b.w.Observe(&b.s, &o, nil))
	b.none(b.w.Tick(&b.s, o.Version, 1000*second, nil))
	b.one(b.read(3, 70), telemetry.Resolved, telemetry.Cleared)
	s := hot()
	s.KeepFiringFor = time.Minute
	b = newBed(t, s)
	raised := b.one(b.read(1, 90), telemetry.Firing, telemetry.Raised)
	b.none(b.read(2, 70))
	b.none(b.w.Tick(&b.s, raised.Version, 1000*second, nil))
	b.one(b.tick(1000), telemetry.Resolved, telemetry.Cleared)
}

func TestWhatCameBeforeFlappingEndedDoesNotCountThoughAClockIsBehind(t *testing.T) {
	for _, on := range []bool{false, true} {
		b := newBed(t, flappy())
		b.beat(0)
		b.beat(10)
		b.read(20, 90)
		if !on {
			b.none(b.read(21, 70))
		}
		if got := b.tick(82); len(got) != 1 {
			t.Fatalf("%+v", got)
		}
		b.read(40, 70)
		if got := b.read(50, 90); len(got) != 1 || got[0].Reason != telemetry.Raised {
			t.Errorf("%+v", got)
		}
	}
}

func (b *bed) command(id string, action telemetry.AlertAction, text string) ([]Transition, error) {
	b.version += 4096
	return b.w.Command(&b.s, &Command{
		AlertCommand: telemetry.AlertCommand{Alert: id, Series: b.s.Series, Action: action, Text: text},
		By:           "alice", Version: b.version, Now: 99 * second,
	}, nil)
}

func (b *bed) done(got []Transition, err error) []Transition {
	b.t.Helper()
	if err != nil {
		b.t.Fatal(err)
	}
	return got
}

func TestAcknowledgementSurvivesFlappingAndEndsWithTheAlert(t *testing.T) {
	s := flappy()
	s.KeepFiringFor = time.Minute
	b := newBed(t, s)
	id := b.one(b.beat(0), telemetry.Firing, telemetry.Raised).ID
	x := b.one(b.done(b.command(id, telemetry.ActionAcknowledge, "on it")), telemetry.Acknowledged, telemetry.Acked)
	want := telemetry.Note{By: "alice", Time: 99 * second, Text: "on it"}
	if *x.Marked != want || x.Summary != "plant1/press7/temperature is 90 °C, above 85" || x.Value != 90 {
		t.Errorf("%+v by %q, value %v", *x.Marked, x.Summary, x.Value)
	}
	b.none(b.beat(10))
	if y := b.one(b.read(20, 90), telemetry.Flapping, telemetry.FlappingBegan); y.Marked == nil || *y.Marked != want {
		t.Errorf("acknowledged %+v while flapping", y.Marked)
	}
	b.one(b.tick(90), telemetry.Acknowledged, telemetry.FlappingEnded)
	b.none(b.read(100, 70))
	if z := b.one(b.tick(161), telemetry.Resolved, telemetry.Cleared); z.Marked == nil {
		t.Error("the end does not say who acknowledged")
	}
	if again := b.one(b.read(300, 90), telemetry.Firing, telemetry.Raised); again.Marked != nil || again.ID == id {
		t.Errorf("the next alert is %s, acknowledged %+v", again.ID, again.Marked)
	}
}

func TestCommandsLeaveWhatPeopleSaid(t *testing.T) {
	b := newBed(t, hot())
	id := b.one(b.read(1, 90), telemetry.Firing, telemetry.Raised).ID
	x := b.one(b.done(b.command(id, telemetry.ActionAssign, "bob")), telemetry.Firing, telemetry.Assigned)
	if x.Assignee != "bob" || x.Summary != "plant1/press7/temperature is 90 °C, above 85" {
		t.Errorf("%q: %q", x.Assignee, x.Summary)
	}
	for range MaxComments {
		b.done(b.command(id, telemetry.ActionComment, "old"))
	}
	long := strings.Repeat("ü", MaxCommentBytes)
	y := b.one(b.done(b.command(id, telemetry.ActionComment, long)), telemetry.Firing, telemetry.Commented)
	if n := len(y.Comments); n != MaxComments || y.Comments[n-2].Text != "old" || y.Comments[n-1].Text != long[:MaxCommentBytes] {
		t.Errorf("%d comments, %v", n, y.Comments)
	}
	b.one(b.done(b.command(id, telemetry.ActionAcknowledge, "")), telemetry.Acknowledged, telemetry.Acked)
	if z := b.one(b.done(b.command(id, telemetry.ActionUnacknowledge, "")), telemetry.Firing, telemetry.Unacked); z.Marked != nil {
		t.Errorf("still acknowledged: %+v", z.Marked)
	}
	b.done(b.command(id, telemetry.ActionComment, "newer"))
	if y.Comments[MaxComments-2].Text != "old" {
		t.Error("a transition changed after it was handed out")
	}
}

func TestCommandsThatCannotBeDoneSayWhy(t *testing.T) {
	b := newBed(t, hot())
	id := b.one(b.read(1, 90), telemetry.Firing, telemetry.Raised).ID
	before := b.w.MarshalAppend(nil)
	for _, c := range []struct {
		id, action, text string
		want             error
	}{
		{"3-00", "acknowledge", "", ErrUnknownAlert}, {id, "explode", "", ErrUnknownAction}, {id, "comment", "", ErrUnknownAction},
	} {
		if _, err := b.command(c.id, telemetry.AlertAction(c.action), c.text); !errors.Is(err, c.want) {
			t.Errorf("%+v: %v", c, err)
		}
	}
	stale := Command{AlertCommand: telemetry.AlertCommand{Alert: id, Action: telemetry.ActionAcknowledge}, Version: 4096}
	if _, err := b.w.Command(&b.s, &stale, nil); !errors.Is(err, ErrStale) {
		t.Errorf("stale: %v", err)
	}
	if !slices.Equal(before, b.w.MarshalAppend(nil)) {
		t.Error("changed by commands that were refused")
	}
}

func TestChangedRulesEndWhatTheyRaisedAndOthersGoOn(t *testing.T) {
	warm := hot()
	warm.Name, warm.Above, warm.ClearAbove = "warm", level(50), nil
	b := newBed(t, hot(), warm)
	raised := b.read(1, 90)
	if len(raised) != 2 {
		t.Fatalf("%+v", raised)
	}
	hotter, renamed := hot(), warm
	hotter.Above = level(95)
	renamed.Annotations = map[string]string{"text": "changed"}
	b.s.Rules = []*Rule{compile(t, renamed), compile(t, hotter)}
	b.version += 4096
	x := b.one(b.w.Rules(&b.s, b.version, 2*second, nil), telemetry.Resolved, telemetry.RuleRemoved)
	if x.ID != raised[0].ID || x.Rule != "hot" || x.By != nil || x.Version != b.version {
		t.Errorf("%+v", x)
	}
	b.none(b.w.Rules(&b.s, b.version, 2*second, nil))
	y := b.one(b.read(3, 40), telemetry.Resolved, telemetry.Cleared)
	if y.ID != raised[1].ID || y.Annotations["text"] != "changed" {
		t.Errorf("%s with %v, want %s", y.ID, y.Annotations, raised[1].ID)
	}
}

func TestObserveFollowsAChangeOfRulesByItself(t *testing.T) {
	b := newBed(t, hot())
	b.one(b.read(1, 90), telemetry.Firing, telemetry.Raised)
	b.s.Rules = nil
	if b.w.Due(&b.s) > 0 {
		t.Error("an alert without a rule is not due")
	}
	b.one(b.read(2, 90), telemetry.Resolved, telemetry.RuleRemoved)
}

func TestEndResolvesEverything(t *testing.T) {
	b := newBed(t, hot(), Spec{Name: "gone", Kind: Absence, For: time.Minute})
	b.one(b.read(1, 90), telemetry.Firing, telemetry.Raised)
	b.one(b.tick(100), telemetry.Firing, telemetry.Raised)
	got := b.w.End(&b.s, telemetry.SeriesDeleted, b.version+1, 200*second, nil)
	if len(got) != 2 || got[0].Reason != telemetry.SeriesDeleted || got[0].Phase != telemetry.Resolved ||
		got[0].Summary != "plant1/press7/temperature was deleted (before: 90 °C, above 85)" || !b.w.Empty() {
		t.Errorf("%+v", got)
	}
}

func TestAdoptedAlertIsClearedByWhatComesNext(t *testing.T) {
	origin := newBed(t, hot())
	raised := origin.one(origin.read(1, 90), telemetry.Firing, telemetry.Raised)
	b := newBed(t, hot())
	b.w.Adopt(&b.s, &raised.Alert, 5*second)
	b.none(b.read(1, 70)) // the replay of what raised it
	if x := b.one(b.read(2, 70), telemetry.Resolved, telemetry.Cleared); x.ID != raised.ID || x.StartedTime != raised.StartedTime {
		t.Errorf("%+v", x)
	}
}

func TestAdoptChangesNothingThatIsKnown(t *testing.T) {
	s := hot()
	s.KeepFiringFor = time.Minute
	b := newBed(t, s)
	raised := b.one(b.read(1, 90), telemetry.Firing, telemetry.Raised)
	b.none(b.read(2, 70))
	before := b.w.MarshalAppend(nil)
	b.w.Adopt(&b.s, &raised.Alert, 5*second)
	if !slices.Equal(before, b.w.MarshalAppend(nil)) {
		t.Error("changed")
	}
}

func TestAdoptedEndIsBelieved(t *testing.T) {
	b := newBed(t, hot())
	raised := *b.one(b.read(1, 90), telemetry.Firing, telemetry.Raised)
	raised.Phase, raised.Version = telemetry.Resolved, raised.Version+4096
	b.w.Adopt(&b.s, &raised.Alert, 5*second)
	b.none(b.read(2, 70))
	b.none(b.read(3, 70))
	b.one(b.read(4, 90), telemetry.Firing, telemetry.Raised)
}

func TestAdoptedFlappingEndsWhenNothingComes(t *testing.T) {
	origin := newBed(t, flappy())
	origin.beat(0)
	origin.beat(10)
	x := origin.one(origin.beat(20), telemetry.Flapping, telemetry.FlappingBegan)
	b := newBed(t, flappy())
	b.w.Adopt(&b.s, &x.Alert, 30*second)
	b.version = x.Version
	b.none(b.read(40, 70))
	b.none(b.tick(100))
	if y := b.one(b.tick(101), telemetry.Resolved, telemetry.Cleared); y.ID != x.ID || y.Flaps.Count != 3 {
		t.Errorf("%+v", y)
	}
}

func TestAdoptedAlertOfARuleThatIsGoneIsResolved(t *testing.T) {
	origin := newBed(t, hot())
	raised := origin.one(origin.read(1, 90), telemetry.Firing, telemetry.Raised)
	b := newBed(t, *Default())
	b.w.Adopt(&b.s, &raised.Alert, 5*second)
	b.version = raised.Version
	if b.w.Due(&b.s) > 5*second {
		t.Error("not due")
	}
	if x := b.one(b.tick(6), telemetry.Resolved, telemetry.RuleRemoved); x.ID != raised.ID {
		t.Errorf("%+v", x)
	}
}

func TestOpenShowsAlertsAndWhatIsPending(t *testing.T) {
	slow := hot()
	slow.Name, slow.For = "slow", time.Minute
	b := newBed(t, hot(), slow)
	x := b.one(b.read(7, 90), telemetry.Firing, telemetry.Raised)
	got := slices.Collect(b.w.Open(&b.s))
	if len(got) != 2 || got[0].ID != x.ID || got[0].Phase != telemetry.Firing || !got[0].Active ||
		got[1].ID != "" || got[1].Phase != Pending || got[1].Since != 7*second {
		t.Errorf("%+v", got)
	}
	if b.w.Quiet(&b.s) {
		t.Error("quiet with an open alert")
	}
}
