package wire

import (
	"strings"

	"weir/telemetry"
)

// senmlResolver keeps which device and metric the templates make of the names that a connection sends.
type senmlResolver struct {
	names    names
	pair     *templatePair
	resolved map[string]*senmlResolved
	key      []byte
	bytes    int
}

// senmlResolved is what a name becomes: for the values of its records, and for their sums.
type senmlResolved struct{ value, sum senmlName }

type senmlName struct {
	device, metric         string
	verdict, metricVerdict verdict
}

// keyGap is between the parts of a key. No name holds it, as it is not UTF-8.
const keyGap = 0xff

// sumSuffix is put behind the metric of a sum, which is an integral over time: another quantity than the value.
const sumSuffix = "_sum"

func newSenMLResolver(opts *DecoderOptions) senmlResolver {
	return senmlResolver{
		pair:  &opts.Templates.senml,
		names: names{device: opts.DefaultDevice, tenant: opts.Tenant, topic: opts.Topic},
	}
}

// resolve returns what the name of a record becomes.
func (r *senmlResolver) resolve(base *senmlBaseFields, rec *senmlRecord) *senmlResolved {
	r.key = append(append(append(r.key[:0], base.name...), keyGap), rec.name...)
	var unit []byte
	if len(rec.name) == 0 || len(base.name) == 0 {
		// The name may be the device's alone; then the unit has to tell quantities apart.
		if unit = base.unit; len(rec.unit) > 0 {
			unit = rec.unit
		}
		r.key = append(append(r.key, keyGap), unit...)
	}
	if known, ok := r.resolved[string(r.key)]; ok {
		return known
	}
	made := &senmlResolved{value: r.name(string(base.name), string(rec.name), string(unit))}
	made.sum = made.value
	if made.sum.metricVerdict == good {
		made.sum.metric += sumSuffix
		if err := telemetry.CheckMetric(made.sum.metric); err != nil {
			made.sum.metricVerdict = pathVerdict(err)
		}
	}
	size := len(r.key) + len(made.value.device) + 2*len(made.value.metric)
	if r.bytes += size; r.resolved == nil || len(r.resolved) >= maxSeriesNames || r.bytes > maxSeriesBytes {
		r.resolved = make(map[string]*senmlResolved)
		r.bytes = size
	}
	r.resolved[string(r.key)] = made
	return made
}

// name makes device and metric of a base name, a name and a unit.
func (r *senmlResolver) name(base, name, unit string) (s senmlName) {
	n := &r.names
	n.name = base + name
	if n.name == "" {
		s.verdict, s.metricVerdict = good, metricMissing
		return s
	}
	n.base, n.n = divideName(base, name)
	if n.n == "" {
		if n.n = unit; unit == "" {
			n.n = "value"
		}
	}
	s.device, s.verdict = n.toDevice(&r.pair.device)
	if n.base != "" && n.used&(1<<varBase) == 0 && !isBase(base, name) {
		// What was split off the name would be lost.
		n.n = n.name
	}
	s.metric, s.metricVerdict = n.toMetric(&r.pair.metric)
	return s
}

// nameSeparators are those by which the parts of names are divided.
const nameSeparators = "/:"

// isBase reports whether a base name is the device's and the name that of a quantity.
func isBase(base, name string) bool {
	if base == "" || base[0] == '/' {
		return false
	}
	if name == "" {
		return isDeviceURN(base)
	}
	return strings.ContainsAny(base[len(base)-1:], nameSeparators) || strings.ContainsAny(name[:1], nameSeparators) ||
		!strings.ContainsAny(name, nameSeparators)
}

// divideName divides a resolved name into that of a device and that of a quantity; either may be empty. A name that
// begins with a slash, such as LwM2M's /3303/0/5700, is a path inside of a device.
func divideName(base, name string) (device, quantity string) {
	whole := base + name
	switch {
	case isBase(base, name):
		return strings.TrimRight(base, nameSeparators), strings.TrimLeft(name, nameSeparators)
	case whole[0] == '/':
		return "", strings.TrimLeft(whole, "/")
	case isDeviceURN(whole):
		return whole, ""
	}
	at := strings.LastIndexByte(whole, '/')
	if at < 0 {
		at = strings.LastIndexByte(whole, ':')
	}
	if at < 0 {
		return "", whole
	}
	return strings.TrimRight(whole[:at], nameSeparators), whole[at+1:]
}

// isDeviceURN tells the bare name of a device, such as urn:dev:ow:10e2073a01080063 (RFC 9039).
func isDeviceURN(name string) bool {
	name = strings.TrimSuffix(name, ":")
	return strings.HasPrefix(name, "urn:dev:") && strings.Count(name, ":") == 3 && !strings.Contains(name, "/")
}
