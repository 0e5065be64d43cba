package ingest

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"weir/wire"
)

func (s *site) post(t *testing.T, query, body string, header ...string) (*http.Response, *wire.Receipt) {
	t.Helper()
	req, err := http.NewRequest(http.MethodPost, s.url+"/v1/readings"+query, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	transport := &http.Transport{DisableKeepAlives: true}
	res, err := (&http.Client{Transport: transport, Timeout: patience}).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	r, err := wire.DecodeReceipt(answer)
	if err != nil {
		t.Fatalf("%s: %v", answer, err)
	}
	return res, r
}

func TestAPostIsAnsweredWithItsReceipt(t *testing.T) {
	s := start(t, &logProducer{})
	half := `{"device":"a/b","readings":[{"metric":"m","value":1},{"metric":"m","value":"x"}]}`
	none := `{"device":"a/b","readings":[{"metric":"m","value":"x"}]}`
	cases := []struct {
		name, query, body string
		header            []string
		status            int
		code              string
	}{
		{"one reading", "", oneReading, nil, 200, ""},
		{"device in the query", "?device=a/b", `{"metric":"m","value":1}`, nil, 200, ""},
		{"some accepted", "", half, nil, 200, ""},
		{"none accepted", "", none, nil, 422, ""},
		{"malformed", "", `{"device":`, nil, 400, wire.CodeJSONSyntax},
		{"empty", "", ``, nil, 400, wire.CodeFrameEmpty},
		{"too large", "", strings.Repeat(" ", 2<<20), nil, 413, wire.CodeFrameTooLarge},
		{"too many", "", "[" + strings.Repeat("7,", 5000) + "7]", nil, 413, wire.CodeReadingsTooMany},
		{"foreign page", "", oneReading, []string{"Origin", "https://elsewhere.example"}, 403, wire.CodeOriginRefused},
		{"compressed by something else", "", oneReading, []string{"Content-Encoding", "br"}, 415, wire.CodeMediaType},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			res, r := s.post(t, c.query, c.body, c.header...)
			code := ""
			if r.Err != nil {
				code = r.Err.Code
			}
			if res.StatusCode != c.status || code != c.code {
				t.Errorf("status %d code %q, want %d %q: %+v", res.StatusCode, code, c.status, c.code, r)
			}
			if got := res.Header.Get("Content-Type"); got != "application/json" {
				t.Errorf("content type %q", got)
			}
		})
	}
}

func TestAPostWaitsForKafkaAndSaysWhenItWasNotStored(t *testing.T) {
	p := &logProducer{hold: true}
	s := start(t, p)
	answered := make(chan struct{})
	go func() {
		defer close(answered)
		if res, r := s.post(t, "", oneReading); res.StatusCode != http.StatusOK || r.Accepted != 1 {
			t.Errorf("status %d: %+v", res.StatusCode, r)
		}
	}()
	eventually(t, "produced", func() bool { return p.asked() == 1 })
	select {
	case <-answered:
		t.Fatal("answered before the acknowledgement")
	case <-time.After(50 * time.Millisecond):
	}
	p.release()
	<-answered

	p.set(func(p *logProducer) { p.err = errors.New("broker gone") })
	res, r := s.post(t, "", oneReading)
	if res.StatusCode != http.StatusServiceUnavailable || res.Header.Get("Retry-After") == "" || r.Err == nil || r.Err.Code != wire.CodeNotStored {
		t.Errorf("status %d: %+v", res.StatusCode, r)
	}
}

func TestRequestsBeyondTheLimitAreRefused(t *testing.T) {
	p := &logProducer{hold: true}
	s := start(t, p, func(o *Options) { o.Config.MaxRequests = 1 })
	answered := make(chan struct{})
	go func() { defer close(answered); s.post(t, "", oneReading) }()
	eventually(t, "produced", func() bool { return p.asked() == 1 })
	if res, r := s.post(t, "", oneReading); res.StatusCode != http.StatusServiceUnavailable || r.Err.Code != wire.CodeOverloaded {
		t.Errorf("status %d: %+v", res.StatusCode, r)
	}
	p.release()
	<-answered
}

func TestAfterTheStopRequestsAreRefusedAsDraining(t *testing.T) {
	s := start(t, &logProducer{})
	s.stop()
	if res, r := s.post(t, "", oneReading); res.StatusCode != http.StatusServiceUnavailable || r.Err.Code != wire.CodeDraining {
		t.Errorf("status %d: %+v", res.StatusCode, r)
	}
	res, err := http.Get(s.url + "/v1/ingest")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusUpgradeRequired {
		t.Errorf("GET without an upgrade: status %d", res.StatusCode)
	}
}
