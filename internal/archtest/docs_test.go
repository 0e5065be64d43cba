package archtest

import (
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode"
)

var (
	fenced   = regexp.MustCompile("(?ms)^```.*?^```")
	link     = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	heading  = regexp.MustCompile(`(?m)^#+ +(.+)$`)
	scheme   = regexp.MustCompile(`^[a-z]+:`)
	document = regexp.MustCompile(`docs/[\w/-]+\.md(#[\w-]+)?`)
	makes    = regexp.MustCompile("make ([a-z][a-z-]+)")
	metric   = regexp.MustCompile(`weir_[a-z0-9_]+[a-z0-9]`)
	target   = regexp.MustCompile(`(?m)^([a-z][a-z-]*):`)
)

func TestEveryLinkOfADocumentLeadsSomewhere(t *testing.T) {
	root := moduleRoot(t)
	links := 0
	for _, page := range filesOf(t, root, ".md") {
		text := fenced.ReplaceAllString(read(t, root, page), "")
		for _, m := range link.FindAllStringSubmatch(text, -1) {
			if to := m[1]; !scheme.MatchString(to) {
				links++
				checkTarget(t, root, page, path.Dir(page), to)
			}
		}
	}
	if links < 100 {
		t.Fatalf("%d links found: the walk is broken", links)
	}
}

func TestEveryDocumentNamedInTheSourcesIsThere(t *testing.T) {
	root := moduleRoot(t)
	named := 0
	for _, file := range filesOf(t, root, ".go", ".ts", ".tsx", ".yaml", ".sh", ".py", ".proto", "Makefile") {
		if strings.HasPrefix(file, "internal/archtest/") {
			continue
		}
		for _, to := range document.FindAllString(read(t, root, file), -1) {
			named++
			checkTarget(t, root, file, ".", to)
		}
	}
	if named < 20 {
		t.Fatalf("%d documents named: the walk is broken", named)
	}
}

func TestEveryMakeTargetNamedInADocumentExists(t *testing.T) {
	root := moduleRoot(t)
	var targets []string
	for _, m := range target.FindAllStringSubmatch(read(t, root, "Makefile"), -1) {
		targets = append(targets, m[1])
	}
	for _, page := range filesOf(t, root, ".md") {
		for _, m := range regexp.MustCompile("`[^`\n]*`").FindAllString(read(t, root, page), -1) {
			for _, named := range makes.FindAllStringSubmatch(m, -1) {
				if !slices.Contains(targets, named[1]) {
					t.Errorf("%s names %s: the Makefile has no such target", page, m)
				}
			}
		}
	}
}

func TestEveryMetricNamedInADocumentIsCounted(t *testing.T) {
	root := moduleRoot(t)
	var sources strings.Builder
	for _, file := range filesOf(t, root, ".go") {
		if !strings.HasSuffix(file, "_test.go") {
			sources.WriteString(read(t, root, file))
		}
	}
	text := sources.String()
	counted := func(name string) bool {
		return slices.ContainsFunc(spellings(name), func(part string) bool {
			return strings.Contains(text, `"`+part) || strings.Contains(text, "`"+part)
		})
	}
	named := 0
	for _, page := range filesOf(t, root, ".md", ".yml") {
		for _, name := range metric.FindAllString(read(t, root, page), -1) {
			named++
			if !counted(name) {
				t.Errorf("%s names %s, which nothing counts", page, name)
			}
		}
	}
	if named < 50 {
		t.Fatalf("%d metrics named: the walk is broken", named)
	}
}

// spellings are how a metric may stand in the sources: whole, without weir_ and the part that it belongs to, or with one
// word put in.
func spellings(name string) []string {
	words := strings.Split(name, "_")
	all := []string{name}
	for cut := 1; cut <= 2 && cut < len(words); cut++ {
		all = append(all, strings.Join(words[cut:], "_"), "_"+strings.Join(words[cut:], "_"))
	}
	for i := range words {
		with := slices.Clone(words)
		with[i] = "%s"
		all = append(all, strings.Join(with, "_"))
	}
	return all
}

func TestTheArchitectureNamesEveryPackage(t *testing.T) {
	root := moduleRoot(t)
	page := read(t, root, "docs/ARCHITECTURE.md")
	seen := map[string]bool{}
	for _, file := range filesOf(t, root, ".go") {
		dir := path.Dir(file)
		if top, _, nested := strings.Cut(dir, "/"); nested && !slices.Contains([]string{"internal", "kafka", "pipeline"}, top) {
			dir = top
		}
		if strings.HasSuffix(file, "_test.go") || seen[dir] {
			continue
		}
		seen[dir] = true
		if !strings.Contains(page, "`"+dir+"/") && !strings.Contains(page, "`"+path.Base(dir)+"/`") {
			t.Errorf("docs/ARCHITECTURE.md does not name %s/", dir)
		}
	}
}

func TestTheIndexOfDecisionsIsWhole(t *testing.T) {
	root := moduleRoot(t)
	index := read(t, root, "docs/adr/README.md")
	for _, page := range filesOf(t, root, ".md") {
		if dir, name := path.Split(page); dir == "docs/adr/" && name != "README.md" && !strings.Contains(index, "]("+name+")") {
			t.Errorf("docs/adr/README.md does not list %s", name)
		}
	}
}

// checkTarget follows a link that stands in page, from the folder dir.
func checkTarget(t *testing.T, root, page, dir, to string) {
	t.Helper()
	file, anchor, _ := strings.Cut(to, "#")
	at := page
	if file != "" {
		at = path.Join(dir, file)
	}
	if _, err := os.Stat(filepath.Join(root, filepath.FromSlash(at))); err != nil {
		t.Errorf("%s: %s: there is no %s", page, to, at)
		return
	}
	if anchor != "" && strings.HasSuffix(at, ".md") && !slices.Contains(anchors(read(t, root, at)), anchor) {
		t.Errorf("%s: %s: %s has no such heading", page, to, at)
	}
}

// anchors are those of a page's headings, as GitHub makes them.
func anchors(page string) (all []string) {
	for _, m := range heading.FindAllStringSubmatch(fenced.ReplaceAllString(page, ""), -1) {
		name := strings.Map(func(r rune) rune {
			switch {
			case r == ' ':
				return '-'
			case r == '-' || r == '_' || unicode.IsLetter(r) || unicode.IsDigit(r):
				return unicode.ToLower(r)
			}
			return -1
		}, link.ReplaceAllString(strings.TrimSpace(m[1]), "]"))
		unique := name
		for n := 1; slices.Contains(all, unique); n++ {
			unique = name + "-" + strconv.Itoa(n)
		}
		all = append(all, unique)
	}
	return all
}

// filesOf are the tree's own files with one of these endings, by their paths below root.
func filesOf(t *testing.T, root string, endings ...string) (files []string) {
	t.Helper()
	err := filepath.WalkDir(root, func(file string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := entry.Name()
		if entry.IsDir() {
			if slices.Contains([]string{"node_modules", "testdata", "test-results", "dist", "data", "tools"}, name) || strings.HasPrefix(name, ".") && file != root {
				return fs.SkipDir
			}
			return nil
		}
		if slices.ContainsFunc(endings, func(ending string) bool { return strings.HasSuffix(name, ending) }) {
			rel, err := filepath.Rel(root, file)
			if err != nil {
				return err
			}
			files = append(files, filepath.ToSlash(rel))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func read(t *testing.T, root, file string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(file)))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
