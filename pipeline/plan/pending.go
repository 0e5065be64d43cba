package plan

import "errors"

// DetectorSpec says how a series is judged.
type DetectorSpec struct {
	Sensitivity float64  `yaml:"sensitivity"`
	Heads       []string `yaml:"heads"`
}

func defaultDetector() DetectorSpec { return DetectorSpec{Sensitivity: 1} }

// Validate names the field that is wrong.
func (s *DetectorSpec) Validate() error {
	if s.Sensitivity <= 0 {
		return errors.New("sensitivity: must be > 0")
	}
	return nil
}

// DetectParams are a DetectorSpec, compiled.
type DetectParams struct{ DetectorSpec }

func (s *Settings) compileDetector(f *faults) *DetectParams {
	if err := s.Detector.Validate(); err != nil {
		f.of("detector", err)
		return nil
	}
	return &DetectParams{*s.Detector}
}
