//go:build soak

package soak

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"sync"

	device "weir/sdk/go"
)

// fate is what a reading deserves.
type fate int

const (
	good fate = iota
	late      // stored, in the backlog
	bad       // refused
)

// sample is a reading as its device knows it. Value is a number that the device gives once only, so that a reading is
// known by it wherever it turns up.
type sample struct {
	Metric string  `json:"m"`
	Time   int64   `json:"t"`
	Value  float64 `json:"v"`
	Fate   fate    `json:"f,omitempty"`
}

// entry is a line of a journal.
type entry struct {
	Kind    string `json:"k"`
	Session string `json:"s,omitempty"`
	Seq     uint64 `json:"q,omitempty"`

	// Of intent and post: a frame that is about to be sent, with the SDK or over HTTP. First is its name.
	First   float64  `json:"n,omitempty"`
	Samples []sample `json:"r,omitempty"`
	Body    []byte   `json:"b,omitempty"`

	Receipt  *device.Receipt   `json:"receipt,omitempty"`
	Rejected *device.Rejection `json:"rejected,omitempty"`
}

// Kinds of entries.
const (
	kindBoot     = "boot"     // a process of the device begins, with the session of its buffer
	kindIntent   = "intent"   // a frame is about to be handed to Send
	kindTaken    = "taken"    // Send has taken the frame First as Seq
	kindPost     = "post"     // a frame is about to be posted
	kindReceipt  = "receipt"  // of a frame
	kindRejected = "rejected" // a reading, or with index -1 a frame
	kindDone     = "done"     // everything is delivered
)

// journal is what a device writes down, on the disk before it goes on.
type journal struct {
	mu   sync.Mutex
	file *os.File
}

func openJournal(name string) (*journal, []entry, error) {
	past, whole, err := readJournal(name)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, nil, err
	}
	file, err := os.OpenFile(name, os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, nil, err
	}
	// A line that a kill has cut short was never acted upon.
	if err := file.Truncate(whole); err != nil {
		return nil, nil, err
	}
	if _, err := file.Seek(whole, 0); err != nil {
		return nil, nil, err
	}
	return &journal{file: file}, past, nil
}

// write keeps an entry; without a journal the device must not go on.
func (j *journal) write(e entry) {
	line, err := json.Marshal(e)
	if err == nil {
		j.mu.Lock()
		defer j.mu.Unlock()
		if _, err = j.file.Write(append(line, '\n')); err == nil {
			err = j.file.Sync()
		}
	}
	if err != nil {
		panic(fmt.Sprintf("journal: %v", err))
	}
}

// readJournal returns the entries, and how many bytes whole lines have.
func readJournal(name string) (entries []entry, whole int64, err error) {
	text, err := os.ReadFile(name)
	if err != nil {
		return nil, 0, err
	}
	whole = int64(bytes.LastIndexByte(text, '\n') + 1)
	lines := bufio.NewScanner(bytes.NewReader(text[:whole]))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var e entry
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			return nil, 0, fmt.Errorf("%s: %w in %.200s", name, err, lines.Bytes())
		}
		entries = append(entries, e)
	}
	return entries, whole, lines.Err()
}
