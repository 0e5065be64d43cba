package detect

import (
	"archive/zip"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// The library's ZoneBounds does not always go forward, so every zone there is has to come to an end, and its days have
// to be those of the library.
func TestEveryZoneCompilesToTheLibrarysTimes(t *testing.T) {
	root, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		t.Fatal(err)
	}
	archive, err := zip.OpenReader(filepath.Join(strings.TrimSpace(string(root)), "lib", "time", "zoneinfo.zip"))
	if err != nil {
		t.Fatal(err)
	}
	defer archive.Close()
	zones := 0
	for _, f := range archive.File {
		if strings.HasSuffix(f.Name, "/") {
			continue
		}
		zone, err := time.LoadLocation(f.Name)
		if err != nil {
			t.Fatal(err)
		}
		c := DefaultConfig()
		c.Zone = f.Name
		p, err := c.Compile()
		if err != nil {
			t.Fatal(err)
		}
		zones++
		var hint uint16
		for at := time.Date(2000, 1, 1, 12, 0, 0, 0, time.UTC); at.Year() < 2050; at = at.AddDate(0, 0, 5) {
			_, offset := at.In(zone).Zone()
			if got := p.local(at.UnixMicro(), &hint) - at.Unix(); got != int64(offset) {
				t.Fatalf("%s at %s: %d s from UTC, want %d", f.Name, at, got, offset)
			}
		}
	}
	if zones < 400 {
		t.Errorf("%d zones only", zones)
	}
}
