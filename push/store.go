package push

import (
	"cmp"
	"slices"
	"sort"
	"strings"
	"unsafe"

	"weir/telemetry"
	"weir/wire"
)

// series is one series as push knows it: its newest update, and the views that show it. Guarded by
// hub.mu.
type series struct {
	name    string
	last    telemetry.Update
	members []member
	meta    *wire.Meta // what is known of it beside its readings; nil: nothing
	gone    bool       // it was deleted, and is in no store
	told    *rowText   // nil: no view has told a row that another might
}

// member says that the series stands at index idx of a view's dictionary.
type member struct {
	view *view
	idx  uint32
}

// seriesBytes is about what one series costs: the struct, its name, and its places in the map and the
// sorted list.
const seriesBytes = int(unsafe.Sizeof(series{})) + 48 + 32 + 8

// store holds the newest update of every series and the open alerts. Guarded by hub.mu. It is as large
// as the stream has series: the pipeline bounds those.
type store struct {
	series map[string]*series
	alerts map[string]openAlert
	ended  ended

	// sorted lists the series by name, except for those from unsorted on, which are newer.
	sorted   []*series
	unsorted int
}

func newStore() store {
	return store{
		series: make(map[string]*series), alerts: make(map[string]openAlert), ended: ended{alerts: make(map[string]telemetry.Alert)},
	}
}

// add makes a series that nothing is known of yet.
func (st *store) add(name string) *series {
	s := &series{name: name, last: telemetry.Update{Version: telemetry.NoVersion, Since: telemetry.NoVersion}}
	st.series[name] = s
	st.sorted = append(st.sorted, s)
	return s
}

// openAlert is an alert that has not ended, and the partition it came from.
type openAlert struct {
	telemetry.Alert
	partition int
}

// transition records where an alert stands: open alerts are kept, ended ones for a while. It reports
// false when that was known.
func (st *store) transition(partition int, a *telemetry.Alert) bool {
	known, open := st.alerts[a.ID]
	if open && known.Phase == a.Phase && known.Version == a.Version {
		return false
	}
	if a.Phase == telemetry.Resolved {
		delete(st.alerts, a.ID)
		st.ended.add(a)
		return true
	}
	st.alerts[a.ID] = openAlert{*a, partition}
	return true
}

// matching calls yield with every series that one of the patterns selects, each once, by name, until
// yield returns false.
func (st *store) matching(patterns []telemetry.Pattern, yield func(*series) bool) {
	if len(patterns) == 1 {
		st.matchingOne(patterns[0], yield)
		return
	}
	seen := make(map[*series]struct{})
	more := true
	for _, p := range patterns {
		if !more {
			return
		}
		st.matchingOne(p, func(s *series) bool {
			if _, dup := seen[s]; dup {
				return true
			}
			seen[s] = struct{}{}
			more = yield(s)
			return more
		})
	}
}

// selected returns the series that the patterns select, at most limit.
func (st *store) selected(patterns []telemetry.Pattern, limit int) (out []*series) {
	st.matching(patterns, func(s *series) bool {
		out = append(out, s)
		return len(out) < limit
	})
	return out
}

func (st *store) matchingOne(p telemetry.Pattern, yield func(*series) bool) {
	if p.Literal() {
		if s := st.series[p.String()]; s != nil {
			yield(s)
		}
		return
	}
	for _, s := range st.withPrefix(literalPrefix(p.String())) {
		if p.Match(s.name) && !yield(s) {
			return
		}
	}
}

// literalPrefix is what every path that the pattern matches begins with. The slash before a "#" is not
// part of it: plant1/# matches plant1.
func literalPrefix(pattern string) string {
	prefix := pattern[:strings.IndexAny(pattern, "+#")]
	if strings.HasSuffix(pattern, "#") && len(prefix) == len(pattern)-1 {
		prefix = strings.TrimSuffix(prefix, "/")
	}
	return prefix
}

// withPrefix returns the series whose names begin with prefix, by name.
func (st *store) withPrefix(prefix string) []*series {
	st.sort()
	from := sort.Search(len(st.sorted), func(i int) bool { return st.sorted[i].name >= prefix })
	rest := st.sorted[from:]
	n := sort.Search(len(rest), func(i int) bool { return !strings.HasPrefix(rest[i].name, prefix) })
	return rest[:n]
}

// sort merges the series that came since the last call into the sorted list.
func (st *store) sort() {
	if st.unsorted == len(st.sorted) {
		return
	}
	byName := func(a, b *series) int { return cmp.Compare(a.name, b.name) }
	fresh := slices.Clone(st.sorted[st.unsorted:])
	slices.SortFunc(fresh, byName)
	old := st.sorted[:st.unsorted]
	i, j := len(old), len(fresh)
	for at := len(st.sorted) - 1; j > 0; at-- {
		if i > 0 && old[i-1].name > fresh[j-1].name {
			i--
			st.sorted[at] = old[i]
			continue
		}
		j--
		st.sorted[at] = fresh[j]
	}
	st.unsorted = len(st.sorted)
}
