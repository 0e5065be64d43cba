package conformance

import "fmt"

// Verdict is what a check has come to.
type Verdict string

// The verdicts.
const (
	Pass         Verdict = "pass"
	Fail         Verdict = "fail"
	NotExercised Verdict = "not exercised"
)

// check is one thing that a device has to do, with the section of the documents that says so.
type check struct{ id, title, doc string }

// Checks, in the order of the report.
var (
	checkConnect   = check{"connect", "the device connects and sends frames", "docs/protocol/ingest.md"}
	checkSyntax    = check{"syntax", "frames are in a format that is spoken here", "docs/protocol/formats.md"}
	checkFraming   = check{"framing", "WebSocket frames, fragments and compression are well-formed", "docs/protocol/ingest.md#frames"}
	checkSize      = check{"size", "frames hold at most 1 MiB and 4,096 readings", "docs/protocol/ingest.md#frames"}
	checkNames     = check{"names", "each reading has a valid device and metric", "docs/protocol/ingest.md#frames"}
	checkValues    = check{"values", "values are finite numbers or booleans", "docs/protocol/ingest.md#frames"}
	checkNumbers   = check{"numbers", "frames have session and seq, so that resends can be told", "docs/protocol/ingest.md#frames"}
	checkOrder     = check{"order", "seq grows within a session", "docs/protocol/ingest.md#frames"}
	checkReuse     = check{"reuse", "a seq is not used again for other content", "docs/protocol/ingest.md#frames"}
	checkUnits     = check{"units", "times are in the unit that their magnitude says", "docs/protocol/ingest.md#frames"}
	checkSkew      = check{"skew", "the clock is within 2 s", "docs/protocol/ingest.md#frames"}
	checkFuture    = check{"future", "no reading is more than 10 minutes ahead", "docs/protocol/ingest.md#frames"}
	checkCredit    = check{"credit", "no more frames are without a receipt than credit allows", "docs/protocol/ingest.md#receipts"}
	checkRetry     = check{"retry_after", "after retry_after_ms nothing is sent for that long, and then the refused frame", "docs/protocol/ingest.md#receipts"}
	checkResend    = check{"resend", "a frame without a receipt is sent again after the connection was lost", "docs/protocol/ingest.md#receipts"}
	checkRenumber  = check{"renumber", "a frame is sent again under its own session and seq", "docs/protocol/ingest.md#receipts"}
	checkPong      = check{"pong", "pings are answered within 5 s", "docs/protocol/ingest.md"}
	checkReconnect = check{"reconnect", "the device comes back after close codes that say so", "docs/protocol/codes.md#websocket-close-codes"}
	checkBackoff   = check{"backoff", "attempts to connect are spread out by a back-off", "docs/protocol/codes.md#websocket-close-codes"}
	checkReauth    = check{"reauth", "after 4100 the device comes back with a new credential, or not at all", "docs/protocol/codes.md#websocket-close-codes"}
	checkStop      = check{"stop", "the device stays away after a close code that says so", "docs/protocol/codes.md#websocket-close-codes"}
)

var checks = []check{
	checkConnect, checkSyntax, checkFraming, checkSize, checkNames, checkValues, checkNumbers, checkOrder, checkReuse,
	checkUnits, checkSkew, checkFuture, checkCredit, checkRetry, checkResend, checkRenumber, checkPong, checkReconnect,
	checkBackoff, checkReauth, checkStop,
}

// maxEvidence is how many failures of a check are shown; all are counted.
const maxEvidence = 5

// Evidence is where a device was seen to fail.
type Evidence struct {
	// Conn counts connections and requests, Frame the frames of a connection, both from 1; 0: no frame.
	Conn  int    `json:"conn,omitempty"`
	Frame uint64 `json:"frame,omitempty"`
	What  string `json:"what"`
	// Snippet is the beginning of the frame.
	Snippet string `json:"snippet,omitempty"`
}

func (e Evidence) String() string {
	text := e.What
	if e.Frame > 0 {
		text = fmt.Sprintf("connection %d, frame %d: %s", e.Conn, e.Frame, text)
	} else if e.Conn > 0 {
		text = fmt.Sprintf("connection %d: %s", e.Conn, text)
	}
	return text
}

// Result is what a check has come to.
type Result struct {
	Check    string     `json:"check"`
	Title    string     `json:"title"`
	Verdict  Verdict    `json:"verdict"`
	Failures int        `json:"failures,omitempty"`
	Evidence []Evidence `json:"evidence,omitempty"`
	Doc      string     `json:"doc"`
}

// Report is what the checks have come to.
type Report struct {
	Connections int      `json:"connections"`
	Frames      int      `json:"frames"`
	Readings    int      `json:"readings"`
	Results     []Result `json:"results"`
}

// OK reports whether a device was there and no check failed.
func (r *Report) OK() bool {
	for i := range r.Results {
		if r.Results[i].Verdict == Fail {
			return false
		}
	}
	return r.Frames > 0
}

// tally gathers what checks come to.
type tally map[check]*Result

func (t tally) of(c check) *Result {
	r := t[c]
	if r == nil {
		r = &Result{Check: c.id, Title: c.title, Verdict: NotExercised, Doc: c.doc}
		t[c] = r
	}
	return r
}

// pass notes that the check held this time.
func (t tally) pass(c check) {
	if r := t.of(c); r.Verdict == NotExercised {
		r.Verdict = Pass
	}
}

func (t tally) fail(c check, e Evidence) {
	r := t.of(c)
	r.Verdict = Fail
	r.Failures++
	if len(r.Evidence) < maxEvidence {
		r.Evidence = append(r.Evidence, e)
	}
}
