package detect

import (
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"math"
	"sort"
	"time"
)

// Config chooses the heads of a detector and how easily they raise alerts. The zero value is not valid;
// begin with [DefaultConfig].
type Config struct {
	// Enabled is whether series are judged at all.
	Enabled bool `yaml:"enabled"`
	// Sensitivity scales every score before it is compared with the alert level: 2 raises at half the
	// deviation that 1 needs. From 0.1 to 10.
	Sensitivity float64 `yaml:"sensitivity"`
	// Zone is the IANA name of the zone whose hours and weekends the series follows; empty is UTC.
	Zone string `yaml:"zone"`
	// Heads that take part.
	Heads Heads `yaml:"heads"`
}

// Heads switches the heads of a detector on and off.
type Heads struct {
	Novelty   bool `yaml:"novelty"`
	Deviation bool `yaml:"deviation"`
	Stuck     bool `yaml:"stuck"`
	Flat      bool `yaml:"flat"`
	Shift     bool `yaml:"shift"`
}

// DefaultConfig is what a series gets that nobody has configured.
func DefaultConfig() Config {
	return Config{
		Enabled: true, Sensitivity: 1, Zone: "UTC",
		Heads: Heads{Novelty: true, Deviation: true, Stuck: true, Flat: true, Shift: true},
	}
}

// Validate names the first field that cannot be.
func (c *Config) Validate() error {
	if !(c.Sensitivity >= 0.1 && c.Sensitivity <= 10) {
		return fmt.Errorf("sensitivity: %v is not between 0.1 and 10", c.Sensitivity)
	}
	if _, err := time.LoadLocation(c.Zone); err != nil || c.Zone == "Local" {
		return fmt.Errorf("zone: %q is not a known time zone", c.Zone)
	}
	return nil
}

// Params is a Config made ready for use. It is immutable; series with the same settings share one.
type Params struct {
	heads       Heads
	enabled     bool
	sensitivity float64
	// changes are the times (µs) from which offsets (s east of UTC) hold; the first is the smallest int64.
	changes []int64
	offsets []int64
	hash    uint64
}

// The years whose changes of offset are known; outside of them the nearest known offset holds.
const (
	firstYear = 1970
	lastYear  = 2100
)

// Compile makes a valid Config ready for use.
func (c *Config) Compile() (*Params, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	zone, err := time.LoadLocation(c.Zone)
	if err != nil {
		return nil, fmt.Errorf("zone: %w", err)
	}
	p := &Params{heads: c.Heads, enabled: c.Enabled, sensitivity: c.Sensitivity}
	for at := time.Date(firstYear, 1, 1, 0, 0, 0, 0, time.UTC); at.Year() <= lastYear; {
		local := at.In(zone)
		_, offset := local.Zone()
		if n := len(p.offsets); n == 0 || p.offsets[n-1] != int64(offset) {
			p.changes, p.offsets = append(p.changes, at.UnixMicro()), append(p.offsets, int64(offset))
		}
		_, end := local.ZoneBounds()
		if end.IsZero() {
			break
		}
		// On the last day of some leap years the library tells the instant itself as the end of its zone.
		if !end.After(at) {
			end = at.AddDate(0, 0, 1)
		}
		at = end.UTC()
	}
	p.changes[0] = math.MinInt64
	p.hash = p.sum()
	return p, nil
}

// sum covers all that decides what a state means, so the offsets rather than the zone's name.
func (p *Params) sum() uint64 {
	h := fnv.New64a()
	b := []byte{detectorLayout}
	for _, on := range [...]bool{p.enabled, p.heads.Novelty, p.heads.Deviation, p.heads.Stuck, p.heads.Flat, p.heads.Shift} {
		b = append(b, bit(on, 0))
	}
	b = binary.LittleEndian.AppendUint64(b, math.Float64bits(p.sensitivity))
	for i := range p.changes {
		b = binary.LittleEndian.AppendUint64(b, uint64(p.changes[i]))
		b = binary.LittleEndian.AppendUint64(b, uint64(p.offsets[i]))
	}
	_, _ = h.Write(b)
	return h.Sum64()
}

// Hash tells settings apart: a state made under one hash must not be used under another.
func (p *Params) Hash() uint64 { return p.hash }

// Enabled reports whether series are judged at all.
func (p *Params) Enabled() bool { return p.enabled }

// local is the local time, in seconds, of t (µs). The index of the offset in use is kept in *at, which is
// only a hint: any value gives the same answer.
func (p *Params) local(t int64, at *uint16) int64 {
	i := int(*at)
	if i >= len(p.changes) || t < p.changes[i] || (i+1 < len(p.changes) && t >= p.changes[i+1]) {
		i = sort.Search(len(p.changes), func(i int) bool { return p.changes[i] > t }) - 1
		*at = uint16(i)
	}
	return floorDiv(t, 1_000_000) + p.offsets[i]
}

func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}

func bit(on bool, at uint) byte {
	if on {
		return 1 << at
	}
	return 0
}
