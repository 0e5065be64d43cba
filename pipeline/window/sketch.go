package window

import (
	"encoding/binary"
	"math"
	"slices"

	"github.com/DataDog/sketches-go/ddsketch/mapping"
)

// QuantileAccuracy is the relative error of a quantile of readings that are near to each other: the answer is within
// 0.01 % of the reading of that rank. It doubles each time the readings need more than maxBins bins: those of one sign that
// span 10 % of a value are told within 0.01 %, a factor of 2.7 within 0.16 %, and one of 28,000 within 1.3 %.
const QuantileAccuracy = 1e-4

// maxBins bounds a sketch to 4 KiB. Bins are added as values need them; a pane of a usual sensor has some dozens.
const maxBins = 512

// A bin is a key in the upper 24 bits of a number and the count of its readings in the lower 40, so that bins
// sort by key. The key of zero is zeroKey; above it are the positive values' and below the negative ones'.
const (
	countBits = 40
	maxCount  = 1<<countBits - 1
	zeroKey   = 1 << 23
)

// maxLevel is the level at which all values of a sign have one bin.
const maxLevel = 23

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
// and the highest and 600 at least. When there are more than maxBins, it goes up a level: each two neighbours become one
// (Epicoco et al.: "UDDSketch: Accurate Tracking of Quantiles in Data Streams", IEEE Access 2020). So the level is the
// lowest at which the readings fit, and what is left depends on the readings only, not on their order nor on how sketches
// of them were merged.
type sketch struct {
	bins  []uint64
	level uint8
}

// key of the bin that v has at the sketch's level.
func (s *sketch) key(v float64) uint64 {
	magnitude := math.Abs(v)
	if magnitude < logIndex.MinIndexableValue() {
		return zeroKey
	}
	i := highestIndex
	if magnitude < logIndex.MaxIndexableValue() {
		i = logIndex.Index(magnitude)
	}
	step := uint64(i-lowestIndex)>>s.level + 1
	if v < 0 {
		return zeroKey - step
	}
	return zeroKey + step
}

// value that stands for the readings of a bin.
func (s *sketch) value(key uint64) float64 {
	switch {
	case key > zeroKey:
		return s.magnitude(int(key-zeroKey) - 1)
	case key < zeroKey:
		return -s.magnitude(int(zeroKey-key) - 1)
	}
	return 0
}

func (s *sketch) magnitude(step int) float64 {
	from := lowestIndex + step<<s.level
	if s.level == 0 {
		return logIndex.Value(from)
	}
	to := min(from+1<<s.level, highestIndex)
	lo, hi := logIndex.LowerBound(from), logIndex.LowerBound(to)
	return lo * 2 / (1 + lo/hi) // as far from both, relatively
}

// raise goes up a level.
func (s *sketch) raise() {
	s.level++
	out := s.bins[:0]
	for _, bin := range s.bins {
		key := bin >> countBits
		switch {
		case key > zeroKey:
			key = zeroKey + (key-zeroKey-1)>>1 + 1
		case key < zeroKey:
			key = zeroKey - (zeroKey-key-1)>>1 - 1
		}
		if n := len(out); n > 0 && out[n-1]>>countBits == key {
			out[n-1] += bin & maxCount
			continue
		}
		out = append(out, key<<countBits|bin&maxCount)
	}
	s.bins = out
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
	key := s.key(v)
	at, found := s.find(key)
	if found {
		s.bins[at]++ // no more than maxReadings, which a count can hold
		return
	}
	s.bins = slices.Insert(s.bins, at, key<<countBits|1)
	s.bound()
}

// bound goes up until there are few enough bins.
func (s *sketch) bound() {
	for len(s.bins) > maxBins {
		s.raise()
	}
}

// merge adds the readings of o, which is left as it is.
func (s *sketch) merge(o *sketch) {
	for s.level < o.level {
		s.raise()
	}
	if o.level < s.level {
		o = &sketch{bins: slices.Clone(o.bins), level: o.level}
		for o.level < s.level {
			o.raise()
		}
	}
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
			return s.value(bin >> countBits)
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

// marshalAppend appends: level byte, bins uvarint, bins × { distance to the key before, count uvarint }.
func (s *sketch) marshalAppend(dst []byte) []byte {
	dst = append(dst, s.level)
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
	s.level = r.byte()
	n := r.uvarint()
	if s.level > maxLevel || n > maxBins || n > uint64(len(r.b)/2) {
		r.skip(0)
		return
	}
	s.bins = slices.Grow(s.bins[:0], int(n))
	reach := uint64(highestIndex-lowestIndex)>>s.level + 1
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
}
