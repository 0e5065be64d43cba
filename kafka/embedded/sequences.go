package embedded

import (
	"math"
	"path/filepath"
)

// windowFile is where kfake keeps, at a clean end only, what it knows of every producer's sequences.
const windowFile = "seq_windows.json"

// window is kfake's memory of one producer in one partition: enough to recognise the last five batches
// when they are sent again.
type window struct {
	Producer  int64          `json:"pid"`
	Topic     string         `json:"topic"`
	Partition int32          `json:"partition"`
	Entries   [5]windowEntry `json:"entries"`
	Count     uint8          `json:"count"`
	At        uint8          `json:"at"`
	Epoch     int16          `json:"epoch"`
	Seen      bool           `json:"seen"`
	NextSeq   int32          `json:"next_seq"`
}

type windowEntry struct {
	FirstSeq int32 `json:"first_seq"`
	NextSeq  int32 `json:"next_seq"`
	Offset   int64 `json:"offset"`
}

type windowKey struct {
	producer  int64
	topic     string
	partition int32
}

// push records a batch as kfake does when it accepts one.
func (w *window) push(h *batchHeader) {
	if !w.Seen || w.Epoch != h.epoch {
		w.Entries, w.Count, w.At = [5]windowEntry{}, 0, 0
	}
	w.Seen, w.Epoch = true, h.epoch
	w.NextSeq = int32((int64(h.sequence) + int64(h.records)) % math.MaxInt32)
	w.Entries[w.At] = windowEntry{FirstSeq: h.sequence, NextSeq: w.NextSeq, Offset: h.base}
	w.At = (w.At + 1) % 5
	w.Count = min(w.Count+1, 5)
}

// reaches tells whether the window speaks of a record at or after offset end.
func (w *window) reaches(end int64) bool {
	for _, e := range w.Entries[:min(w.Count, 5)] {
		if e.Offset >= end {
			return true
		}
	}
	return false
}

type windows map[windowKey]*window

func (ws windows) push(topic string, partition int32, h *batchHeader) {
	if h.producer < 0 || h.sequence < 0 {
		return
	}
	k := windowKey{h.producer, topic, partition}
	w := ws[k]
	if w == nil {
		w = &window{Producer: h.producer, Topic: topic, Partition: partition}
		ws[k] = w
	}
	w.push(h)
}

type windowDocument struct {
	Version int       `json:"version"`
	Windows []*window `json:"windows"`
}

// writeWindows replaces the file by what the logs say. A window of the last clean end stays if the log no
// longer holds a batch of its producer, unless it speaks of records that were never written.
func writeWindows(dir string, found windows, ends map[partitionKey]int64) error {
	path := filepath.Join(dir, windowFile)
	doc := windowDocument{Version: 1}
	if err := readJSON(path, &doc); err != nil {
		return err
	}
	kept := doc.Windows[:0]
	for _, w := range doc.Windows {
		_, again := found[windowKey{w.Producer, w.Topic, w.Partition}]
		if !again && !w.reaches(ends[partitionKey{w.Topic, w.Partition}]) {
			kept = append(kept, w)
		}
	}
	for _, w := range found {
		kept = append(kept, w)
	}
	doc.Windows = kept
	return writeJSON(path, doc)
}
