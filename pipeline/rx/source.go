package rx

import (
	"context"

	"github.com/reactivex/rxgo/v2"
)

// Source is the beginning of a stream. It has a single sender, which is the one to close it.
type Source[B any] struct {
	items chan rxgo.Item
}

// NewSource makes a source whose channel holds buffer items beside those the operators hold.
func NewSource[B any](buffer int) *Source[B] {
	return &Source[B]{items: make(chan rxgo.Item, buffer)}
}

// Send hands item to the first operator. It waits while the stream is full, until ctx ends; the item was
// not taken when it returns ctx's error.
func (s *Source[B]) Send(ctx context.Context, item *B) error {
	select {
	case s.items <- rxgo.Item{V: item}:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Close ends the stream once everything sent has passed it.
func (s *Source[B]) Close() { close(s.items) }
