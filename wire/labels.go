package wire

// texts keeps the values of a frame that are text, until it is known which metric each is of: a metric may declare
// labels, such as open and closed, that stand for numbers.
type texts struct {
	bytes []byte
	ends  []int
}

func (t *texts) reset() { t.bytes, t.ends = t.bytes[:0], t.ends[:0] }

func (t *texts) large() bool { return cap(t.bytes) > keepScratch || cap(t.ends) > keepReadings }

func (t *texts) at(i int) []byte {
	start := 0
	if i > 0 {
		start = t.ends[i-1]
	}
	return t.bytes[start:t.ends[i]]
}

// text takes over a value that is text; the number is its place in texts.
func (g *gathering) text(raw []byte) (float64, verdict) {
	if g.opts.Labels == nil {
		return 0, valueType
	}
	g.texts.bytes = append(g.texts.bytes, raw...)
	g.texts.ends = append(g.texts.ends, len(g.texts.bytes))
	return float64(len(g.texts.ends) - 1), valueText
}

// label replaces a text by the number for which it stands.
func (g *gathering) label(it *item) {
	text := g.texts.at(int(it.value))
	it.verdicts[fieldValue] = valueType
	if it.verdicts[fieldDevice] != good || it.verdicts[fieldMetric] != good {
		return
	}
	if number, ok := g.opts.Labels(it.device, it.metric)[string(text)]; ok && isFinite(number) {
		it.value, it.verdicts[fieldValue] = number, good
	}
}

// isFinite holds for all but NaN and the infinities, of which x-x is not 0.
func isFinite(x float64) bool { return x-x == 0 }
