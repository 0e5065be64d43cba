package rooms

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sort"
	"time"

	"weir/kafka"
	"weir/wire"
)

const (
	// maxReadings is how many readings of the log for those who come back go on at once, the others wait; readTime bounds
	// one, and maxReadBytes what it holds in memory.
	maxReadings  = 4
	readTime     = 3 * time.Second
	maxReadBytes = 8 << 20
	// readBlock is the offset to a multiple of which readings begin, so that those who come back together share them.
	readBlock = 1024
)

// wanted are the messages that a join asks for.
type wanted struct {
	last     int
	after    int64 // a version
	hasAfter bool
	older    *stretch // of the log, if it was needed; nil: nothing
}

// stretch are the messages to rooms in the offsets [from, to) of a partition, the oldest first.
type stretch struct {
	from, to int64
	messages []kept
	read     int // bytes of the log
}

// readShare is what may be read of the log for whoever asks: it notes that so many bytes were, and reports whether more may be.
// nil: there is no bound.
type readShare func(bytes int) (left bool)

func (s readShare) spend(bytes int) (left bool) { return s == nil || s(bytes) }

// errShareSpent says that whoever began a reading had its share while it waited to read.
var errShareSpent = errors.New("too much was read for whoever asks")

// wanted reads what a join asks for and memory does not have. It is done before the join is written, so that all that
// happens from then on comes in order.
func (h *Hub) wanted(ctx context.Context, r *wire.RoomRequest, share readShare) wanted {
	w := wanted{last: h.cfg.History, after: r.After, hasAfter: r.HasAfter}
	if w.hasAfter {
		w.last = wire.MaxLast // and no more bytes than the history has
	}
	if r.HasLast {
		w.last = r.Last
	}
	h.mu.Lock()
	st := h.stateOf(r.Room)
	dropped, next := st.forgotOf(tenantOf(r.Room)), st.next
	if known := st.rooms[r.Room]; known != nil {
		dropped = known.history.dropped
	}
	h.mu.Unlock()
	if w.hasAfter && w.last > 0 && w.after < dropped {
		w.older = h.readBack(ctx, kafka.PartitionFor(r.Room, h.opts.Partitions), w.after>>12+1, next, share)
	}
	return w
}

// missed are the messages of a room that a join wants, the oldest first. gap tells whether some may be missing between
// those and what the client knows.
func (s *state) missed(r *room, w wanted, bytes int, now int64) (out []*wire.RoomMessage, gap bool) {
	if !w.hasAfter {
		return r.history.last(w.last, now), false
	}
	if w.after >= versionOf(s.next) { // it knows another log
		return r.history.last(w.last, now), true
	}
	var found []kept
	gap = w.after < s.holed
	if w.after < r.history.dropped {
		if w.older != nil && w.older.to > r.history.dropped>>12 {
			found = s.between(w.older, r, w.after)
			gap = gap || w.older.from > w.after>>12+1
		} else {
			gap = true
		}
	}
	found = slices.Concat(found, r.history.after(w.after))
	found = slices.DeleteFunc(found, func(k kept) bool { return k.over(now) })
	first := len(found)
	for first > 0 && len(found)-first < w.last && bytes > 0 {
		first--
		bytes -= found[first].size()
	}
	out = make([]*wire.RoomMessage, 0, len(found)-first)
	for _, k := range found[first:] {
		out = append(out, k.RoomMessage)
	}
	return out, gap || first > 0
}

// between are the messages of a room in a stretch that came after a version, and that memory does not have.
func (s *state) between(older *stretch, r *room, after int64) (out []kept) {
	for _, k := range older.messages {
		if k.Room != r.name || k.Version <= after || k.Version > r.history.dropped {
			continue
		}
		if first, known := s.ids.first(messageKey{r.name, k.From.User, k.ID}); known && first != k.Version {
			continue // a repetition of what came before the stretch
		}
		out = append(out, k)
	}
	return out
}

// after are the messages that came after a version.
func (h *history) after(version int64) []kept {
	return h.messages[sort.Search(len(h.messages), func(i int) bool { return h.messages[i].Version > version }):]
}

// readBack reads the messages of a partition's [from, to), of which it may be that only the newest can be had; or nil.
// Those who come at once share one reading, of which each pays the whole; who had its share is told of a gap.
func (h *Hub) readBack(ctx context.Context, partition int, from, to int64, share readShare) *stretch {
	if h.cfg.ReadBack == 0 || from >= to {
		return nil
	}
	from = max(from, to-int64(h.cfg.ReadBack)) / readBlock * readBlock
	for range 2 { // the first may be one that began before to was there, or was begun by one who may not
		if !share.spend(0) {
			return nil
		}
		refused := false
		result, err, _ := h.readings.Do(fmt.Sprintf("%d/%d", partition, from), func() (any, error) {
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), readTime) // others wait for it, too
			defer cancel()
			select {
			case h.reading <- struct{}{}:
			case <-ctx.Done():
				return nil, ctx.Err()
			}
			defer func() { <-h.reading }()
			if refused = !share.spend(0); refused { // of its readings others were before this
				return nil, errShareSpent
			}
			return h.readStretch(ctx, partition, from, to)
		})
		found, _ := result.(*stretch)
		if found != nil {
			share.spend(found.read)
		}
		switch {
		case refused:
			return nil
		case errors.Is(err, errShareSpent): // another's
		case err != nil:
			h.log.Warn("the history of rooms cannot be read from the log", "partition", partition, "from", from, "to", to, "error", err)
			return nil
		case found.to >= to:
			return found
		}
	}
	return nil
}

func (h *Hub) readStretch(ctx context.Context, partition int, from, to int64) (*stretch, error) {
	there, err := h.opts.Client.Offsets(ctx, wire.TopicMessages)
	if err != nil {
		return nil, err
	}
	out := &stretch{from: max(from, there[partition].First), to: to}
	st, bytes := newState(h.cfg), 0
	err = h.opts.Client.ReadRange(ctx, wire.TopicMessages, partition, out.from, to, func(record *kafka.Record) error {
		h.m.readBack.Inc()
		out.read += len(record.Key) + len(record.Value)
		r, _ := h.decode(partition, record)
		if r == nil || r.Kind != wire.RecordMessage && r.Kind != wire.RecordBan {
			return nil
		}
		var payload []byte // which the state would keep, too: a history a room, beyond maxReadBytes
		if r.Message != nil {
			payload, r.Message.Payload = r.Message.Payload, nil
		}
		told := st.apply(record.Offset, record.Time*1000, r).message
		if told == nil || told.Room == "" || told.Ephemeral {
			return nil
		}
		message := *told
		message.Payload = payload
		k := kept{&message, r.Message.Expires}
		out.messages, bytes = append(out.messages, k), bytes+k.size()
		for bytes > maxReadBytes {
			bytes -= out.messages[0].size()
			out.from = out.messages[0].Version>>12 + 1
			out.messages[0] = kept{}
			out.messages = out.messages[1:]
		}
		return nil
	})
	return out, err
}
