// Package authtest is for tests of what stands behind a Gate: a Store in memory.
package authtest

import (
	"context"
	"sort"
	"strings"
	"sync"
)

// Store is an auth.Store in memory, ready from the beginning.
type Store struct {
	ready chan struct{}

	// writing keeps changes in order, those that watch included.
	writing  sync.Mutex
	watchers []watcher

	mu     sync.RWMutex
	values map[string][]byte
	fail   error
}

type watcher struct {
	prefix string
	fn     func(key string, value []byte)
}

// NewStore makes a Store without values.
func NewStore() *Store {
	s := &Store{ready: make(chan struct{}), values: make(map[string][]byte)}
	close(s.ready)
	return s
}

// Ready implements auth.Store.
func (s *Store) Ready() <-chan struct{} { return s.ready }

// Watch implements auth.Store. Unlike a table's it may be called at any time, and tells what is there.
func (s *Store) Watch(prefix string, fn func(key string, value []byte)) {
	s.writing.Lock()
	defer s.writing.Unlock()
	s.watchers = append(s.watchers, watcher{prefix, fn})
	s.Range(prefix, func(key string, value []byte) bool { fn(key, value); return true })
}

// Get implements auth.Store.
func (s *Store) Get(key string) ([]byte, bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	v, ok := s.values[key]
	return v, ok
}

// Range implements auth.Store.
func (s *Store) Range(prefix string, fn func(key string, value []byte) bool) {
	s.mu.RLock()
	var keys []string
	for k := range s.values {
		if strings.HasPrefix(k, prefix) {
			keys = append(keys, k)
		}
	}
	s.mu.RUnlock()
	sort.Strings(keys)
	for _, k := range keys {
		if v, ok := s.Get(k); ok && !fn(k, v) {
			return
		}
	}
}

// Put implements auth.Store.
func (s *Store) Put(_ context.Context, key string, value []byte) error {
	if value == nil {
		value = []byte{}
	}
	return s.write(key, value)
}

// Delete implements auth.Store.
func (s *Store) Delete(_ context.Context, key string) error { return s.write(key, nil) }

// Fail has writes fail with err; nil: no more.
func (s *Store) Fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fail = err
}

func (s *Store) write(key string, value []byte) error {
	s.writing.Lock()
	defer s.writing.Unlock()
	s.mu.Lock()
	err := s.fail
	switch {
	case err != nil:
	case value == nil:
		delete(s.values, key)
	default:
		s.values[key] = value
	}
	s.mu.Unlock()
	if err != nil {
		return err
	}
	for _, w := range s.watchers {
		if strings.HasPrefix(key, w.prefix) {
			w.fn(key, value)
		}
	}
	return nil
}
