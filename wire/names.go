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
	// alone: the field is its line's only one.
	alone bool
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

// appendTags writes each tag that is left as key=value: tags of other keys may have the same values. The key of a tag
// that is alone and called as the measurement says nothing, as in cpu,cpu=cpu0.
func (n *names) appendTags(p *templatePart) bool {
	some, alone := 0, n.tagsLeft(p) == 1
	for i := range n.tags {
		t := &n.tags[i]
		if !t.left(p) {
			continue
		}
		if some > 0 && p.before == "" {
			n.out = append(n.out, '.')
		}
		n.out = append(n.out, p.before...)
		if !alone || t.key != n.measurement {
			n.out = append(append(n.out, tagKey.Replace(t.key)...), '=')
		}
		n.out = append(n.out, tagValue.Replace(t.value)...)
		some++
	}
	return some > 0
}

// What would make a tag look like others is replaced, and a slash so that /a/b and /a-b are told apart.
var (
	tagKey   = strings.NewReplacer("=", "-", ".", "-", "/", "|")
	tagValue = strings.NewReplacer("=", "-", "/", "|")
)

func (n *names) tagsLeft(p *templatePart) (count int) {
	for i := range n.tags {
		if n.tags[i].left(p) {
			count++
		}
	}
	return count
}

func (t *tag) left(p *templatePart) bool {
	return !t.owned && t.value != "" && !slices.Contains(p.except, t.key)
}

// value is that of a variable, empty if there is none. A field whose name says nothing has none where it may be
// left out, unless its line has others.
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
		if optional && n.alone && isSilent(n.field) {
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

// isSilent reports whether the name of a field says nothing.
func isSilent(field string) bool { return field == "value" || field == "gauge" || field == "counter" }

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
