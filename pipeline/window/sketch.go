package window

import (
	"encoding/binary"
	"math"
	"slices"

	"github.com/DataDog/sketches-go/ddsketch/mapping"
)

// QuantileAccuracy is the relative error of a quantile: the answer is within 1 % of the reading of that rank.
const QuantileAccuracy = 0.01

// maxBins bounds a sketch to 4 KiB. Bins are added as values need them, and a pane of a usual sensor has a
// few; 512 bins of one sign reach from a value down to 1/28000 of it without a hole.
const maxBins = 512

// A bin is a key in the upper 18 bits of a number and the count of its readings in the lower 46, so that bins
// sort by key. The key of zero is zeroKey; above it are the positive values' and below the negative ones'.
const (
	countBits = 46
	maxCount  = 1<<countBits - 1
	zeroKey   = 1 << 17
)

// logIndex maps a positive value to the bin of its logarithm, as DDSketch says (Masson, Rim, Lee: "DDSketch: A
// fast and fully-mergeable quantile sketch with relative-error guarantees", VLDB 2019).
var logIndex, lowestIndex, highestIndex = newIndex()

func newIndex() (m *mapping.CubicallyInterpolatedMapping, lowest, highest int) {
	m, err := mapping.NewCubicallyInterpolatedMapping(QuantileAccuracy)
	if err != nil {
		panic(err) // a constant accuracy is right or never was
	}
	return m, m.Index(m.MinIndexableValue()), m.Index(m.MaxIndexableValue())
}

// sketch counts readings by the logarithm of their value. It is the bins of a DDSketch in one sorted slice,
// which takes 8 bytes for each bin in use, where the stores of the library take 8 for each between the lowest
// and the highest and 600 at least. When there are more than maxBins, the bin nearest to zero joins the bin of
// zero: small values of a series that has large ones too are then told as zero (or as the minimum).
// What is left depends on the readings only, not on their order nor on how sketches of them were merged.
type sketch struct{ bins []uint64 }

func keyOf(v float64) uint64 {
	magnitude := math.Abs(v)
	if magnitude < logIndex.MinIndexableValue() {
		return zeroKey
	}
	i := highestIndex
	if magnitude < logIndex.MaxIndexableValue() {
		i = logIndex.Index(magnitude)
	}
	if v < 0 {
		return zeroKey - uint64(i-lowestIndex+1)
	}
	return zeroKey + uint64(i-lowestIndex+1)
}

func valueOf(key uint64) float64 {
	switch {
	case key > zeroKey:
		return logIndex.Value(int(key-zeroKey) - 1 + lowestIndex)
	case key < zeroKey:
		return -logIndex.Value(int(zeroKey-key) - 1 + lowestIndex)
	}
	return 0
}

// find returns the place of the bin of key, or the place where it belongs.
func (s *sketch) find(key uint64) (at int, found bool) {
	lo, hi := 0, len(s.bins)
	for lo < hi {
		if mid := (lo + hi) / 2; s.bins[mid]>>countBits < key {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	return lo, lo < len(s.bins) && s.bins[lo]>>countBits == key
}

// add counts the finite reading v.
func (s *sketch) add(v float64) {
	key := keyOf(v)
	at, found := s.find(key)
	if found {
		s.bins[at]++ // no more than maxReadings, which a count can hold
		return
	}
	s.bins = slices.Insert(s.bins, at, key<<countBits|1)
	s.bound()
}

// bound makes the bins nearest to zero join that of zero until they are few enough.
func (s *sketch) bound() {
	for len(s.bins) > maxBins {
		at, found := s.find(zeroKey)
		if found && len(s.bins) == maxBins+1 {
			return
		}
		up := at
		if found {
			up++
		}
		nearest := up
		if up == len(s.bins) || at > 0 && zeroKey-s.bins[at-1]>>countBits <= s.bins[up]>>countBits-zeroKey {
			nearest = at - 1
		}
		n := s.bins[nearest] & maxCount
		if !found {
			s.bins[nearest] = zeroKey<<countBits | n
			continue
		}
		s.bins[at] += n
		s.bins = slices.Delete(s.bins, nearest, nearest+1)
	}
}

// merge adds the readings of o.
func (s *sketch) merge(o *sketch) {
	i, j := len(s.bins)-1, len(o.bins)-1
	common := 0
	for a, b := i, j; a >= 0 && b >= 0; {
		ka, kb := s.bins[a]>>countBits, o.bins[b]>>countBits
		if ka == kb {
			common++
		}
		if ka >= kb {
			a--
		}
		if kb >= ka {
			b--
		}
	}
	at := len(s.bins) + len(o.bins) - common
	s.bins = slices.Grow(s.bins, at-len(s.bins))[:at]
	for j >= 0 {
		at--
		switch {
		case i < 0 || s.bins[i]>>countBits < o.bins[j]>>countBits:
			s.bins[at] = o.bins[j]
			j--
		case s.bins[i]>>countBits == o.bins[j]>>countBits:
			s.bins[at] = s.bins[i] + o.bins[j]&maxCount
			i--
			j--
		default:
			s.bins[at] = s.bins[i]
			i--
		}
	}
	s.bound()
}

// quantile is the value of the reading of rank q·(n−1), for q in [0, 1] and a sketch of n readings.
func (s *sketch) quantile(q float64, n uint64) float64 {
	rank := q * float64(n-1)
	var seen uint64
	for _, bin := range s.bins {
		seen += bin & maxCount
		if float64(seen) > rank {
			return valueOf(bin >> countBits)
		}
	}
	return math.NaN()
}

// count is the number of readings.
func (s *sketch) count() uint64 {
	var n uint64
	for _, bin := range s.bins {
		n += bin & maxCount
	}
	return n
}

// marshalAppend appends: bins uvarint, bins × { distance to the key before, count uvarint }.
func (s *sketch) marshalAppend(dst []byte) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(s.bins)))
	before := uint64(0)
	for _, bin := range s.bins {
		dst = binary.AppendUvarint(dst, bin>>countBits-before)
		dst = binary.AppendUvarint(dst, bin&maxCount)
		before = bin >> countBits
	}
	return dst
}

// unmarshal reads a sketch off r.
func (s *sketch) unmarshal(r *reader) {
	n := r.uvarint()
	if n > maxBins+1 || n > uint64(len(r.b)/2) {
		r.skip(0)
		return
	}
	s.bins = slices.Grow(s.bins[:0], int(n))
	reach := uint64(highestIndex - lowestIndex + 1)
	key := uint64(0)
	for i := range n {
		d, count := r.uvarint(), r.uvarint()
		if d > 2*zeroKey || count == 0 || count > maxCount || i > 0 && d == 0 {
			r.skip(0)
			return
		}
		key += d
		if key < zeroKey-reach || key > zeroKey+reach {
			r.skip(0)
			return
		}
		s.bins = append(s.bins, key<<countBits|count)
	}
	if _, zero := s.find(zeroKey); n > maxBins && !zero {
		r.skip(0)
	}
}
