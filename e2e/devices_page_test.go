package e2e

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

const devicesPage = "../docs/devices.md"

// quotation is a comment that names a file, and the fenced block behind it.
var quotation = regexp.MustCompile("(?ms)^<!-- e2e/(clients/\\S+) -->\n```[a-z]+\n(.*?)^```$")

func TestDevicesPageQuotesTheClientsThatAreRun(t *testing.T) {
	page, err := os.ReadFile(devicesPage)
	if err != nil {
		t.Fatal(err)
	}
	quoted := make(map[string]bool)
	for _, match := range quotation.FindAllStringSubmatch(string(page), -1) {
		file, text := match[1], match[2]
		quoted[filepath.FromSlash(file)] = true
		want, err := os.ReadFile(file)
		if err != nil {
			t.Errorf("%s quotes a file that cannot be read: %v", devicesPage, err)
			continue
		}
		if text != string(want) {
			t.Errorf("%s: the block of %s differs from the file", devicesPage, file)
		}
	}
	if n := strings.Count(string(page), "<!-- e2e/clients/"); n != len(quoted) {
		t.Errorf("%d files are named, %d quoted", n, len(quoted))
	}
	for _, pattern := range []string{"curl/*.sh", "python/*.py", "node/*.mjs", "browser/*.js", "telegraf/[hw]*.conf", "node-red/*.json"} {
		files, err := filepath.Glob(filepath.Join("clients", filepath.FromSlash(pattern)))
		if err != nil || len(files) == 0 {
			t.Fatalf("no files match %s: %v", pattern, err)
		}
		for _, file := range files {
			if !quoted[file] {
				t.Errorf("%s is run but not in %s", file, devicesPage)
			}
		}
	}
}
