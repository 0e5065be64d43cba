package config

import (
	"os"
	"strings"
	"testing"
)

func TestThePageNamesEverySetting(t *testing.T) {
	page, err := os.ReadFile("../docs/configuration.md")
	if err != nil {
		t.Fatal(err)
	}
	known := settings(t)
	for _, path := range known {
		if !strings.Contains(string(page), "\n| `"+path+"` |") {
			t.Errorf("docs/configuration.md has no row for %s", path)
		}
	}
	if rows := strings.Count(string(page), "\n| `"); rows != len(known) {
		t.Errorf("docs/configuration.md has %d rows, there are %d settings", rows, len(known))
	}
}
