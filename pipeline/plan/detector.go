package plan

import (
	"weir/pipeline/detect"
)

// DetectorSpec says how a series is judged. Whether it is at all, and in which time zone, other settings say.
type DetectorSpec struct {
	detect.Config `yaml:",inline" plan:"without enabled zone"`
}

func defaultDetector() DetectorSpec { return DetectorSpec{detect.DefaultConfig()} }

// compileDetector returns nil when the detector is off, or its settings cannot be.
func (s *Settings) compileDetector(shared *detectors, f *faults) *detect.Params {
	if s.Detector == nil {
		return nil
	}
	c := s.Detector.Config
	c.Enabled = true
	if s.TimeZone != "" && zone(s.TimeZone, &faults{}) != nil {
		c.Zone = s.TimeZone
	}
	p, err := shared.of(c)
	f.of("detector", err)
	return p
}

// detectors are compiled settings, which series share: they hold a table of the time zone's offsets.
type detectors struct {
	compiled map[detect.Config]*detect.Params
}

func (d *detectors) of(c detect.Config) (*detect.Params, error) {
	if p := d.compiled[c]; p != nil {
		return p, nil
	}
	p, err := c.Compile()
	if err != nil {
		return nil, err
	}
	if d.compiled == nil {
		d.compiled = map[detect.Config]*detect.Params{}
	}
	d.compiled[c] = p
	return p, nil
}
