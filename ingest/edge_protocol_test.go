package ingest

import (
	"bufio"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"weir/wire"
)

// handshake sends a request with some headers, and returns the answer.
func (s *site) handshake(t *testing.T, headers ...string) (*http.Response, *bufio.Reader) {
	t.Helper()
	u, _ := url.Parse(s.url)
	conn, err := net.Dial("tcp", u.Host)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(patience))
	request := "GET /v1/ingest HTTP/1.1\r\nHost: " + u.Host + "\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" +
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n" + strings.Join(append(headers, "", ""), "\r\n")
	if _, err := conn.Write([]byte(request)); err != nil {
		t.Fatal(err)
	}
	br := bufio.NewReader(conn)
	res, err := http.ReadResponse(br, nil)
	if err != nil {
		t.Fatal(err)
	}
	return res, br
}

func TestTheSubprotocolIsTheFirstOfferThatIsSpoken(t *testing.T) {
	s := start(t, nullProducer{})
	for _, c := range []struct{ offer, chosen string }{
		{"weir.v1.json", "weir.v1.json"},
		{"other, weir.v1.influx, weir.v1.json", "weir.v1.influx"},
		{"weir.token.abc, weir.v1.senml+cbor", "weir.v1.senml+cbor"},
		{"weir.token.abc", ""},
		{"", ""},
	} {
		var headers []string
		if c.offer != "" {
			headers = []string{protocolHeader + ": " + c.offer}
		}
		res, _ := s.handshake(t, headers...)
		if got := res.Header.Get(protocolHeader); res.StatusCode != http.StatusSwitchingProtocols || got != c.chosen {
			t.Errorf("%q answered %d with %q, want %q", c.offer, res.StatusCode, got, c.chosen)
		}
	}
	res, br := s.handshake(t, protocolHeader+": weir.token.abc", protocolHeader+": graphql-ws, wamp")
	if got := res.Header.Get(protocolHeader); res.StatusCode != http.StatusSwitchingProtocols || got != "graphql-ws" {
		t.Errorf("%d, %q", res.StatusCode, got)
	}
	closedWith(t, br, wire.CloseUnsupportedProtocol, wire.ReasonUnsupportedProtocol)
	if n := s.count(`weir_ingest_refused_total{reason="subprotocol"}`); n != 1 {
		t.Errorf("counted %d times", n)
	}
}

func TestTheSubprotocolAndTheQueryDeclareTheFormat(t *testing.T) {
	s := start(t, nullProducer{})
	for name, c := range map[string]struct{ query, protocol, frame string }{
		"influx, detected":             {"", "", `press7,device=a/press7 temperature=21.5`},
		"influx, by subprotocol":       {"", "weir.v1.influx", `press7,device=a/press7 temperature=21.5`},
		"influx, by query":             {"?format=influx", "", `press7,device=a/press7 temperature=21.5`},
		"SenML, by query with a plus":  {"?format=senml+json", "", `[{"bn":"a/b/","n":"m","v":1}]`},
		"SenML, by query with a space": {"?format=senml%20json", "", `[{"bn":"a/b/","n":"m","v":1}]`},
	} {
		t.Run(name, func(t *testing.T) {
			var h http.Header
			if c.protocol != "" {
				h = http.Header{protocolHeader: {c.protocol}}
			}
			s.dial(t, c.query, h).accepts(c.frame)
		})
	}
	d := s.dial(t, "?format=influx", nil)
	d.send(oneReading)
	if r := d.receipt(); r.Err == nil {
		t.Errorf("JSON passed for what it is not declared as: %+v", r)
	}
}

func TestARequestDeclaresItsFormatAndUnit(t *testing.T) {
	s := start(t, &logProducer{})
	const line = `press7,device=a/press7 temperature=21.5 1767225600`
	for name, c := range map[string]struct {
		query, kind, body string
		status            int
		code              string
	}{
		"curl's default":          {"", "application/x-www-form-urlencoded", oneReading, 200, ""},
		"plain text":              {"?precision=s", "text/plain; charset=utf-8", line, 200, ""},
		"declared":                {"", "application/json; charset=utf-8", oneReading, 200, ""},
		"not what it is declared": {"", "application/json", line, 400, wire.CodeJSONSyntax},
		"unknown":                 {"", "application/xml", oneReading, 415, wire.CodeFormatUnknown},
		"the query counts":        {"?format=json", "application/xml", oneReading, 200, ""},
		"an unknown format":       {"?format=xml", "", oneReading, 415, wire.CodeFormatUnknown},
		"an unknown unit":         {"?precision=h", "", line, 400, wire.CodeTimeUnit},
		"another name for it":     {"?ts_unit=s", "", line, 200, ""},
		"a unit that is too fine": {"?ts_unit=ns", "", `{"device":"a/b","metric":"m","value":1,"ts":1767225600}`, 200, ""},
	} {
		t.Run(name, func(t *testing.T) {
			res, r := s.post(t, c.query, c.body, "Content-Type", c.kind)
			code := ""
			if r.Err != nil {
				code = r.Err.Code
			}
			if res.StatusCode != c.status || code != c.code {
				t.Errorf("%d %q: %+v", res.StatusCode, code, r)
			}
		})
	}
}

func TestTheUnitOfTimesIsTheDeclaredOne(t *testing.T) {
	p := &logProducer{}
	s := start(t, p)
	for unit, ts := range map[string]string{"s": "1767225600", "ms": "1767225600000", "us": "1767225600000000", "ns": "1767225600000000000"} {
		res, r := s.post(t, "?precision="+unit, `{"device":"a/b","metric":"m","value":1,"ts":`+ts+`}`)
		if res.StatusCode != http.StatusOK {
			t.Fatalf("%s: %+v", unit, r)
		}
	}
	var stored []int64
	for _, topic := range []string{wire.TopicReadings, wire.TopicBacklog} {
		for _, rec := range p.stored(topic) {
			for _, r := range readingsOf(t, rec.Value) {
				stored = append(stored, r.Time)
			}
		}
	}
	for _, at := range stored {
		if at != 1767225600_000000 {
			t.Errorf("stored at %d", at)
		}
	}
	if len(stored) != 4 {
		t.Errorf("%d are stored", len(stored))
	}
}

func TestADryRunChecksEverythingAndStoresNothing(t *testing.T) {
	p := &logProducer{}
	s := start(t, p)
	envelope := `{"device":"a/b","session":"boot","seq":7,"readings":[{"metric":"m","value":1},{"metric":"m","value":"x"}]}`
	res, r := s.post(t, "?dry_run=true", envelope)
	if res.StatusCode != http.StatusOK || !r.DryRun || r.Accepted != 1 || len(r.Rejected) != 1 || r.Seq != 7 {
		t.Errorf("%d %+v", res.StatusCode, r)
	}
	if res, r := s.post(t, "?dry_run=true", `{`); res.StatusCode != http.StatusBadRequest || !r.DryRun || r.Err == nil {
		t.Errorf("%d %+v", res.StatusCode, r)
	}
	if p.asked() != 0 {
		t.Error("something was stored")
	}
	if res, r := s.post(t, "", envelope); r.DryRun || r.Accepted != 1 || r.Duplicate != 0 {
		t.Errorf("the frame itself, afterwards: %d %+v", res.StatusCode, r)
	}
	if n := s.count(`weir_ingest_readings_accepted_total`); n != 1 {
		t.Errorf("%d counted as accepted", n)
	}
	if res, r := s.post(t, "?dry_run=maybe", envelope); res.StatusCode != http.StatusBadRequest || r.Err.Path != "dry_run" {
		t.Errorf("%d %+v", res.StatusCode, r)
	}
}

func TestOtherMethodsAreToldWhichIsAllowed(t *testing.T) {
	s := start(t, nullProducer{})
	for _, c := range []struct {
		method, path string
		status       int
		allow        string
	}{
		{http.MethodGet, "/v1/readings", 405, "POST"},
		{http.MethodPut, "/v1/readings", 405, "POST"},
		{http.MethodPost, "/v1/ingest", 405, "GET, HEAD"},
		{http.MethodDelete, "/v1/ingest", 405, "GET, HEAD"},
		{http.MethodGet, "/v1/ingest", 426, ""},
	} {
		req, err := http.NewRequest(c.method, s.url+c.path, nil)
		if err != nil {
			t.Fatal(err)
		}
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
		if res.StatusCode != c.status || res.Header.Get("Allow") != c.allow || c.status == 426 && res.Header.Get("Upgrade") != "websocket" {
			t.Errorf("%s %s: %d, Allow %q", c.method, c.path, res.StatusCode, res.Header.Get("Allow"))
		}
	}
	http.DefaultClient.CloseIdleConnections()
}
