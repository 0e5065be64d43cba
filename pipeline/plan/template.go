package plan

import (
	"errors"
	"strconv"
	"strings"

	"weir/telemetry"
)

// Template is the name of an output of a series: the name of its metric between two texts.
type Template struct{ prefix, suffix string }

const metricMark = "{metric}"

var errNoMetric = errors.New("must hold {metric} once, or outputs of different metrics would have one name")

// parseTemplate reads a name with {metric} in it. Its other marks are filled in already.
func parseTemplate(text string) (Template, error) {
	prefix, suffix, ok := strings.Cut(text, metricMark)
	if !ok || strings.Contains(suffix, metricMark) {
		return Template{}, errNoMetric
	}
	if prefix == "" && suffix == "" {
		return Template{}, errors.New("is the name of the metric itself")
	}
	if i := strings.IndexAny(prefix+suffix, "{}"); i >= 0 {
		return Template{}, errors.New("has a mark that is not known here")
	}
	if err := telemetry.CheckMetric(prefix + "m" + suffix); err != nil {
		return Template{}, errors.New(strings.Replace(err.Error(), "path", "name", 1))
	}
	return Template{prefix, suffix}, nil
}

// Metric is the output's name for a metric. It may be too long for a series.
func (t Template) Metric(metric string) string { return t.prefix + metric + t.suffix }

// base is the inverse of Metric.
func (t Template) base(output string) (metric string, ok bool) {
	if len(output) <= len(t.prefix)+len(t.suffix) {
		return "", false
	}
	metric, ok = strings.CutPrefix(output, t.prefix)
	if ok {
		metric, ok = strings.CutSuffix(metric, t.suffix)
	}
	return metric, ok
}

func (t Template) String() string { return t.prefix + metricMark + t.suffix }

// counted is a number of things; the plural of series is series.
func counted(n int, noun string) string {
	if n != 1 && !strings.HasSuffix(noun, "s") {
		noun += "s"
	}
	return strconv.Itoa(n) + " " + noun
}
