package app

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kfake"
)

// room asks for a room over HTTP.
func (r *running) room(query string) (status int, got payload) {
	r.t.Helper()
	res, err := asking(r.t).Get(r.URL() + "v1/rooms/plant1/ops?" + query)
	must(r.t, err)
	defer res.Body.Close()
	if res.StatusCode == http.StatusOK {
		must(r.t, json.NewDecoder(res.Body).Decode(&got))
	}
	return res.StatusCode, got
}

func TestARoomIsReadOnceItHasComeSoFar(t *testing.T) {
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1))
	must(t, err)
	t.Cleanup(cluster.Close)
	c := memory()
	c.Kafka.Brokers, c.Roles, c.Kafka.ReplicationFactor, c.Partitions = cluster.ListenAddrs(), []string{"push"}, 1, 1
	one, two := start(t, c), start(t, c)
	publish := func(id string) (version int64) {
		t.Helper()
		status, body := one.publish(fmt.Sprintf(`{"target":{"room":"plant1/ops"},"type":"chat","id":%q}`, id))
		if _, err := fmt.Sscanf(body, `{"version":%d}`, &version); err != nil || status != http.StatusOK {
			t.Fatalf("%d %s", status, body)
		}
		return version
	}
	first := publish("m1")
	if status, got := two.room(fmt.Sprintf("min_version=%d", first)); status != http.StatusOK || len(got.Messages) != 1 || got.Version < first {
		t.Fatalf("%d %+v", status, got)
	}
	next := first + 1<<12
	if status, _ := two.room(fmt.Sprintf("min_version=%d&wait=20ms", next)); status != http.StatusGatewayTimeout {
		t.Errorf("a version that has not come: %d", status)
	}
	waiting := make(chan payload)
	go func() {
		defer close(waiting) // also when it fails
		_, got := two.room(fmt.Sprintf("min_version=%d&after=%d", next, first))
		waiting <- got
	}()
	publish("m2")
	if got := <-waiting; len(got.Messages) != 1 || got.Messages[0].ID != "m2" || got.Gap {
		t.Errorf("%+v", got)
	}
	for query, want := range map[string]string{"last=x": "last", "after=-1": "after", "min_version=x": "min_version", "wait=2m": "wait"} {
		if status, _ := one.room(query); status != http.StatusBadRequest {
			t.Errorf("%s: %d, want that %s is refused", query, status, want)
		}
	}
}

// TestWhoWaitsForARoomCountsAsAConnection has a connection take all places there are: who would have to wait is refused, others
// are not.
func TestWhoWaitsForARoomCountsAsAConnection(t *testing.T) {
	c := memory()
	c.Push.MaxConnections = 1
	r := start(t, c)
	r.dialFrom("v1/live", "").next(t)
	if status, _ := r.room(fmt.Sprintf("min_version=%d&wait=20ms", int64(1)<<60)); status != http.StatusTooManyRequests {
		t.Errorf("who has to wait: %d", status)
	}
	if status, _ := r.room("min_version=0"); status != http.StatusOK {
		t.Errorf("who has not: %d", status)
	}
}

func TestWhoCannotSpeakJoinsByTheAddress(t *testing.T) {
	r := start(t, memory())
	r.publish(`{"target":{"room":"plant1/ops"},"type":"chat","id":"m1"}`)
	r.publish(`{"target":{"room":"plant1/ops"},"type":"chat","id":"m2"}`)
	s := r.dialFrom("v1/live?join=plant1/ops&join=a/%2B&join=plant1/b&last=1", "")
	joined := func() payload {
		t.Helper()
		var m heard
		for m.Type != "joined" && m.Type != "error" {
			must(t, json.Unmarshal(s.next(t), &m))
		}
		return m.Payload
	}
	rooms := map[string]payload{}
	for range 3 {
		p := joined()
		rooms[p.Room] = p
	}
	if got := rooms["plant1/ops"].Messages; len(got) != 1 || got[0].ID != "m2" || rooms["plant1/b"].Members == nil {
		t.Errorf("%+v", rooms)
	}
	if bad := rooms["a/+"]; bad.Code != "path_wildcard" || bad.Path != "join[1]" {
		t.Errorf("refused: %+v", bad)
	}

	res, err := asking(t).Get(r.URL() + "v1/events?join=plant1/ops&last=1")
	must(t, err)
	defer res.Body.Close()
	event := func(name string) (p payload) {
		t.Helper()
		for lines := bufio.NewScanner(res.Body); lines.Scan(); {
			if lines.Text() == "event: "+name {
				lines.Scan()
				must(t, json.Unmarshal([]byte(strings.TrimPrefix(lines.Text(), "data: ")), &p))
				return p
			}
		}
		t.Fatalf("no %s", name)
		return p
	}
	if p := event("joined"); len(p.Messages) != 1 || len(p.Members) != 2 {
		t.Errorf("%+v", p)
	}
	r.publish(`{"target":{"room":"plant1/ops"},"type":"chat","id":"m3"}`)
	if p := event("message"); p.ID != "m3" {
		t.Errorf("%+v", p)
	}
	for query, want := range map[string]string{
		"join=a/%2B": "join[0]", "join=a&last=x": "last", "join=a&last=1001": "last", "join=a&join=b&after=1": "after",
		"join=a" + strings.Repeat("&join=a", 16): "join",
	} {
		res, err := asking(t).Get(r.URL() + "v1/events?" + query)
		must(t, err)
		var body struct{ Error struct{ Path string } }
		must(t, json.NewDecoder(res.Body).Decode(&body))
		_ = res.Body.Close()
		if body.Error.Path != want || res.StatusCode == http.StatusOK {
			t.Errorf("%s: %d at %q, want %q", query, res.StatusCode, body.Error.Path, want)
		}
	}
}
