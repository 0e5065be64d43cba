package devices

import (
	"encoding/json"
	"math"
	"time"
)

// Meta is what a device, or an operator in its stead, says about it. It does not change once it is made.
type Meta struct {
	DisplayName string
	Description string
	Location    *Location
	// TimeZone is an IANA name such as Europe/Berlin, or empty.
	TimeZone string
	// ExpectedInterval is how often readings are expected; 0: not said.
	ExpectedInterval time.Duration
	Tags             map[string]string
	Metrics          map[string]*Metric
}

// Location is where a device stands, in degrees (WGS 84), and what people call the place.
type Location struct {
	Lat  float64 `json:"lat"`
	Lon  float64 `json:"lon"`
	Name string  `json:"name,omitempty"`
}

// Metric is what is said about one metric of a device.
type Metric struct {
	Unit        string
	DisplayName string
	// Min and Max are the ends of the valid range, NaN where it has none.
	Min, Max float64
	// ExpectedInterval of this metric's readings; 0: the device's.
	ExpectedInterval time.Duration
	// Labels names values: a reading may give the name in place of the number.
	Labels map[string]float64
}

// metaJSON is Meta as it is written: intervals as texts (30s), absent ends of ranges left out.
type metaJSON struct {
	DisplayName      string                `json:"display_name,omitempty"`
	Description      string                `json:"description,omitempty"`
	Location         *Location             `json:"location,omitempty"`
	TimeZone         string                `json:"time_zone,omitempty"`
	ExpectedInterval string                `json:"expected_interval,omitempty"`
	Tags             map[string]string     `json:"tags,omitempty"`
	Metrics          map[string]metricJSON `json:"metrics,omitempty"`
}

type metricJSON struct {
	Unit             string             `json:"unit,omitempty"`
	DisplayName      string             `json:"display_name,omitempty"`
	Min              *float64           `json:"min,omitempty"`
	Max              *float64           `json:"max,omitempty"`
	ExpectedInterval string             `json:"expected_interval,omitempty"`
	Labels           map[string]float64 `json:"labels,omitempty"`
}

// MarshalJSON writes what DecodeMeta reads; equal Metas become equal texts.
func (m *Meta) MarshalJSON() ([]byte, error) {
	out := metaJSON{
		DisplayName: m.DisplayName, Description: m.Description, Location: m.Location, TimeZone: m.TimeZone,
		ExpectedInterval: intervalText(m.ExpectedInterval), Tags: m.Tags,
	}
	if len(m.Metrics) > 0 {
		out.Metrics = make(map[string]metricJSON, len(m.Metrics))
	}
	for name, metric := range m.Metrics {
		out.Metrics[name] = metricJSON{
			Unit: metric.Unit, DisplayName: metric.DisplayName, Min: finite(metric.Min), Max: finite(metric.Max),
			ExpectedInterval: intervalText(metric.ExpectedInterval), Labels: metric.Labels,
		}
	}
	return json.Marshal(out)
}

func intervalText(d time.Duration) string {
	if d == 0 {
		return ""
	}
	return d.String()
}

func finite(v float64) *float64 {
	if math.IsNaN(v) {
		return nil
	}
	return &v
}
