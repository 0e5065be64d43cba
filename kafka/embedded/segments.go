package embedded

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// The broker's files, as kfake lays them out: partitions/<topic>-<n>/<base offset>.dat holds record batches
// as they were sent, the .idx beside it one entry of indexEntry bytes per batch.
const (
	dataSuffix  = ".dat"
	indexSuffix = ".idx"
	indexEntry  = 15
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func partitionsDir(dir string) string { return filepath.Join(dir, "partitions") }

func partitionDir(dir, topic string, partition int) string {
	return filepath.Join(partitionsDir(dir), url.PathEscape(topic)+"-"+strconv.Itoa(partition))
}

// segment is one file of a partition's log.
type segment struct {
	base     int64 // offset of its first record
	bytes    int64
	batches  int64
	modified time.Time // of the last append: ingest time of its newest record
}

// listSegments returns a partition's files in order of offset; none if it was never written to.
func listSegments(dir string) ([]segment, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var segs []segment
	for _, e := range entries {
		name, ok := strings.CutSuffix(e.Name(), dataSuffix)
		base, err := strconv.ParseInt(name, 10, 64)
		if !ok || err != nil {
			continue
		}
		info, err := e.Info()
		if errors.Is(err, fs.ErrNotExist) {
			continue // trimmed meanwhile
		}
		if err != nil {
			return nil, err
		}
		s := segment{base: base, bytes: info.Size(), modified: info.ModTime()}
		if index, err := os.Stat(filepath.Join(dir, name+indexSuffix)); err == nil {
			s.batches = index.Size() / indexEntry
		}
		segs = append(segs, s)
	}
	slices.SortFunc(segs, func(a, b segment) int { return cmp.Compare(a.base, b.base) })
	return segs, nil
}

// batchHeader is what recovery needs of a record batch (version 2, big endian).
type batchHeader struct {
	base          int64
	records       int32
	lastDelta     int32
	transactional bool
	maxTime       int64
	producer      int64
	epoch         int16
	sequence      int32
}

func (h *batchHeader) end() int64 { return h.base + int64(h.lastDelta) + 1 }

const (
	batchPrefix     = 12 // base offset and length, which counts what follows
	batchHeaderSize = 61
	transactionBit  = 1 << 4
)

// scanSegment calls fn for every whole, intact batch from the start of the file and returns how many bytes
// they take: less than the file's size if its end is torn or damaged.
func scanSegment(path string, fn func(*batchHeader)) (valid, size int64, err error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return 0, 0, fmt.Errorf("scan segment: %w", err)
	}
	rest := raw
	for len(rest) >= batchHeaderSize {
		n := batchPrefix + int(int32(binary.BigEndian.Uint32(rest[8:])))
		if n < batchHeaderSize || n > len(rest) {
			break
		}
		if crc32.Checksum(rest[21:n], castagnoli) != binary.BigEndian.Uint32(rest[17:]) {
			break
		}
		h := parseHeader(rest)
		fn(&h)
		rest = rest[n:]
	}
	return int64(len(raw) - len(rest)), int64(len(raw)), nil
}

func parseHeader(b []byte) batchHeader {
	return batchHeader{
		base:          int64(binary.BigEndian.Uint64(b)),
		transactional: binary.BigEndian.Uint16(b[21:])&transactionBit != 0,
		lastDelta:     int32(binary.BigEndian.Uint32(b[23:])),
		maxTime:       int64(binary.BigEndian.Uint64(b[35:])),
		producer:      int64(binary.BigEndian.Uint64(b[43:])),
		epoch:         int16(binary.BigEndian.Uint16(b[51:])),
		sequence:      int32(binary.BigEndian.Uint32(b[53:])),
		records:       int32(binary.BigEndian.Uint32(b[57:])),
	}
}
