package ingest

import (
	"errors"
	"sync/atomic"
	"time"

	"weir/kafka"
	"weir/telemetry"
	"weir/wire"
)

// Backlog says how fast what is of the past may come in, beside what is live.
type Backlog struct {
	// Rate and Burst are readings per second, of all devices together; 0: no limit but the buffer.
	Rate  int `koanf:"rate"`
	Burst int `koanf:"burst"`
}

func (b *Backlog) limit() Limit { return Limit(*b) }

func (b *Backlog) validate() error { return b.limit().validate("backlog") }

// lane is a way from the encoder into Kafka. What is live never waits behind the backlog: each lane has limits and a
// share of the producer's buffer of its own.
type lane uint8

const (
	live lane = iota
	backlog
	lanes
)

var laneNames = [lanes]string{"live", "backlog"}

var laneTopics = [lanes]string{wire.TopicReadings, wire.TopicBacklog}

// backlogShare is the backlog's part of the producer's buffer: one in so many bytes.
const backlogShare = 4

// backlogRetry is when a device comes again that found the backlog's share of the buffer full.
const backlogRetry = time.Second

// share is what a lane may have in the producer's buffer, and what of it is taken.
type share struct {
	most  int64
	taken atomic.Int64
}

// split moves the readings of a batch that are older than the bound to the end of the encoder's late, and leaves
// the others. Both keep their order.
func (e *encoder) split(b *telemetry.Batch, bound int64) (late []telemetry.Reading) {
	first := len(e.late)
	kept := b.Readings[:0]
	for _, reading := range b.Readings {
		if reading.Time < bound {
			e.late = append(e.late, reading)
		} else {
			kept = append(kept, reading)
		}
	}
	b.Readings = kept
	return e.late[first:]
}

var errBacklogFull = levelErrors[inBacklog]

// past is how many bytes of the frame are the backlog's.
func (e *encoder) past() (bytes int64) {
	for i := range e.spans {
		if s := &e.spans[i]; s.lane == backlog {
			bytes += int64(s.end - s.key)
		}
	}
	return bytes
}

// crowded refuses a frame of which something is for the backlog, when that has no room for it in the buffer. What is
// alone there always has room.
func (e *encoder) crowded(r *receipt) bool {
	bytes := e.past()
	if bytes == 0 {
		return false
	}
	s := &e.srv.shares[backlog]
	if taken := s.taken.Load(); taken == 0 || taken+bytes <= s.most {
		return false
	}
	e.srv.metrics.limited[inBacklog].Inc()
	r.refuse(errBacklogFull, e.srv.around(backlogRetry), true)
	return true
}

// underway refuses a frame of which something is for the backlog, and which is being stored already: it came over
// another connection, or was sent again too soon. Nobody recognises it in the backlog, as the pipeline does what is
// live. When it comes again it is a duplicate, if it was stored.
func (e *encoder) underway(r *receipt) bool {
	if len(r.acks) == 0 || e.past() == 0 || r.claim() {
		return false
	}
	e.srv.metrics.unstored[kafka.ReasonInDoubt].Inc()
	r.refuse(errNotStored, e.srv.around(retryAfterMs*time.Millisecond), false)
	return true
}

// validateLateness refuses a bound that readings on their way would fall behind.
func validateLateness(d time.Duration) error {
	if d != 0 && d < time.Minute {
		return errors.New("lateness: must be 0 or at least 1m, is " + d.String())
	}
	return nil
}
