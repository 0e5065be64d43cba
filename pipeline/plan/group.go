package plan

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"weir/internal/yamlfile"
	"weir/pipeline/window"
	"weir/telemetry"
)

const (
	defaultEvery = 10 * time.Second
	minEvery     = time.Second
	maxEvery     = 24 * time.Hour
)

// groupSpec is an entry of groups.
type groupSpec struct {
	Match     Patterns       `yaml:"match"`
	As        string         `yaml:"as"`
	Every     time.Duration  `yaml:"every"`
	Grace     *time.Duration `yaml:"grace"`
	Functions []string       `yaml:"functions"`
	Unit      string         `yaml:"unit"`
}

// Group is an aggregate over series of several devices.
type Group struct {
	// Window is the tumbling one in which members' partials are merged.
	Window *window.Window
	Unit   string

	as    []string // segments, with marks
	out   []string // segments, with + for marks
	match Patterns
	path  string
}

// Member is a group of which a series is a member, and the series that this group makes of it and others.
type Member struct {
	Group *Group
	// Series holds the first of the functions; Group.Outputs has the names of all.
	Series string
}

// groupPattern is a pattern and whose it is.
type groupPattern struct {
	group   *Group
	pattern Pattern
}

// As is the name of the group's series as it is written, and what identifies the group.
func (g *Group) As() string { return strings.Join(g.as, "/") }

// Outputs are the series that hold the functions of the group's window, in their order, for a Member's Series:
// that itself, then one for each further function.
func (g *Group) Outputs(series string) []string {
	var out []string
	for i, fn := range g.Window.Functions() {
		if i == 0 {
			out = append(out, series)
			continue
		}
		out = append(out, series+"."+fn)
	}
	return out
}

// Group is the one whose As it is, or nil.
func (p *Plan) Group(as string) *Group {
	for _, g := range p.groups {
		if g.As() == as {
			return g
		}
	}
	return nil
}

// Members are the groups that a series is a member of. Wildcards of a group stand for no segment that begins with
// "_", and only a pattern that spells out the metric takes what averages, windows and rates publish.
func (p *Plan) Members(series string) []Member {
	var buf [16]int32
	found := p.members.Match(series, buf[:0])
	if len(found) == 0 {
		return nil
	}
	device, metric, ok := telemetry.SplitSeries(series)
	published := ok && p.published(device, metric)
	slices.Sort(found)
	var out []Member
	for _, i := range found {
		at := &p.groupPatterns[i]
		if published && !at.pattern.spelled() || slices.ContainsFunc(out, func(m Member) bool { return m.Group == at.group }) {
			continue
		}
		if name, ok := at.group.name(&at.pattern, series, metric); ok {
			out = append(out, Member{at.group, name})
		}
	}
	return out
}

// name fills the marks of the group's series; not ok: the series is no member.
func (g *Group) name(pattern *Pattern, series, metric string) (name string, ok bool) {
	var captured [telemetry.MaxPathSegments + 1]string
	ok = true
	pattern.wild(series, func(plus int, segment string) {
		captured[plus] = segment
		ok = ok && !reserved(segment)
	})
	if !ok {
		return "", false
	}
	segments := slices.Clone(g.as)
	for i, s := range segments {
		if n := plusMark(s); n > 0 {
			segments[i] = captured[n]
		}
	}
	last := len(segments) - 1
	segments[last] = strings.Replace(segments[last], metricMark, metric, 1)
	name = strings.Join(segments, "/")
	return name, len(name) <= telemetry.MaxPathBytes
}

// plusMark is n of the segment {n}, else 0.
func plusMark(segment string) int {
	if len(segment) < 3 || segment[0] != '{' || segment[len(segment)-1] != '}' {
		return 0
	}
	n, err := strconv.Atoi(segment[1 : len(segment)-1])
	if err != nil || n < 1 || n > telemetry.MaxPathSegments {
		return 0
	}
	return n
}

func (p *Plan) checkGroups(spec *file, f *faults) {
	for i := range spec.Groups {
		s := &spec.Groups[i]
		g := &Group{Unit: s.Unit, match: s.Match, path: yamlfile.Index("groups", i)}
		checkMatch(g.path, g.match, f)
		if len(s.Unit) > maxTextBytes {
			f.at(g.path+".unit", "is longer than %d bytes", maxTextBytes)
		}
		if len(s.Functions) == 0 {
			s.Functions = []string{"mean"}
		}
		w, err := (&window.Spec{Name: "group", Size: s.Every, Grace: s.Grace, Functions: s.Functions, As: "{metric}.{fn}"}).Compile()
		switch {
		case s.Every < minEvery || s.Every > maxEvery:
			f.at(g.path+".every", "must be between %s and %s", minEvery, durationText(maxEvery))
		case err != nil:
			f.of(g.path, err)
		}
		g.Window = w
		g.as = strings.Split(s.As, "/")
		if err := g.checkAs(); err != nil {
			f.at(g.path+".as", "%v", err)
			continue
		}
		p.groups = append(p.groups, g)
	}
}

// checkAs checks the name of the group's series, and finds the pattern of all that it can be.
func (g *Group) checkAs() error {
	if g.As() == "" {
		return errors.New("is missing")
	}
	if len(g.as) < 2 {
		return errors.New("must be a device and a metric, such as plant1/_all/temperature")
	}
	last := len(g.as) - 1
	if !slices.ContainsFunc(g.as[:last], reserved) {
		return errors.New("the device must have a segment that begins with _, such as plant1/_all, or a device could have its name")
	}
	for i, s := range g.as[:last] {
		n := plusMark(s)
		for _, pattern := range g.match {
			if n > pattern.count() {
				return fmt.Errorf("%s: %s has only %d +", s, pattern, pattern.count())
			}
		}
		if n > 0 {
			s = "+"
		} else if err := telemetry.CheckMetric(strings.TrimLeft(s, "_")); err != nil || strings.ContainsAny(s, "{}") {
			return fmt.Errorf("segment %d, %q, must be a name, or {1} for what the first + of match stands for", i+1, s)
		}
		g.out = append(g.out, s)
	}
	if err := telemetry.CheckMetric(strings.Replace(g.as[last], metricMark, "m", 1)); err != nil {
		return fmt.Errorf("%q cannot be the name of a metric: %w", g.as[last], err)
	}
	g.out = append(g.out, g.metricPattern())
	if strings.ContainsAny(strings.Replace(g.as[last], metricMark, "m", 1), "{}") {
		return errors.New("the metric may hold {metric} once, and no other braces")
	}
	if len(g.out) > telemetry.MaxPathSegments || len(g.As()) > telemetry.MaxPathBytes {
		return errors.New("is too long for a series")
	}
	return nil
}

// metricPattern is the metric of the group's series, or + when that depends on the member.
func (g *Group) metricPattern() string {
	as := g.as[len(g.as)-1]
	if !strings.Contains(as, metricMark) {
		return as
	}
	metric := ""
	for i := range g.match {
		if g.match[i].segments == nil {
			continue // no pattern, as was told
		}
		last := g.match[i].segments[len(g.match[i].segments)-1]
		if wildcard(last) || metric != "" && metric != last {
			return "+"
		}
		metric = last
	}
	return strings.Replace(as, metricMark, metric, 1)
}
