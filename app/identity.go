package app

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"weir/kafka"
	"weir/wire"
)

// identity is what topics are known by: an epoch, made with them, and the number of partitions, which may
// never change, as a device would move to another partition.
type identity struct {
	Epoch      string `json:"epoch"`
	Partitions int    `json:"partitions"`
}

const (
	identityFile = "identity.json"
	claimPrefix  = "epoch/"
)

// readIdentity is what a data directory remembers; the zero value if it is new or there is none.
func readIdentity(dir string) (identity, error) {
	var id identity
	if dir == "" {
		return id, nil
	}
	name := filepath.Join(dir, identityFile)
	text, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return id, nil
	}
	if err == nil {
		err = json.Unmarshal(text, &id)
	}
	if err != nil {
		return id, fmt.Errorf("data: read %s: %w", name, err)
	}
	return id, nil
}

func (id identity) write(dir string) error {
	if dir == "" {
		return nil
	}
	text, err := json.Marshal(id)
	if err != nil {
		return fmt.Errorf("data: %w", err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("data: %w", err)
	}
	// Renaming makes it whole or absent.
	temporary := filepath.Join(dir, identityFile+".new")
	if err := os.WriteFile(temporary, append(text, '\n'), 0o600); err != nil {
		return fmt.Errorf("data: %w", err)
	}
	if err := os.Rename(temporary, filepath.Join(dir, identityFile)); err != nil {
		return fmt.Errorf("data: %w", err)
	}
	return nil
}

// check refuses topics other than those the data directory belongs to.
func (id identity) check(remembered identity, dir string) error {
	if remembered == (identity{}) || remembered == id {
		return nil
	}
	return hinted{
		fmt.Errorf("%s: its epoch is %s with %d partitions, but %s belongs to epoch %s with %d: the topics were made anew, or this is another cluster",
			wire.TopicDevices, id.Epoch, id.Partitions, dir, remembered.Epoch, remembered.Partitions),
		"connect to the cluster this data belongs to, or begin with an empty data directory",
	}
}

// claimIdentity finds the topics' epoch in weir.devices, or makes it. Processes that start together may each
// write a claim; all are in one partition and the first one there is the epoch. Each has a key of its own, so
// that compaction, which keeps the last record of a key, keeps the order of the claims.
func claimIdentity(ctx context.Context, client *kafka.Client, producer *kafka.Producer, partitions int) (identity, error) {
	id, found, err := readEpoch(ctx, client, partitions)
	if err == nil && !found {
		if err = writeClaim(ctx, producer, identity{Epoch: newUUID(), Partitions: partitions}); err == nil {
			id, found, err = readEpoch(ctx, client, partitions)
		}
	}
	switch {
	case err != nil:
	case !found:
		err = errors.New("the claim just written is not there")
	case id.Partitions != partitions:
		err = fmt.Errorf("made for %d partitions, there are %d", id.Partitions, partitions)
	}
	if err != nil {
		return identity{}, fmt.Errorf("%s: epoch: %w", wire.TopicDevices, err)
	}
	return id, nil
}

func writeClaim(ctx context.Context, producer *kafka.Producer, id identity) error {
	value, err := json.Marshal(id)
	if err != nil {
		return err
	}
	record := kafka.Record{Key: []byte(claimPrefix + id.Epoch), Value: value}
	_, err = producer.ProduceSync(ctx, wire.TopicDevices, epochPartition(id.Partitions), []kafka.Record{record})
	return err
}

// readEpoch is the claim with the lowest offset, if there is any.
func readEpoch(ctx context.Context, client *kafka.Client, partitions int) (id identity, found bool, err error) {
	ranges, err := client.Offsets(ctx, wire.TopicDevices)
	if err != nil {
		return identity{}, false, err
	}
	p := epochPartition(partitions)
	err = client.ReadRange(ctx, wire.TopicDevices, p, ranges[p].First, ranges[p].End, func(r *kafka.Record) error {
		if found || r.Value == nil || !bytes.HasPrefix(r.Key, []byte(claimPrefix)) {
			return nil
		}
		found = true
		return json.Unmarshal(r.Value, &id)
	})
	return id, found, err
}

func epochPartition(partitions int) int { return kafka.PartitionFor("epoch", partitions) }

// newUUID is a random UUID (RFC 9562, version 4).
func newUUID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}
