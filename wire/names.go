package wire

import (
	"slices"
	"strings"
	"unicode/utf8"

	"weir/telemetry"
)

// names are what a foreign format knows of a reading.
type names struct {
	device, tenant, topic string

	measurement, field string
	// tags are in the order of their keys.
	tags []tag

	// name is a resolved SenML name, base and n the parts of which it is made.
	name, base, n string

	out []byte
	// used says which variables made the device.
	used variableSet
}

type tag struct {
	key, value string
	// owned: the tag has become a part of the device.
	owned bool
}

// toDevice is the device that the template makes of the names.
func (n *names) toDevice(t *template) (string, verdict) {
	n.used = 0
	for i := range n.tags {
		n.tags[i].owned = false
	}
	if !n.render(t) {
		if t.uses(varDevice) {
			return "", deviceMissing
		}
		return "", templateMismatch
	}
	for i := range n.tags {
		n.tags[i].owned = n.tags[i].owned || n.used&(1<<varTags) != 0
	}
	device := cleanPath(n.out)
	if n.tenant != "" && n.used&(1<<varDevice) == 0 && !strings.HasPrefix(device, n.tenant+"/") {
		device = n.tenant + "/" + device
	}
	if err := telemetry.CheckDevice(device); err != nil {
		return "", pathVerdict(err)
	}
	return device, good
}

// toMetric is the metric that the template makes of the names, after toDevice.
func (n *names) toMetric(t *template) (string, verdict) {
	if !n.render(t) {
		return "", templateMismatch
	}
	metric := cleanSegment(n.out)
	if err := telemetry.CheckMetric(metric); err != nil {
		return "", pathVerdict(err)
	}
	return metric, good
}

func (t *template) uses(kind variableKind) bool {
	for _, p := range t.parts {
		for _, v := range p.choice {
			if v.kind == kind {
				return true
			}
		}
	}
	return false
}

// render writes the template into out; ok is false if it does not fit.
func (n *names) render(t *template) (ok bool) {
	n.out = n.out[:0]
	for i := range t.parts {
		p := &t.parts[i]
		n.out = append(n.out, p.text...)
		if len(p.choice) > 0 && !n.choose(p) && p.before == "" {
			return false
		}
	}
	return true
}

// choose writes the first variable of a part that has a value.
func (n *names) choose(p *templatePart) bool {
	for i := range p.choice {
		v := &p.choice[i]
		if v.kind == varTags {
			n.used |= 1 << varTags
			return n.appendTags(p)
		}
		if value := n.value(v, p.before != ""); value != "" || v.kind == varText {
			n.used |= 1 << v.kind
			n.out = append(append(n.out, p.before...), value...)
			return true
		}
	}
	return false
}

func (n *names) appendTags(p *templatePart) bool {
	some := false
	for i := range n.tags {
		t := &n.tags[i]
		if t.owned || t.value == "" || slices.Contains(p.except, t.key) {
			continue
		}
		if some && p.before == "" {
			n.out = append(n.out, '.')
		}
		n.out = append(append(n.out, p.before...), t.value...)
		some = true
	}
	return some
}

// value is that of a variable, empty if there is none. A field whose name says nothing has none where it may be
// left out.
func (n *names) value(v *variable, optional bool) string {
	switch v.kind {
	case varText:
		return v.name
	case varDevice:
		return n.device
	case varTenant:
		return n.tenant
	case varTopic:
		return n.topic
	case varTopicSegment:
		return topicSegment(n.topic, v.from, v.rest)
	case varMeasurement:
		return n.measurement
	case varField:
		if optional && (n.field == "value" || n.field == "gauge" || n.field == "counter") {
			return ""
		}
		return n.field
	case varTag:
		for i := range n.tags {
			if n.tags[i].key == v.name {
				n.tags[i].owned = true
				return n.tags[i].value
			}
		}
	case varName:
		return n.name
	case varBase:
		return n.base
	case varN:
		return n.n
	}
	return ""
}

func topicSegment(topic string, from int, rest bool) string {
	segments := strings.Split(topic, "/")
	if from < 0 {
		from += len(segments) + 1
	}
	if from < 1 || from > len(segments) {
		return ""
	}
	if rest {
		return strings.Join(segments[from-1:], "/")
	}
	return segments[from-1]
}

// cleanSegment is raw as one segment of a path: what no path may hold, and a slash, becomes a hyphen.
func cleanSegment(raw []byte) string {
	out := make([]byte, 0, len(raw))
	for i := 0; i < len(raw); {
		r, size := utf8.DecodeRune(raw[i:])
		switch {
		case r < 0x20, r >= 0x7f && r < 0xa0, r == utf8.RuneError, r == '+', r == '#', r == '/', r == '_' && i == 0:
			out = append(out, '-')
		default:
			out = append(out, raw[i:i+size]...)
		}
		i += size
	}
	return string(out)
}

// cleanPath is raw as a path: its segments are cleaned, empty ones left out.
func cleanPath(raw []byte) string {
	var out strings.Builder
	for segment := range strings.SplitSeq(string(raw), "/") {
		if segment == "" {
			continue
		}
		if out.Len() > 0 {
			out.WriteByte('/')
		}
		out.WriteString(cleanSegment([]byte(segment)))
	}
	return out.String()
}

func sortTags(tags []tag) {
	slices.SortStableFunc(tags, func(a, b tag) int { return strings.Compare(a.key, b.key) })
}
