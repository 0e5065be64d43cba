package rx

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type item struct {
	n     int
	trail []string
}

func visit(stage string) func(*item) *item {
	return func(i *item) *item {
		i.trail = append(i.trail, stage)
		return i
	}
}

func TestItemsPassEveryOperatorInOrder(t *testing.T) {
	source := NewSource[item](0)
	var got []int
	done := From(source, Options[item]{Buffer: 1}).
		Map("a", visit("a")).
		Filter("odd", func(i *item) bool { return i.n%2 == 1 }).
		Map("b", visit("b")).
		ForEach("end", func(i *item) {
			if len(i.trail) != 2 || i.trail[0] != "a" || i.trail[1] != "b" {
				t.Errorf("item %d went through %v", i.n, i.trail)
			}
			got = append(got, i.n)
		})
	for n := range 100 {
		if err := source.Send(t.Context(), &item{n: n}); err != nil {
			t.Fatal(err)
		}
	}
	source.Close()
	<-done
	if len(got) != 50 {
		t.Fatalf("%d items arrived, want 50", len(got))
	}
	for i, n := range got {
		if n != 2*i+1 {
			t.Fatalf("item %d is %d", i, n)
		}
	}
}

func TestPanicGoesToTheHandlerAndTheItemTravelsOn(t *testing.T) {
	for _, stage := range []string{"map", "filter", "end"} {
		t.Run(stage, func(t *testing.T) {
			boom := func(at string, i *item) {
				if at == stage && i.n == 1 {
					panic("boom")
				}
			}
			faults := make(chan Fault[item], 10)
			source := NewSource[item](3)
			var arrived []int
			done := From(source, Options[item]{OnPanic: func(f Fault[item]) { faults <- f }}).
				Map("map", func(i *item) *item { boom("map", i); return i }).
				Filter("filter", func(i *item) bool { boom("filter", i); return true }).
				ForEach("end", func(i *item) { arrived = append(arrived, i.n); boom("end", i) })
			for n := range 3 {
				if err := source.Send(t.Context(), &item{n: n}); err != nil {
					t.Fatal(err)
				}
			}
			source.Close()
			<-done
			if len(arrived) != 3 {
				t.Errorf("items %v arrived, want all three", arrived)
			}
			if len(faults) != 1 {
				t.Fatalf("%d faults, want 1", len(faults))
			}
			f := <-faults
			if f.Stage != stage || f.Item.n != 1 || f.Value != "boom" || len(f.Stack) == 0 {
				t.Errorf("fault %q item %d value %v", f.Stage, f.Item.n, f.Value)
			}
		})
	}
}

func TestClosingTheSourceLosesNothingInFlight(t *testing.T) {
	source := NewSource[item](64)
	for n := range 64 {
		if err := source.Send(t.Context(), &item{n: n}); err != nil {
			t.Fatal(err)
		}
	}
	source.Close()
	arrived := 0
	<-From(source, Options[item]{Buffer: 4}).Map("a", visit("a")).ForEach("end", func(*item) { arrived++ })
	if arrived != 64 {
		t.Fatalf("%d of 64 items arrived", arrived)
	}
}

func TestSendWaitsWhileTheStreamIsFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source := NewSource[item](0)
		gate := make(chan struct{})
		done := From(source, Options[item]{}).ForEach("end", func(*item) { <-gate })
		if err := source.Send(t.Context(), &item{}); err != nil {
			t.Fatal(err)
		}
		full, cancel := context.WithCancelCause(t.Context())
		refused := make(chan error)
		go func() { refused <- source.Send(full, &item{}) }()
		synctest.Wait()
		stop := errors.New("stop")
		cancel(stop)
		if err := <-refused; !errors.Is(err, stop) {
			t.Errorf("Send returned %v, want the cause of the cancellation", err)
		}
		close(gate)
		source.Close()
		<-done
	})
}

func BenchmarkStream(b *testing.B) {
	source := NewSource[item](1)
	same := func(i *item) *item { return i }
	done := From(source, Options[item]{Buffer: 1}).
		Map("1", same).Map("2", same).Map("3", same).Map("4", same).Map("5", same).Map("6", same).
		ForEach("end", func(*item) {})
	it := &item{}
	b.ReportAllocs()
	for b.Loop() {
		_ = source.Send(context.Background(), it)
	}
	source.Close()
	<-done
}
