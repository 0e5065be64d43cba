package wire

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

// TestGoldenCodesPage keeps docs/protocol/codes.md equal to the tables; -update rewrites it.
func TestGoldenCodesPage(t *testing.T) {
	const path = "../docs/protocol/codes.md"
	want := codesPage()
	if *update {
		if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Errorf("%s differs from the tables in package wire: go test ./wire -run Golden -update", path)
	}
}

func codesPage() string {
	var page strings.Builder
	page.WriteString(`# Codes

Made from the tables in package wire (` + "`go test ./wire -run Golden -update`" + `); ` + "`wire/testdata/golden/codes.json`" + ` has the same for machines.

## Errors

In receipts, ` + "`error`" + ` messages, HTTP bodies ` + "`{\"error\":{\"code\",\"message\",\"path\"?}}`" + ` and dead letters. The scope tells what a code
concerns: a device's whole frame or one of its readings, a record of ` + "`weir.readings`" + ` or of a bridge's topic (only in dead letters), a
live client's message, any request, or any path or pattern. The status is that of an HTTP request which fails as a whole with this code.

| code | scope | status | meaning |
|---|---|---|---|
`)
	for _, c := range Codes() {
		fmt.Fprintf(&page, "| `%s` | %s | %d | %s |\n", c.Code, c.Scope, c.Status, c.Meaning)
	}
	page.WriteString(`
## WebSocket close codes

4000–4099: reconnect and subscribe anew. 4100–4199: get a new token first. 4200–4299: do not come back.

| code | reason | what the client does | meaning |
|---|---|---|---|
`)
	for _, c := range CloseCodes() {
		fmt.Fprintf(&page, "| %d | `%s` | %s | %s |\n", c.Code, c.Reason, c.Action, c.Meaning)
	}
	return page.String()
}
