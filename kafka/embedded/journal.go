package embedded

import (
	"bytes"
	"fmt"
	"path/filepath"
)

// journalFile remembers what kfake does not: where trimmed logs begin, and an end that every log must reach.
const journalFile = "offsets.json"

// journal is written before a log is trimmed and at the end, so it may be older than the logs, never newer.
type journal struct {
	path    string
	entries map[partitionKey]journalEntry
}

type journalEntry struct {
	Topic     string `json:"topic"`
	ID        []byte `json:"id"` // of the topic: one made anew under the name begins at 0
	Partition int32  `json:"partition"`
	Start     int64  `json:"start"`
	End       int64  `json:"end"`
}

type journalDocument struct {
	Partitions []journalEntry `json:"partitions"`
}

func readJournal(dir string) (*journal, error) {
	j := &journal{path: filepath.Join(dir, journalFile), entries: make(map[partitionKey]journalEntry)}
	var doc journalDocument
	if err := readJSON(j.path, &doc); err != nil {
		return nil, err
	}
	for _, e := range doc.Partitions {
		j.entries[partitionKey{e.Topic, e.Partition}] = e
	}
	return j, nil
}

func (j *journal) set(e journalEntry) {
	j.entries[partitionKey{e.Topic, e.Partition}] = e
}

func (j *journal) write() error {
	doc := journalDocument{Partitions: make([]journalEntry, 0, len(j.entries))}
	for _, e := range j.entries {
		doc.Partitions = append(doc.Partitions, e)
	}
	return writeJSON(j.path, doc)
}

// check compares the entries with the loaded logs and trims those that begin too early again.
func (b *Broker) checkJournal() error {
	for k, e := range b.journal.entries {
		topic := b.cluster.TopicInfo(k.topic)
		if topic == nil || !bytes.Equal(topic.TopicID[:], e.ID) {
			delete(b.journal.entries, k) // the topic was deleted since
			continue
		}
		p := b.cluster.PartitionInfo(k.topic, k.partition)
		if p == nil || p.HighWatermark < e.End {
			end := int64(0)
			if p != nil {
				end = p.HighWatermark
			}
			return fmt.Errorf("%w: topic %s partition %d ends at offset %d, but offsets up to %d were given out: restore %s or remove it as a whole",
				ErrDataLost, k.topic, k.partition, end, e.End, b.dir)
		}
		if p.LogStartOffset < e.Start {
			if err := b.cluster.DeleteRecords(k.topic, k.partition, e.Start); err != nil {
				return fmt.Errorf("trim topic %s partition %d: %w", k.topic, k.partition, err)
			}
		}
	}
	return nil
}

// recordEnds notes where all logs end now; connections may still be writing behind it.
func (b *Broker) recordEnds() {
	if b.journal == nil {
		return
	}
	var topics topicsDocument
	if err := readJSON(filepath.Join(b.dir, topicsFile), &topics); err != nil {
		b.log.Warn("cannot note where logs end", "error", err)
	}
	for _, t := range topics.Topics {
		info := b.cluster.TopicInfo(t.Name)
		if info == nil {
			continue
		}
		for _, p := range b.cluster.PartitionInfos(t.Name) {
			b.journal.set(journalEntry{
				Topic: t.Name, ID: info.TopicID[:], Partition: p.Partition, Start: p.LogStartOffset, End: p.HighWatermark,
			})
		}
	}
}
