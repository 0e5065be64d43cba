package device

import (
	"crypto/rand"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	bolt "go.etcd.io/bbolt"
)

// Buckets of a buffer file.
//
//	about   "identity" → JSON of about
//	frames  seq        → lane (1 byte), at (8), readings (4), body; the bucket's sequence is the highest seq given
//	lanes   first seq  → last seq, lane: for frames that were put without one
var (
	bucketAbout  = []byte("about")
	bucketFrames = []byte("frames")
	bucketLanes  = []byte("lanes")
	keyIdentity  = []byte("identity")
)

const (
	frameHead = 1 + 8 + 4
	// maxRemoved is how many removals may wait for the next write.
	maxRemoved = 64
	lockWait   = 2 * time.Second
)

// about says whose frames a file holds.
type about struct {
	Layout  int    `json:"v"`
	Device  string `json:"device"`
	Session string `json:"session"`
	Columns bool   `json:"columns"`
	// Unsynced says that the file may have lost numbers that were given in the session.
	Unsynced bool `json:"unsynced,omitempty"`
	// Earlier are the sessions of frames that were put before the present one began, oldest first.
	Earlier []spell `json:"earlier,omitempty"`
}

// spell is a session and the highest seq that was given in it.
type spell struct {
	Session string `json:"session"`
	Last    uint64 `json:"last"`
}

// The layout is 2 since there are earlier sessions.
const (
	layout       = 2
	oldestLayout = 1
)

// disk is a store in a bbolt file.
type disk struct {
	db *bolt.DB
	// noSync: writes reach the disk when the operating system likes.
	noSync bool
	// removed waits for the next write: each costs a flush of the disk, and a frame that comes back after a
	// crash is sent again under its old number.
	removed []uint64
}

func openDisk(path string, limits BufferLimits, id identity) (store, *remains, error) {
	db, err := bolt.Open(path, 0o600, &bolt.Options{Timeout: lockWait, NoSync: limits.NoSync, FreelistType: bolt.FreelistMapType})
	if err != nil {
		return nil, nil, fmt.Errorf("open buffer %s: %w", path, err)
	}
	d := &disk{db: db, noSync: limits.NoSync}
	id.unsynced = limits.NoSync
	left := new(remains)
	if err := db.Update(func(tx *bolt.Tx) error { return load(tx, id, left) }); err != nil {
		return nil, nil, errors.Join(fmt.Errorf("open buffer %s: %w", path, err), db.Close())
	}
	return d, left, nil
}

// load reads what the file holds, and makes it this identity's if it is new.
func load(tx *bolt.Tx, id identity, left *remains) error {
	var buckets [3]*bolt.Bucket
	for i, name := range [][]byte{bucketAbout, bucketFrames, bucketLanes} {
		b, err := tx.CreateBucketIfNotExists(name)
		if err != nil {
			return err
		}
		buckets[i] = b
	}
	about, err := claim(buckets[0], id, buckets[1])
	if err != nil {
		return err
	}
	if about.Session != id.session && id.session != "" {
		// A new session by request: the numbers begin anew.
		return errors.New("it belongs to another session; use another file, or no session of your own")
	}
	left.session, left.seq = about.Session, buckets[1].Sequence()
	return buckets[1].ForEach(func(key, value []byte) error {
		if len(key) != 8 || len(value) < frameHead {
			return errors.New("a frame in it is damaged")
		}
		e := &entry{
			seq:      binary.BigEndian.Uint64(key),
			lane:     lane(value[0]),
			at:       int64(binary.BigEndian.Uint64(value[1:])),
			readings: int(binary.BigEndian.Uint32(value[9:])),
			size:     len(value) - frameHead,
		}
		for _, s := range about.Earlier {
			if e.seq <= s.Last {
				e.session = s.Session
				break
			}
		}
		if e.lane == undecided {
			e.lane = decided(buckets[2], e.seq)
		}
		// Whoever has a lane may have been sent.
		e.again = e.lane != undecided
		left.entries = append(left.entries, e)
		return nil
	})
}

// claim reads whose file it is, and makes it the identity's. One without frames may change its encoding.
func claim(b *bolt.Bucket, id identity, frames *bolt.Bucket) (about, error) {
	var a about
	oldest, _ := frames.Cursor().First()
	if text := b.Get(keyIdentity); text != nil {
		if err := json.Unmarshal(text, &a); err != nil {
			return a, fmt.Errorf("identity: %w", err)
		}
		switch {
		case a.Layout < oldestLayout || a.Layout > layout:
			return a, fmt.Errorf("its layout is %d, this program knows %d", a.Layout, layout)
		case a.Device != id.device:
			return a, fmt.Errorf("it belongs to device %q", a.Device)
		case a.Columns != id.columns && oldest != nil:
			return a, errors.New("it holds frames of another encoding (columns)")
		}
		if a.Unsynced || id.unsynced {
			a.renew(oldest, frames.Sequence())
		}
	} else {
		a.Session = id.session
		if a.Session == "" {
			a.Session = rand.Text()
		}
	}
	a.Layout, a.Device, a.Columns, a.Unsynced = layout, id.device, id.columns, id.unsynced
	text, err := json.Marshal(a)
	if err != nil {
		return a, err
	}
	return a, b.Put(keyIdentity, text)
}

// renew begins a session, as a power cut may have taken the file back to before numbers that the server has seen; last
// is the highest that the file knows. Frames that it holds, from oldest on, stay in their session.
func (a *about) renew(oldest []byte, last uint64) {
	if n := len(a.Earlier); n == 0 || a.Earlier[n-1].Last < last {
		a.Earlier = append(a.Earlier, spell{a.Session, last})
	}
	a.Earlier = slices.DeleteFunc(a.Earlier, func(s spell) bool {
		return oldest == nil || s.Last < binary.BigEndian.Uint64(oldest)
	})
	a.Session = rand.Text()
}

// decided is the lane that a frame without one was given later.
func decided(lanes *bolt.Bucket, seq uint64) lane {
	c := lanes.Cursor()
	key, value := c.Last()
	if later, _ := c.Seek(seqKey(seq + 1)); later != nil {
		key, value = c.Prev()
	}
	if len(key) != 8 || len(value) != 9 || seq > binary.BigEndian.Uint64(value) {
		return undecided
	}
	return lane(value[8])
}

func seqKey(seq uint64) []byte { return binary.BigEndian.AppendUint64(nil, seq) }

func (d *disk) put(e *entry) error {
	return d.update(func(tx *bolt.Tx) error {
		frames := tx.Bucket(bucketFrames)
		value := make([]byte, frameHead, frameHead+len(e.body))
		value[0] = byte(e.lane)
		binary.BigEndian.PutUint64(value[1:], uint64(e.at))
		binary.BigEndian.PutUint32(value[9:], uint32(e.readings))
		if err := frames.Put(seqKey(e.seq), append(value, e.body...)); err != nil {
			return err
		}
		e.body = nil
		return frames.SetSequence(e.seq)
	})
}

// update writes, and settles what was removed along with it.
func (d *disk) update(write func(tx *bolt.Tx) error) error {
	err := d.db.Update(func(tx *bolt.Tx) error {
		frames, lanes := tx.Bucket(bucketFrames), tx.Bucket(bucketLanes)
		for _, seq := range d.removed {
			if err := frames.Delete(seqKey(seq)); err != nil {
				return err
			}
		}
		if err := prune(frames, lanes); err != nil {
			return err
		}
		return write(tx)
	})
	if err != nil {
		return fmt.Errorf("buffer: %w", err)
	}
	d.removed = d.removed[:0]
	return nil
}

// prune forgets decisions about frames that are gone.
func prune(frames, lanes *bolt.Bucket) error {
	c := lanes.Cursor()
	key, value := c.First()
	if key == nil {
		return nil
	}
	oldest, _ := frames.Cursor().First()
	for ; key != nil; key, value = c.Next() {
		if oldest != nil && string(value[:8]) >= string(oldest) {
			return nil
		}
		if err := c.Delete(); err != nil {
			return err
		}
	}
	return nil
}

func (d *disk) decide(first, last uint64, to lane) error {
	err := d.update(func(tx *bolt.Tx) error {
		return tx.Bucket(bucketLanes).Put(seqKey(first), append(seqKey(last), byte(to)))
	})
	if err == nil && d.noSync {
		// Each lane has a session. A frame must not be sent in both, whatever the file forgets.
		err = d.db.Sync()
	}
	return err
}

func (d *disk) read(e *entry) (body []byte, err error) {
	err = d.db.View(func(tx *bolt.Tx) error {
		value := tx.Bucket(bucketFrames).Get(seqKey(e.seq))
		if len(value) < frameHead {
			return fmt.Errorf("frame %d is gone", e.seq)
		}
		body = append(body, value[frameHead:]...)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("buffer: %w", err)
	}
	return body, nil
}

func (d *disk) remove(e *entry) error {
	d.removed = append(d.removed, e.seq)
	if len(d.removed) >= maxRemoved {
		return d.settle()
	}
	return nil
}

func (d *disk) unsettled() (seq uint64, ok bool) {
	for _, s := range d.removed {
		if !ok || s < seq {
			seq, ok = s, true
		}
	}
	return seq, ok
}

func (d *disk) settle() error {
	if len(d.removed) == 0 {
		return nil
	}
	return d.update(func(*bolt.Tx) error { return nil })
}

func (d *disk) close() error { return errors.Join(d.settle(), d.db.Close()) }
