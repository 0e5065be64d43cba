package pipeline

import (
	"context"
	"strings"
	"testing"

	"weir/kafka"
	"weir/pipeline/plan"
	"weir/wire"
)

// ownHot lets an owner raise an alert by the rules of a plan, and stop.
func (w *world) ownHot(t *testing.T, p *Pipeline, hash string) {
	t.Helper()
	stop := w.start(p)
	awaitPlan(t, p, 0, hash)
	w.send(oneReading("plant/a", "temperature", epoch, 95))
	w.await("it is hot", func() bool { return len(w.records(wire.TopicAlerts, 0)) == 1 })
	stop()
}

func TestAPlanThatIsNotUnderstoodStopsTheOwnerInsteadOfTheDefaultTakingItsPlace(t *testing.T) {
	for name, value := range map[string]string{
		"of a later version": "\x01pipelines:\n  - {match: \"q/#\", a_key_of_the_next_version: 1}\n",
		"in another layout":  "\x02x",
		"empty":              "",
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, 1)
			wanted := newFixedPlan(t, inspectedPlan)
			planned := func(o *Options) { o.Plans = wanted }
			w.ownHot(t, w.pipeline(planned), wanted.Hash())
			n := 0
			for _, r := range w.records(wire.TopicState, 0) {
				if strings.HasPrefix(string(r.Key), planKey) {
					n++
					later := kafka.Record{Key: r.Key, Value: []byte(value), Headers: r.Headers}
					if _, err := w.producer.ProduceSync(w.context(), wire.TopicState, 0, []kafka.Record{later}); err != nil {
						t.Fatal(err)
					}
				}
			}
			if n == 0 {
				t.Fatal("no plan is in weir.state")
			}
			err := w.own(w.pipeline(planned), -1)
			if err == nil || !strings.Contains(err.Error(), "since offset 0 of weir.readings") || !strings.Contains(err.Error(), "accept_loss") {
				t.Errorf("error %v, want one that names the offset and says what to do", err)
			}
			if strings.Contains(value, "a_key") && (err == nil || !strings.Contains(err.Error(), "a_key_of_the_next_version")) {
				t.Errorf("error %v, want one that names the fault", err)
			}

			// The plan of the file takes its place, and is there for the next owner, who may lose nothing.
			p := w.pipeline(planned)
			p.config.AcceptLoss = true
			w.send(oneReading("plant/a", "temperature", epoch+1e6, 96))
			if err := w.ownUntilStored(p, 2); err != nil {
				t.Fatal(err)
			}
			p = w.pipeline(planned)
			ctx, stop := context.WithCancel(w.context())
			p.hook = func(_ int, point string) error {
				if point == "restored" {
					stop()
				}
				return nil
			}
			if err := p.newOwner(0, -1, func(context.Context, int64) error { return nil }).run(ctx); err != nil {
				t.Errorf("the next owner: %v", err)
			}
			if n := len(w.records(wire.TopicAlerts, 0)); n != 1 {
				t.Errorf("%d transitions of the alert, want 1: it is as hot as before", n)
			}
		})
	}
}

func TestAPlanThatIsNotInForceAnyMoreNeedNotBeUnderstood(t *testing.T) {
	g := newRegistry(1)
	for offset, text := range map[string]string{"3": "\x01nonsense", "7": "\x01" + inspectedPlan, "9": "\x01nonsense"} {
		if err := g.restorePlan(offset, []byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	r := &restorer{o: &owner{Pipeline: &Pipeline{}}, out: restored{registry: g}}
	for position, ok := range map[int64]bool{3: true, 4: false, 7: false, 8: true, 9: true, 10: false} {
		if err := r.understood(position); (err == nil) != ok {
			t.Errorf("at %d: %v", position, err)
		}
	}
	if g.begin(8); g.plan.Hash() == plan.Default().Hash() {
		t.Error("the plan in force is the default")
	}
}
