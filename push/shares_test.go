package push

import (
	"encoding/json"
	"fmt"
	"net/url"
	"testing"
)

func TestAllOfManyConnectionsAreListedPageByPage(t *testing.T) {
	const n = 5000
	s := startServer(t, nil)
	for i := range n {
		p := s.join(t, fmt.Sprintf("session%04d", i))
		t.Cleanup(func() {
			p.end()
			s.conns.remove(p.client)
		})
	}
	var page struct {
		Connections []struct{ Session string }
		Cursor      string
	}
	seen := 0
	for pages := 0; ; pages++ {
		status, body := s.get(t, "/v1/connections?limit=1000&cursor="+url.QueryEscape(page.Cursor))
		page.Cursor, page.Connections = "", nil
		if err := json.Unmarshal(body, &page); status != 200 || err != nil || len(page.Connections) > 1000 {
			t.Fatalf("page %d: %d, %d connections, %v", pages, status, len(page.Connections), err)
		}
		for _, c := range page.Connections {
			if want := fmt.Sprintf("session%04d", seen); c.Session != want {
				t.Fatalf("%s, want %s", c.Session, want)
			}
			seen++
		}
		if page.Cursor == "" {
			break
		}
	}
	if seen != n {
		t.Errorf("%d connections of %d", seen, n)
	}
}
