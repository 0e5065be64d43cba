package devices

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"hash/maphash"
	"sync"

	"weir/wire"
)

// anyVersion stands for a writer that does not insist on one; noVersion for one that knows of no metadata.
const (
	anyVersion uint64 = 1<<64 - 1
	noVersion  uint64 = 0
)

// setting is a request to replace a device's metadata.
type setting struct {
	device string
	meta   *Meta
	by     string
	// expected is the version that is to be replaced.
	expected uint64
	// paced: not more often than once a second.
	paced bool
}

const paceMicros = 1_000_000

// setMeta replaces a device's metadata. What is the same already is not written again.
func (r *Registry) setMeta(ctx context.Context, w setting) (stored *storedMeta, created bool, refusal *wire.Error) {
	turn := r.turn(w.device)
	turn.Lock()
	defer turn.Unlock()
	before := r.storedMeta(w.device)
	raw, err := json.Marshal(w.meta)
	if err != nil {
		r.log.Error("metadata does not marshal", "error", err)
		return nil, false, wire.NewError(wire.CodeInternal, "")
	}
	if refusal := w.check(before); refusal != nil {
		return nil, false, refusal
	}
	if before != nil && bytes.Equal(before.Raw, raw) {
		return before, false, nil
	}
	now := r.micros()
	switch {
	case before == nil && r.metas() >= r.cfg.MaxTracked:
		return nil, false, refuse(wire.CodeOverloaded, "", "there is no room for the metadata of another device (devices.max_tracked)")
	case before != nil && w.paced && r.up()-before.read < paceMicros:
		return nil, false, refuse(wire.CodeLimitDevice, "", "metadata may change once a second")
	}
	next := &storedMeta{V: layout, Version: 1, Updated: now, By: w.by, Raw: raw, meta: w.meta}
	if before != nil {
		next.Version = before.Version + 1
	}
	value, err := json.Marshal(next)
	if err == nil {
		err = r.table.Put(ctx, metaPrefix+w.device, value)
	}
	if err != nil {
		r.log.Warn("metadata not stored", "device", w.device, "error", err)
		return nil, false, wire.NewError(wire.CodeNotStored, "")
	}
	r.m.metaWrites.Inc()
	return next, before == nil, nil
}

func (w *setting) check(before *storedMeta) *wire.Error {
	if w.expected == anyVersion {
		return nil
	}
	have := noVersion
	if before != nil {
		have = before.Version
	}
	if have != w.expected {
		return refuse(wire.CodeVersionConflict, "", fmt.Sprintf("the metadata is of version %d by now", have))
	}
	return nil
}

func (r *Registry) turn(device string) *sync.Mutex {
	return &r.writes[maphash.String(r.shards.seed, device)%shardCount]
}

func (r *Registry) metas() int {
	r.known.RLock()
	defer r.known.RUnlock()
	return len(r.known.metas)
}
