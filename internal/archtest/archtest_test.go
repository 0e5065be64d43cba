package archtest

import (
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// rule says which of the module's own packages, and which outside modules, the packages below dir may
// import. A nil outside allows any.
type rule struct {
	dir     string
	own     []string
	outside []string
}

// rules are tried in order; the first whose dir holds the package applies. A package without a rule fails.
var rules = []rule{
	{dir: "telemetry", own: []string{"telemetry"}, outside: []string{}},
	{dir: "wire/weirpb"},
	{dir: "wire", own: []string{"telemetry", "wire"}},
	{dir: "kafka", own: []string{"kafka"}},
	{dir: "expr", own: []string{"expr", "telemetry"}, outside: []string{"github.com/expr-lang/expr"}},
	{dir: "auth", own: []string{"auth", "internal", "kafka", "telemetry", "wire"}},
	{dir: "devices", own: []string{"auth", "devices", "kafka", "telemetry", "wire"}},
	{dir: "commands", own: []string{"auth", "commands", "kafka", "telemetry", "wire"}},
	{dir: "bridge/formula", own: []string{"bridge/formula", "expr", "internal"}, outside: []string{"github.com/expr-lang/expr"}},
	{dir: "bridge", own: []string{"auth", "bridge", "commands", "expr", "internal", "kafka", "rooms", "telemetry", "wire"}},
	{dir: "alerts", own: []string{"alerts", "auth", "kafka", "telemetry", "wire"}},
	{dir: "deadletter", own: []string{"auth", "deadletter", "kafka", "telemetry", "wire"}},
	{dir: "nodes", own: []string{"auth", "kafka", "nodes", "wire"}},
	{dir: "backtest", own: []string{"auth", "backtest", "kafka", "pipeline", "telemetry", "wire"}},
	{dir: "api", own: []string{"api", "wire"}},
	{dir: "sdk/go", own: []string{"sdk", "telemetry", "wire"}},
	{dir: "ingest", own: []string{"auth", "commands", "devices", "ingest", "internal", "kafka", "telemetry", "wire"}},
	{dir: "pipeline/window", own: []string{"pipeline/window", "telemetry"}, outside: []string{"github.com/DataDog/sketches-go"}},
	{dir: "pipeline/detect", own: []string{"pipeline/detect", "telemetry"}, outside: []string{}},
	{dir: "pipeline/plan", own: []string{"expr", "internal", "pipeline/detect", "pipeline/plan", "pipeline/rule", "pipeline/window", "telemetry"}, outside: []string{"go.yaml.in/yaml/v3"}},
	{dir: "pipeline/rx", own: []string{"pipeline/rx"}, outside: []string{"github.com/reactivex/rxgo/v2"}},
	{dir: "pipeline", own: []string{"expr", "pipeline", "telemetry", "wire", "kafka", "internal"}},
	{dir: "push", own: []string{"expr", "push", "telemetry", "wire", "kafka", "auth", "internal"}},
	{dir: "conformance", own: []string{"conformance", "telemetry", "wire"}},
	{dir: "sim", own: []string{"sdk", "sim", "telemetry", "wire"}},
	{dir: "dashboard-ui", own: []string{}, outside: []string{}},
	{dir: "rooms", own: []string{"auth", "internal", "kafka", "rooms", "telemetry", "wire"}},
	{dir: "config", own: []string{"auth", "bridge", "commands", "config", "deadletter", "devices", "ingest", "internal", "kafka", "nodes", "pipeline", "push", "rooms", "wire"}},
	{dir: "bench", own: []string{"auth", "bench", "config", "internal", "kafka", "pipeline", "telemetry", "wire"}},
	{dir: "app", own: []string{"alerts", "api", "app", "auth", "backtest", "bridge", "commands", "config", "dashboard-ui", "deadletter", "devices", "ingest", "internal", "kafka", "nodes", "pipeline", "push", "rooms", "telemetry", "wire"}},
	{dir: "cmd", own: []string{"app", "auth", "backtest", "bench", "bridge", "cmd", "config", "internal", "kafka", "pipeline", "conformance", "pipeline/detect", "pipeline/plan", "sdk", "sim", "telemetry", "wire"}},
	{dir: "e2e", own: []string{"e2e", "telemetry", "wire", "kafka", "internal", "sdk"}},
	{dir: "deploy", own: []string{}},
	{dir: "internal", own: []string{"internal"}},
}

func TestImportsFollowTheLayout(t *testing.T) {
	root := moduleRoot(t)
	packages := 0
	err := filepath.WalkDir(root, func(file string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			if name := entry.Name(); name == "node_modules" || name == "testdata" || strings.HasPrefix(name, ".") && file != root || file == filepath.Join(root, "tools") {
				return fs.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(file, ".go") || strings.HasSuffix(file, "_test.go") {
			return nil
		}
		packages++
		rel, err := filepath.Rel(root, file)
		if err != nil {
			return err
		}
		checkFile(t, file, filepath.ToSlash(rel))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if packages == 0 {
		t.Fatal("no Go file found: the walk is broken")
	}
}

func TestRulesRefuseWhatTheyShould(t *testing.T) {
	for _, c := range []struct {
		dir, imported string
		allowed       bool
	}{
		{"telemetry", "strings", true},
		{"telemetry", "github.com/lxzan/gws", false},
		{"ingest", "weir/kafka", true},
		{"ingest", "weir/pipeline", false},
		{"push", "weir/ingest", false},
		{"pipeline", "weir/pipeline/rx", true},
		{"pipeline", "weir/auth", false},
		{"kafka/embedded", "weir/telemetry", false},
		{"wire", "weir/kafka", false},
		{"nowhere", "strings", false},
	} {
		if reason := refuse(c.dir, c.imported); (reason == "") != c.allowed {
			t.Errorf("%s imports %s: refused with %q, want allowed %v", c.dir, c.imported, reason, c.allowed)
		}
	}
}

func checkFile(t *testing.T, file, rel string) {
	t.Helper()
	parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ImportsOnly)
	if err != nil {
		t.Errorf("%s: %v", rel, err)
		return
	}
	for _, spec := range parsed.Imports {
		imported, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			t.Errorf("%s: %v", rel, err)
			continue
		}
		if reason := refuse(path.Dir(rel), imported); reason != "" {
			t.Errorf("%s imports %s: %s", rel, imported, reason)
		}
	}
}

// refuse returns why a package in dir may not import the package, or "".
func refuse(dir, imported string) string {
	r, ok := ruleFor(dir)
	if !ok {
		return "no rule for " + dir + ": add one to internal/archtest and .golangci.yml"
	}
	if own, inModule := strings.CutPrefix(imported, "weir/"); inModule {
		if r.own == nil || within(own, r.own) {
			return ""
		}
		return r.dir + " may import of the module only " + strings.Join(r.own, ", ")
	}
	standard := !strings.Contains(strings.SplitN(imported, "/", 2)[0], ".")
	if standard || r.outside == nil || within(imported, r.outside) {
		return ""
	}
	return r.dir + " may not import it"
}

func ruleFor(dir string) (rule, bool) {
	for _, r := range rules {
		if within(dir, []string{r.dir}) {
			return r, true
		}
	}
	return rule{}, false
}

func within(name string, dirs []string) bool {
	for _, d := range dirs {
		if name == d || strings.HasPrefix(name, d+"/") {
			return true
		}
	}
	return false
}

func moduleRoot(t *testing.T) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			t.Fatal("no go.mod above the test")
		}
		dir = parent
	}
}
