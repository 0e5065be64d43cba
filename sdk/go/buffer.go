package device

import "errors"

// ErrFull says that the buffer has no room for a frame.
var ErrFull = errors.New("the buffer is full")

// Policy is what happens to a frame for which the buffer has no room.
type Policy uint8

const (
	// Refuse fails Send with ErrFull.
	Refuse Policy = iota
	// Wait lets Send wait for room.
	Wait
	// DropOldest gives up the oldest frames that are not in flight.
	DropOldest
)

// BufferLimits bound a buffer. The zero value means the defaults.
type BufferLimits struct {
	// Frames is how many frames it holds: 10,000 in memory, 100,000 on disk by default. On disk each still
	// takes about 100 bytes of memory.
	Frames int
	// Bytes is how many bytes of readings it holds: 16 MiB in memory, 256 MiB on disk by default. A file may
	// be up to twice as large.
	Bytes int64
	// WhenFull is Refuse by default.
	WhenFull Policy
	// NoSync leaves it to the operating system when the file reaches the disk. What is buffered then
	// outlives a crash of the process, but a power cut may damage the file. As it may also take the file
	// back to before numbers that were sent, each client of the file begins a session.
	NoSync bool
}

// Buffer is where frames wait for their receipts. It belongs to one Client.
type Buffer struct {
	limits BufferLimits
	path   string
}

// Memory keeps frames in memory: they end with the process.
func Memory(limits BufferLimits) *Buffer {
	return &Buffer{limits: limits.orElse(10_000, 16<<20)}
}

// Disk keeps frames, session and numbers in a file, which is made if there is none and locked while in use.
func Disk(path string, limits BufferLimits) *Buffer {
	return &Buffer{limits: limits.orElse(100_000, 256<<20), path: path}
}

func (l BufferLimits) orElse(frames int, bytes int64) BufferLimits {
	if l.Frames <= 0 {
		l.Frames = frames
	}
	if l.Bytes <= 0 {
		l.Bytes = bytes
	}
	return l
}

// open makes the store, and hands over what it holds from an earlier life.
func (b *Buffer) open(id identity) (store, *remains, error) {
	if b.path == "" {
		return memory{}, &remains{session: id.session}, nil
	}
	return openDisk(b.path, b.limits, id)
}

// identity is what the frames of a store have in common.
type identity struct {
	device, session string
	columns         bool
	unsynced        bool // the file may lose what it was given
}

// remains is what a store holds from an earlier life: entries by seq, without their bodies.
type remains struct {
	session string
	seq     uint64 // the highest that was ever given
	entries []*entry
}

// store keeps the bodies of frames. Its methods are called under the client's lock, but for read.
type store interface {
	// put keeps a frame; when it returns, the frame outlives what the store outlives.
	put(e *entry) error
	// decide keeps the lane of all frames from first to last that were put without one.
	decide(first, last uint64, to lane) error
	// read returns the body of a frame, valid until remove.
	read(e *entry) ([]byte, error)
	// remove forgets a frame: soon, and at the latest with settle.
	remove(e *entry) error
	// unsettled is the lowest seq that was removed and may come back after a crash.
	unsettled() (seq uint64, ok bool)
	settle() error
	close() error
}

// memory is the store whose bodies are in the entries themselves.
type memory struct{}

func (memory) put(*entry) error                  { return nil }
func (memory) decide(uint64, uint64, lane) error { return nil }
func (memory) read(e *entry) ([]byte, error)     { return e.body, nil }
func (memory) remove(*entry) error               { return nil }
func (memory) unsettled() (uint64, bool)         { return 0, false }
func (memory) settle() error                     { return nil }
func (memory) close() error                      { return nil }
