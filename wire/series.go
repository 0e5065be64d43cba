package wire

// Bounds of a seriesCache, so that a client that makes up names does not fill the memory.
const (
	maxSeriesNames = 4096
	maxSeriesBytes = 256 << 10
	// scanFields is up to how many fields of a series are searched one by one.
	scanFields = 16
)

// seriesCache keeps which device and metrics the templates make of the measurements, tags and fields that a
// connection sends, so that a frame like the ones before costs a look-up. When it is full it starts anew.
type seriesCache struct {
	syntax seriesSyntax
	names  names
	pair   *templatePair

	series map[string]*series
	// count is of series and fields, bytes of their names.
	count, bytes int
}

// seriesSyntax reads names as a format writes them.
type seriesSyntax interface {
	// readSeries puts measurement and tags into n; ok is false if key is none.
	readSeries(key []byte, n *names) (ok bool)
	readField(raw []byte) string
}

// series is a measurement with its tags.
type series struct {
	device  string
	verdict verdict
	// single has the fields that say nothing of lines that have no other, fields all others.
	single, fields seriesFields
}

type seriesFields struct {
	list   []seriesField
	byName map[string]int
}

// seriesField is a field as written, and what becomes of it.
type seriesField struct {
	raw, metric string
	verdict     verdict
}

func newSeriesCache(opts *DecoderOptions, syntax seriesSyntax) seriesCache {
	return seriesCache{
		syntax: syntax, pair: &opts.Templates.influx,
		names: names{device: opts.DefaultDevice, tenant: opts.Tenant, topic: opts.Topic},
	}
}

// get returns the series of key, nil if that is none.
func (c *seriesCache) get(key []byte) *series {
	if s, ok := c.series[string(key)]; ok {
		return s
	}
	if !c.syntax.readSeries(key, &c.names) {
		return nil
	}
	s := &series{}
	s.device, s.verdict = c.names.toDevice(&c.pair.device)
	c.room(len(key) + len(s.device))
	c.series[string(key)] = s
	return s
}

// room counts one more name, and starts anew if that is too many.
func (c *seriesCache) room(bytes int) {
	c.count++
	c.bytes += bytes
	if c.series == nil || c.count > maxSeriesNames || c.bytes > maxSeriesBytes {
		c.series = make(map[string]*series)
		c.count, c.bytes = 1, bytes
	}
}

// field returns a field of s, whose key is given; alone says that its line has no other. hint is where it may be, and
// its place afterwards.
func (c *seriesCache) field(s *series, key, raw []byte, alone bool, hint int) (*seriesField, int) {
	fields := &s.fields
	if alone = alone && isSilent(string(raw)); alone {
		fields = &s.single
	}
	if hint < len(fields.list) && fields.list[hint].raw == string(raw) {
		return &fields.list[hint], hint
	}
	if fields.byName != nil {
		if i, ok := fields.byName[string(raw)]; ok {
			return &fields.list[i], i
		}
	} else {
		for i := range fields.list {
			if fields.list[i].raw == string(raw) {
				return &fields.list[i], i
			}
		}
	}
	return fields.add(c.learn(key, raw, alone))
}

// learn names a field.
func (c *seriesCache) learn(key, raw []byte, alone bool) seriesField {
	f := seriesField{raw: string(raw)}
	c.syntax.readSeries(key, &c.names)
	c.names.field, c.names.alone = c.syntax.readField(raw), alone
	c.names.toDevice(&c.pair.device) // tells which tags the device has taken
	f.metric, f.verdict = c.names.toMetric(&c.pair.metric)
	c.room(len(f.raw) + len(f.metric))
	return f
}

// add keeps a field, and returns its place.
func (s *seriesFields) add(f seriesField) (*seriesField, int) {
	if len(s.list) >= maxSeriesNames {
		// A line of endless fields: it is not kept, nor are they.
		s.list, s.byName = s.list[:0], nil
	}
	s.list = append(s.list, f)
	i := len(s.list) - 1
	if s.byName != nil {
		s.byName[f.raw] = i
	} else if len(s.list) > scanFields {
		s.byName = make(map[string]int)
		for i := range s.list {
			s.byName[s.list[i].raw] = i
		}
	}
	return &s.list[i], i
}
