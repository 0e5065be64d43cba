package wire

// dictionary numbers names in order of appearance. The first few are in an array, so that a dictionary of
// them stays on the stack, and are looked through; the others are in more and numbered by a map.
type dictionary struct {
	few     [16]string
	more    []string
	numbers map[string]int
	size    int
	last    int
}

func (d *dictionary) name(i int) string {
	if i < len(d.few) {
		return d.few[i]
	}
	return d.more[i-len(d.few)]
}

// index is the number of name. Devices tend to send their metrics in turn, so the one after the last is
// tried first.
func (d *dictionary) index(name string) int {
	next := d.last + 1
	if next >= d.size {
		next = 0
	}
	if next >= d.size || d.name(next) != name {
		next = d.find(name)
	}
	d.last = next
	return next
}

func (d *dictionary) find(name string) int {
	for i := range min(d.size, len(d.few)) {
		if d.few[i] == name {
			return i
		}
	}
	if i, ok := d.numbers[name]; ok {
		return i
	}
	i := d.size
	d.size++
	if i < len(d.few) {
		d.few[i] = name
		return i
	}
	if d.numbers == nil {
		d.numbers = make(map[string]int)
	}
	d.numbers[name] = i
	d.more = append(d.more, name)
	return i
}
