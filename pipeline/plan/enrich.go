package plan

import (
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"weir/internal/yamlfile"
	"weir/telemetry"
)

const (
	defaultLookupTimeout = 2 * time.Second
	maxLookupTimeout     = 30 * time.Second
	defaultLookupCache   = 10 * time.Minute
	minLookupCache       = 10 * time.Second
	maxLookupCache       = 24 * time.Hour
	maxLookups           = 64
	maxURLBytes          = 1024
	maxPrefixBytes       = 32
	devicePlace          = "{device}"
)

// enrichSpec is an entry of enrich.
type enrichSpec struct {
	Match       Patterns      `yaml:"match"` // of devices
	URL         string        `yaml:"url"`
	Prefix      string        `yaml:"prefix"`
	Timeout     time.Duration `yaml:"timeout"`
	Cache       time.Duration `yaml:"cache"`
	HeadersFile string        `yaml:"headers_file"`
}

// Lookup is a question about a device to somebody outside. The answer goes with alerts of the device, and has no
// influence on anything else.
type Lookup struct {
	// Prefix begins the names of the labels that come of the answer.
	Prefix string
	// Timeout is of one attempt, Cache for how long an answer counts as fresh.
	Timeout, Cache time.Duration
	// HeadersFile is a file with headers, "Name: value" a line; empty: there are none.
	HeadersFile string

	match Patterns
	url   string
	path  string
}

// URL is the address to ask about a device.
func (l *Lookup) URL(device string) string {
	path, query, asked := strings.Cut(l.url, "?")
	path = strings.ReplaceAll(path, devicePlace, url.PathEscape(device))
	if asked {
		path += "?" + strings.ReplaceAll(query, devicePlace, url.QueryEscape(device))
	}
	return path
}

// Lookups are the questions about a device, in the order of the file.
func (p *Plan) Lookups(device string) []*Lookup {
	if len(p.lookups) == 0 {
		return nil
	}
	var out []*Lookup
	for _, l := range p.lookups {
		if slices.ContainsFunc(l.match, func(m Pattern) bool { return m.Match(device) }) {
			out = append(out, l)
		}
	}
	return out
}

// namePart is what a label's name may be made of.
var namePart = regexp.MustCompile(`^[A-Za-z0-9_.-]*$`)

func (p *Plan) checkEnrich(spec *file, f *faults) {
	if len(spec.Enrich) > maxLookups {
		f.at("enrich", "there are %d, and may be %d", len(spec.Enrich), maxLookups)
		return
	}
	for i := range spec.Enrich {
		s := &spec.Enrich[i]
		l := &Lookup{
			Prefix: s.Prefix, Timeout: s.Timeout, Cache: s.Cache, HeadersFile: s.HeadersFile,
			match: s.Match, url: s.URL, path: yamlfile.Index("enrich", i),
		}
		checkMatch(l.path, l.match, f)
		l.checkURL(f)
		if len(l.Prefix) > maxPrefixBytes || !namePart.MatchString(l.Prefix) {
			f.at(l.path+".prefix", "must be at most %d letters, digits, \".\", \"-\" and \"_\"", maxPrefixBytes)
		}
		if l.Timeout <= 0 || l.Timeout > maxLookupTimeout {
			f.at(l.path+".timeout", "must be above 0 and at most %s", durationText(maxLookupTimeout))
		}
		if l.Cache < minLookupCache || l.Cache > maxLookupCache {
			f.at(l.path+".cache", "must be between %s and %s", durationText(minLookupCache), durationText(maxLookupCache))
		}
		if len(l.HeadersFile) > maxURLBytes {
			f.at(l.path+".headers_file", "is longer than %d bytes", maxURLBytes)
		}
		p.lookups = append(p.lookups, l)
	}
}

// checkURL keeps devices from deciding who is asked, and secrets out of the plan, which is no secret.
func (l *Lookup) checkURL(f *faults) {
	at := l.path + ".url"
	if l.url == "" {
		f.at(at, "is missing")
		return
	}
	if len(l.url) > maxURLBytes {
		f.at(at, "is longer than %d bytes", maxURLBytes)
		return
	}
	u, err := url.Parse(strings.ReplaceAll(l.url, devicePlace, "device"))
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		f.at(at, "must be an address that begins with http:// or https://")
		return
	}
	if u.User != nil {
		f.at(at, "must hold no credentials; headers_file may")
	}
	if u.Fragment != "" {
		f.at(at, "must have no #")
	}
	authority, _, _ := strings.Cut(strings.SplitN(l.url, "//", 2)[1], "/")
	authority, _, _ = strings.Cut(authority, "?")
	if strings.Contains(authority, devicePlace) {
		f.at(at, "%s must not be part of the host", devicePlace)
	}
	if !strings.Contains(l.url, devicePlace) {
		f.at(at, "must hold %s", devicePlace)
	}
}

// explainLookups names who is asked about a device.
func (p *Plan) explainLookups(x *Explanation, series string) {
	if device, _, ok := telemetry.SplitSeries(series); ok {
		for _, l := range p.Lookups(device) {
			x.Lookups = append(x.Lookups, l.url)
		}
	}
}
