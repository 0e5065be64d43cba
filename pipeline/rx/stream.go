package rx

import (
	"context"
	"runtime/debug"

	"github.com/reactivex/rxgo/v2"
)

// Fault is a panic of an operator's function.
type Fault[B any] struct {
	// Stage names the operator.
	Stage string
	// Item is what it was working on. It travels on after the handler returns.
	Item  *B
	Value any
	Stack []byte
}

// Options of a stream.
type Options[B any] struct {
	// Buffer is how many items may wait between two operators.
	Buffer int
	// OnPanic is called in the operator's goroutine.
	OnPanic func(Fault[B])
}

// Stream is a chain of operators under construction. Nothing runs before ForEach.
type Stream[B any] struct {
	items   rxgo.Observable
	buffer  rxgo.Option
	onPanic func(Fault[B])
}

// From begins a stream at its source.
func From[B any](source *Source[B], options Options[B]) Stream[B] {
	return Stream[B]{
		items:   rxgo.FromChannel(source.items),
		buffer:  rxgo.WithBufferedChannel(options.Buffer),
		onPanic: options.OnPanic,
	}
}

// Map applies a function to every item and passes on what it returns.
func (s Stream[B]) Map(stage string, apply func(*B) *B) Stream[B] {
	s.items = s.items.Map(func(_ context.Context, v any) (any, error) {
		return s.guard(stage, v.(*B), apply), nil
	}, s.buffer)
	return s
}

// Filter passes on the items for which keep reports true. An item on which keep panics is passed on.
func (s Stream[B]) Filter(stage string, keep func(*B) bool) Stream[B] {
	s.items = s.items.Filter(func(v any) bool {
		kept := true
		s.guard(stage, v.(*B), func(item *B) *B {
			kept = keep(item)
			return item
		})
		return kept
	}, s.buffer)
	return s
}

// ForEach starts the stream and gives every item that arrives to consume. The channel it returns closes
// when the source was closed and the last item has been consumed.
func (s Stream[B]) ForEach(stage string, consume func(*B)) <-chan struct{} {
	apply := func(item *B) *B {
		consume(item)
		return item
	}
	return s.items.ForEach(
		func(v any) { s.guard(stage, v.(*B), apply) },
		func(error) {}, // no operator above returns an error
		func() {},
	)
}

func (s Stream[B]) guard(stage string, item *B, apply func(*B) *B) (out *B) {
	defer func() {
		if v := recover(); v != nil {
			s.onPanic(Fault[B]{Stage: stage, Item: item, Value: v, Stack: debug.Stack()})
			out = item
		}
	}()
	return apply(item)
}
