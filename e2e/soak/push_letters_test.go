//go:build soak

package soak

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"time"

	device "weir/sdk/go"
)

// letter is a message that has a receipt. Begun is before it was sent, stored when the receipt was there.
type letter struct {
	said
	begun, stored time.Time
}

// letters are the messages to one target.
type letters struct {
	to device.Target

	mu    sync.Mutex // guards the following
	begun int
	got   []letter
}

// send sends the next message, by whatever way, and waits for its receipt.
func (l *letters) send(by func(n int) (id string, version int64, err error)) (version int64, err error) {
	l.mu.Lock()
	l.begun++
	n, begun := l.begun, time.Now()
	l.mu.Unlock()
	id, version, err := by(n)
	if err != nil {
		return 0, fmt.Errorf("message %d to %+v: %w", n, l.to, err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.got = append(l.got, letter{said{id, version, n}, begun, time.Now()})
	return version, nil
}

// sorted are those with a receipt, in order.
func (l *letters) sorted() []letter {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.SortedFunc(slices.Values(l.got), func(a, b letter) int { return cmp.Compare(a.Version, b.Version) })
}

// count is how many were begun.
func (l *letters) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.begun
}

// newest is the version up to which there are receipts.
func (l *letters) newest() (version int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, m := range l.got {
		version = max(version, m.Version)
	}
	return version
}

// upTo is how many there are up to a version.
func upTo(all []letter, version int64) int {
	n, found := slices.BinarySearchFunc(all, version, func(m letter, v int64) int { return cmp.Compare(m.Version, v) })
	if found {
		n++
	}
	return n
}

// runOf finds where what somebody was told stands in all that was sent: in order, once, and nothing left out.
func runOf(got []said, all []letter) (first int, err error) {
	if len(got) == 0 {
		return len(all), nil
	}
	first = upTo(all, got[0].Version) - 1
	for i, m := range got {
		switch at := first + i; {
		case first < 0 || at >= len(all):
			return 0, fmt.Errorf("message %+v, the %d. told, has no receipt", m, i+1)
		case m != all[at].said:
			return 0, fmt.Errorf("the %d. message told is %+v, and after the one before comes %+v", i+1, m, all[at].said)
		}
	}
	return first, nil
}

// saidOf is a message as it is compared.
func saidOf(m *device.Message) (said, error) {
	var body words
	if err := json.Unmarshal(m.Payload, &body); err != nil {
		return said{}, fmt.Errorf("message %s: %w", m.ID, err)
	}
	return said{m.ID, m.Version, body.N}, nil
}

// pump has something sent again and again until ctx ends, and waits for all receipts. next draws what; nil: nothing this time.
func (p *pushSoak) pump(ctx context.Context, every time.Duration, next func() func(ctx context.Context) error) {
	var work sync.WaitGroup
	defer work.Wait()
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		send := next()
		if send == nil {
			continue
		}
		work.Go(func() {
			ctx, cancel := context.WithTimeout(p.Context(), receiptTime)
			defer cancel()
			if err := send(ctx); err != nil {
				p.Error(err)
			}
		})
	}
}

// mail posts the next message to a target as a program.
func (p *pushSoak) mail(l *letters, program string) func(ctx context.Context) error {
	return func(ctx context.Context) error {
		_, err := l.send(func(n int) (string, int64, error) { return p.publish(ctx, l.to, fmt.Sprint(program, "-", n), n) })
		return err
	}
}
