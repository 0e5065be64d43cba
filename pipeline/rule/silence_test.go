package rule

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"weir/telemetry"
)

func sample(id string) telemetry.Silence {
	return telemetry.Silence{ID: id, Series: "plant1/#", From: 10, Until: 20, By: "alice", Created: 5, Comment: "maintenance"}
}

func TestSilenceCoversWhatItSelectsWhileItIsInForce(t *testing.T) {
	var s Silences
	narrow := sample("b")
	narrow.Series, narrow.Rules, narrow.Severities = "plant1/+/temperature", []string{"hot"}, []telemetry.Severity{telemetry.Critical}
	for _, x := range []telemetry.Silence{narrow, sample("a")} {
		if err := s.Put(x, 0); err != nil {
			t.Fatal(err)
		}
	}
	hot := telemetry.Alert{Series: "plant1/p/temperature", Rule: "hot", Severity: telemetry.Critical}
	other, mild, far := hot, hot, hot
	other.Rule, mild.Severity, far.Series = "cold", telemetry.Info, "plant2/p/temperature"
	for _, c := range []struct {
		a    telemetry.Alert
		now  int64
		want []string
	}{
		{hot, 9, nil}, {hot, 10, []string{"a", "b"}}, {hot, 19, []string{"a", "b"}}, {hot, 20, nil},
		{other, 15, []string{"a"}}, {mild, 15, []string{"a"}}, {far, 15, nil},
	} {
		if got := s.Covers(&c.a, c.now); !slices.Equal(got, c.want) {
			t.Errorf("%+v at %d: %v, want %v", c.a, c.now, got, c.want)
		}
	}
}

func TestSilencesAreAMapWithoutThoseThatEnded(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var s Silences
		want := map[string]telemetry.Silence{}
		now := int64(0)
		for range rapid.IntRange(0, 30).Draw(t, "n") {
			now += rapid.Int64Range(0, 3).Draw(t, "step")
			x := sample(rapid.StringMatching("[a-d]").Draw(t, "id"))
			x.From = now + rapid.Int64Range(-3, 3).Draw(t, "from")
			x.Until = x.From + rapid.Int64Range(0, 5).Draw(t, "for")
			if err := s.Put(x, now); err != nil {
				t.Fatal(err)
			}
			want[x.ID] = x
			s.expire(now)
			for id, x := range want {
				if x.Until <= now {
					delete(want, id)
				}
			}
			got := map[string]telemetry.Silence{}
			for _, x := range s.list {
				got[x.ID] = x.Silence
			}
			if !reflect.DeepEqual(got, want) {
				t.Fatalf("at %d: %v, want %v", now, got, want)
			}
			var restored Silences
			for id := range want {
				for range 2 { // the second in place of the first
					b, _ := s.MarshalAppend(nil, id)
					if err := restored.Unmarshal(id, b); err != nil {
						t.Fatal(err)
					}
				}
			}
			if len(want) > 0 && !reflect.DeepEqual(restored, s) {
				t.Fatalf("restored %v of %v", restored, s)
			}
			if b, there := s.MarshalAppend(nil, "e"); there || b != nil {
				t.Fatalf("a silence that there is not is %q", b)
			}
		}
	})
}

func TestSilencesThatAreMalformedOrTooManyAreRefused(t *testing.T) {
	var s Silences
	for field, change := range map[string]func(*telemetry.Silence){
		"id": func(x *telemetry.Silence) { x.ID = "" }, "series": func(x *telemetry.Silence) { x.Series = "a/#/b" },
		"rules[0]": func(x *telemetry.Silence) { x.Rules = []string{""} }, "until": func(x *telemetry.Silence) { x.Until = 9 },
		"severities[0]": func(x *telemetry.Silence) { x.Severities = []telemetry.Severity{"x"} },
		"by":            func(x *telemetry.Silence) { x.By = fmt.Sprintf("%02049d", 1) },
	} {
		x := sample("a")
		change(&x)
		var one *FieldError
		if err := s.Put(x, 0); !errors.As(err, &one) || one.Field != field {
			t.Errorf("%s: %v", field, err)
		}
	}
	for i := range MaxSilences {
		if err := s.Put(sample(fmt.Sprint(i)), 0); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Put(sample("more"), 0); !errors.Is(err, ErrTooManySilences) {
		t.Errorf("one too many: %v", err)
	}
	if err := s.Put(sample("0"), 0); err != nil {
		t.Errorf("replaced when full: %v", err)
	}
	if err := s.Put(telemetry.Silence{ID: "z", Series: "#", From: 20, Until: 30}, 20); err != nil || len(s.list) != 1 {
		t.Errorf("when the others ended: %v, %d left", err, len(s.list))
	}
}

// Whoever writes commands may use all that is permitted, in characters that take the most room.
func TestNoSilenceIsLongerThanARecordMayBe(t *testing.T) {
	for _, char := range []string{"<", "\"", "\x01", "\xff", "ä"} {
		x := sample("a")
		fill := func(n int) string { return strings.Repeat(char, n/len(char)) }
		x.By, x.Comment = fill(maxSilenceBy), fill(maxComment)
		for range MaxSilenceRules {
			x.Rules = append(x.Rules, fill(4*MaxNameBytes))
		}
		for len(x.Severities) < MaxSilenceRules {
			x.Severities = append(x.Severities, telemetry.Critical)
		}
		var s Silences
		err := s.Put(x, 0)
		if b, there := s.MarshalAppend(nil, "a"); len(b) > 64<<10 || there != (err == nil) {
			t.Errorf("%q: %d bytes, %v", char, len(b), err)
		}
		if (char == "\x01" || char == "\xff") != (err != nil) {
			t.Errorf("%q: %v", char, err)
		}
		x.Rules = x.Rules[:10]
		if err := s.Put(x, 0); err != nil {
			t.Errorf("%q, fewer: %v", char, err)
		}
		x.Comment += "more"
		if s.Put(x, 0) == nil {
			t.Errorf("a comment of %d bytes is taken", len(x.Comment))
		}
	}
}

func FuzzSilencesUnmarshal(f *testing.F) {
	var s Silences
	_ = s.Put(sample("a"), 0)
	b, _ := s.MarshalAppend(nil, "a")
	f.Add("a", b)
	f.Fuzz(func(t *testing.T, id string, b []byte) {
		var s Silences
		if s.Unmarshal(id, b) != nil {
			if len(s.list) > 0 {
				t.Fatal("changed by bytes it refused")
			}
			return
		}
		var again Silences
		b, there := s.MarshalAppend(nil, id)
		if err := again.Unmarshal(id, b); err != nil || !there || len(again.list) != len(s.list) {
			t.Fatal(err)
		}
	})
}

func inhibitor(t *testing.T, list ...Inhibition) *Inhibitor {
	t.Helper()
	in, err := CompileInhibitions(list)
	if err != nil {
		t.Fatal(err)
	}
	return in
}

func TestOldestSourceInhibits(t *testing.T) {
	in := inhibitor(t, Inhibition{
		Source: Match{Severities: []telemetry.Severity{telemetry.Critical}, Series: "+/+/power"},
		Target: Match{Severities: []telemetry.Severity{telemetry.Warning}},
		Equal:  []string{"device"},
	})
	view := func(id, series string, severity telemetry.Severity, raised telemetry.Version) View {
		return View{ID: id, Rule: "r", Series: series, Severity: severity, Raised: raised}
	}
	open := []View{
		{Rule: "r", Series: "plant1/p/power", Severity: telemetry.Critical, Phase: Pending},
		view("warn", "plant1/p/power", telemetry.Warning, 1), view("other", "plant1/p/speed", telemetry.Critical, 2),
		view("young", "plant1/p/power", telemetry.Critical, 9), view("old", "plant1/p/power", telemetry.Critical, 8),
	}
	target := telemetry.Alert{ID: "t", Rule: "x", Series: "plant1/p/speed", Severity: telemetry.Warning}
	for _, reverse := range []bool{false, true} {
		if reverse {
			slices.Reverse(open)
		}
		if got := in.By(&target, nil, slices.Values(open)); got != "old" {
			t.Errorf("inhibited by %q, want old", got)
		}
	}
	target.Severity = telemetry.Info
	if got := in.By(&target, nil, slices.Values(open)); got != "" {
		t.Errorf("inhibited by %q, want by none", got)
	}
}

func TestAlertsDoNotInhibitEachOther(t *testing.T) {
	any := Match{Series: "#"}
	in := inhibitor(t, Inhibition{Source: any, Target: any})
	a := telemetry.Alert{ID: "a", Rule: "x", Series: "p/q"}
	open := []View{{ID: "a", Rule: "x", Series: "p/q"}, {ID: "b", Rule: "y", Series: "p/r"}}
	if got := in.By(&a, nil, slices.Values(open)); got != "" {
		t.Errorf("inhibited by %q", got)
	}
}

func TestRuleNamesWhatInhibitsIt(t *testing.T) {
	s := hot()
	s.InhibitedBy = []string{"offline"}
	r := compile(t, s)
	a := telemetry.Alert{ID: "a", Rule: "hot", Series: "p/q"}
	open := []View{{ID: "b", Rule: "other", Series: "p/r"}, {ID: "c", Rule: "offline", Series: "p/s"}}
	var none *Inhibitor
	if got := none.By(&a, r, slices.Values(open)); got != "c" {
		t.Errorf("inhibited by %q, want c", got)
	}
	if got := none.By(&a, r, slices.Values(open[:1])); got != "" {
		t.Errorf("inhibited by %q, want by none", got)
	}
}

func TestInhibitionsThatAreMalformedAreRefused(t *testing.T) {
	_, err := CompileInhibitions([]Inhibition{
		{Source: Match{Series: "#"}, Target: Match{Rules: []string{"x"}}, Equal: []string{"tenant"}},
		{Source: Match{Series: "a#"}, Target: Match{}},
	})
	want := []string{"[0].equal: ", "[1].source.series: ", "[1].target: "}
	for _, w := range want {
		if err == nil || !contains(err, w) {
			t.Errorf("nothing about %q: %v", w, err)
		}
	}
}

func contains(err error, field string) bool {
	return slices.ContainsFunc(err.(interface{ Unwrap() []error }).Unwrap(), func(e error) bool {
		var one *FieldError
		return errors.As(e, &one) && one.Field+": " == field
	})
}
