package wire

import (
	"encoding/json"
	"fmt"
	"strconv"
)

// Rejection is a reading that was not accepted, while others of its frame may have been.
type Rejection struct {
	// Index is the reading's position in the frame.
	Index int `json:"index"`
	// Code says why, Path where: "readings[4].value" in an envelope, "[4].value" in an array, "value" for a
	// single reading.
	Code    string `json:"code"`
	Path    string `json:"path"`
	Message string `json:"message,omitempty"`
}

// Receipt answers a frame. It is sent only when Kafka has acknowledged all that is counted as accepted.
// Duplicate and Late are what this instance knows; both are stored, so neither asks for a resend.
type Receipt struct {
	// Frame counts the frames of a connection from 1; 0 over HTTP, where it is left out.
	Frame uint64
	// Seq is the frame's own; sent only if HasSeq.
	Seq    uint64
	HasSeq bool

	Accepted, Duplicate, Late int
	Rejected                  []Rejection
	// Credit is how many frames may be without a receipt, RetryAfter (milliseconds) how long to wait
	// before the next.
	Credit     int
	RetryAfter int64
	// DryRun: the frame was checked only; nothing is stored, whatever is counted as accepted.
	DryRun bool
	// Err concerns the whole frame: none of it is stored.
	Err *Error
}

// Append appends the receipt as a message, {"type":"receipt","payload":{…}}.
func (r *Receipt) Append(dst []byte) []byte {
	dst = append(dst, `{"type":"receipt","payload":`...)
	dst = r.AppendPayload(dst)
	return append(dst, '}')
}

// AppendPayload appends the payload alone: the body of an HTTP answer.
func (r *Receipt) AppendPayload(dst []byte) []byte {
	dst = append(dst, '{')
	if r.Frame > 0 {
		dst = append(dst, `"frame":`...)
		dst = strconv.AppendUint(dst, r.Frame, 10)
		dst = append(dst, ',')
	}
	if r.HasSeq {
		dst = append(dst, `"seq":`...)
		dst = strconv.AppendUint(dst, r.Seq, 10)
		dst = append(dst, ',')
	}
	dst = append(dst, `"accepted":`...)
	dst = strconv.AppendInt(dst, int64(r.Accepted), 10)
	dst = append(dst, `,"duplicate":`...)
	dst = strconv.AppendInt(dst, int64(r.Duplicate), 10)
	dst = append(dst, `,"late":`...)
	dst = strconv.AppendInt(dst, int64(r.Late), 10)
	dst = append(dst, `,"rejected":[`...)
	for i := range r.Rejected {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = r.Rejected[i].append(dst)
	}
	dst = append(dst, `],"credit":`...)
	dst = strconv.AppendInt(dst, int64(r.Credit), 10)
	dst = append(dst, `,"retry_after_ms":`...)
	dst = strconv.AppendInt(dst, r.RetryAfter, 10)
	if r.DryRun {
		dst = append(dst, `,"dry_run":true`...)
	}
	if r.Err != nil {
		dst = append(dst, `,"error":`...)
		dst = r.Err.append(dst)
	}
	return append(dst, '}')
}

func (r *Rejection) append(dst []byte) []byte {
	dst = append(dst, `{"index":`...)
	dst = strconv.AppendInt(dst, int64(r.Index), 10)
	dst = append(dst, `,"code":`...)
	dst = appendString(dst, r.Code)
	dst = append(dst, `,"path":`...)
	dst = appendString(dst, r.Path)
	if r.Message != "" {
		dst = append(dst, `,"message":`...)
		dst = appendString(dst, r.Message)
	}
	return append(dst, '}')
}

type receiptPayload struct {
	Frame      uint64      `json:"frame"`
	Seq        *uint64     `json:"seq"`
	Accepted   int         `json:"accepted"`
	Duplicate  int         `json:"duplicate"`
	Late       int         `json:"late"`
	Rejected   []Rejection `json:"rejected"`
	Credit     int         `json:"credit"`
	RetryAfter int64       `json:"retry_after_ms"`
	DryRun     bool        `json:"dry_run"`
	Err        *Error      `json:"error"`
}

// DecodeReceipt reads a receipt message or, as over HTTP, its payload alone. It is for clients.
func DecodeReceipt(b []byte) (*Receipt, error) {
	var envelope struct {
		Type    *string         `json:"type"`
		Payload json.RawMessage `json:"payload"`
	}
	if err := json.Unmarshal(b, &envelope); err != nil {
		return nil, fmt.Errorf("decode receipt: %w", err)
	}
	if envelope.Type != nil {
		if *envelope.Type != "receipt" {
			return nil, fmt.Errorf("decode receipt: message of type %q", *envelope.Type)
		}
		b = envelope.Payload
	}
	var p receiptPayload
	if err := json.Unmarshal(b, &p); err != nil {
		return nil, fmt.Errorf("decode receipt: %w", err)
	}
	r := &Receipt{
		Frame: p.Frame, Accepted: p.Accepted, Duplicate: p.Duplicate, Late: p.Late, Rejected: p.Rejected,
		Credit: p.Credit, RetryAfter: p.RetryAfter, DryRun: p.DryRun, Err: p.Err,
	}
	if p.Seq != nil {
		r.Seq, r.HasSeq = *p.Seq, true
	}
	return r, nil
}
