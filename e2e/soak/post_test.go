//go:build soak

package soak

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strings"
	"time"

	device "weir/sdk/go"
)

// postSession numbers what a device posts; the SDK draws its own.
const postSession = "post"

// post sends frames over HTTP that the SDK would not: with texts and NaN for values, marked as backlog, cut short.
// One at a time, each until it has a receipt.
func (d *soakDevice) post(ctx context.Context, rng *rand.Rand) error {
	for _, e := range d.pending {
		if err := d.deliver(e); err != nil {
			return err
		}
	}
	for ctx.Err() == nil {
		d.postSeq++
		e := entry{Kind: kindPost, Session: postSession, Seq: d.postSeq, Samples: d.draw(rng)}
		e.First = e.Samples[0].Value
		e.Body = d.compose(rng, &e)
		d.journal.write(e)
		if err := d.deliver(e); err != nil {
			return err
		}
		select {
		case <-time.After(time.Duration(200+rng.IntN(600)) * time.Millisecond):
		case <-ctx.Done():
		}
	}
	return nil
}

// compose writes a frame, and notes what its readings deserve.
func (d *soakDevice) compose(rng *rand.Rand, e *entry) []byte {
	kind := rng.IntN(6)
	spoilt := rng.IntN(len(e.Samples))
	var b bytes.Buffer
	fmt.Fprintf(&b, `{"device":%q,"session":%q,"seq":%d,`, d.Device, e.Session, e.Seq)
	if kind == 2 {
		b.WriteString(`"backlog":true,`)
	}
	b.WriteString(`"readings":[`)
	for i := range e.Samples {
		s := &e.Samples[i]
		value := fmt.Sprint(int64(s.Value))
		switch {
		case i == spoilt && kind == 0:
			value, s.Fate = `"warm"`, bad
		case i == spoilt && kind == 1:
			value, s.Fate = `NaN`, bad
		case kind == 2:
			s.Fate = late
		case kind == 3:
			s.Fate = bad // see below
		}
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `{"metric":%q,"ts":%d,"value":%s}`, s.Metric, s.Time, value)
	}
	if kind == 3 {
		b.WriteString(`],]`) // no JSON: the frame is refused as a whole
	} else {
		b.WriteString(`]}`)
	}
	return b.Bytes()
}

// deliver posts a frame until the answer says what became of it, even if the device is to end.
func (d *soakDevice) deliver(e entry) error {
	for end := time.Now().Add(3 * time.Minute); time.Now().Before(end); {
		address := d.Addresses[rand.IntN(len(d.Addresses))]
		status, body, err := d.request(address, e.Body)
		if err == nil {
			switch status {
			case http.StatusOK, http.StatusBadRequest, http.StatusUnprocessableEntity:
				return d.noteAnswer(&e, body)
			case http.StatusServiceUnavailable, http.StatusTooManyRequests:
			default:
				return fmt.Errorf("post: %d %s", status, body)
			}
		}
		time.Sleep(300 * time.Millisecond)
	}
	return fmt.Errorf("post: frame %d has no receipt in three minutes", e.Seq)
}

func (d *soakDevice) request(address string, frame []byte) (status int, body []byte, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), 9*time.Second)
	defer cancel()
	target := "http://" + address + "/v1/readings?device=" + url.QueryEscape(d.Device)
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, target, bytes.NewReader(frame))
	if err != nil {
		return 0, nil, err
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("X-API-Key", d.Token)
	if strings.Contains(d.Token, ".") {
		request.Header.Del("X-API-Key")
		request.Header.Set("Authorization", "Bearer "+d.Token)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, nil, err
	}
	defer response.Body.Close()
	body, err = io.ReadAll(response.Body)
	return response.StatusCode, body, err
}

// noteAnswer writes down what an answer says.
func (d *soakDevice) noteAnswer(e *entry, body []byte) error {
	var answer struct {
		Accepted, Duplicate, Late int
		Rejected                  []struct {
			Index      int
			Code, Path string
		}
		Error *struct{ Code, Path, Message string }
	}
	if err := json.Unmarshal(body, &answer); err != nil {
		return fmt.Errorf("post: %w in %.200s", err, body)
	}
	r := device.Receipt{
		Session: e.Session, Seq: e.Seq, Readings: len(e.Samples),
		Accepted: answer.Accepted, Duplicate: answer.Duplicate, Late: answer.Late, Rejected: len(answer.Rejected),
	}
	if x := answer.Error; x != nil {
		r.Rejected = len(e.Samples)
		d.journal.write(entry{Kind: kindRejected, Session: e.Session, Seq: e.Seq,
			Rejected: &device.Rejection{Session: e.Session, Seq: e.Seq, Index: -1, Readings: len(e.Samples), Code: x.Code, Path: x.Path}})
	}
	for _, x := range answer.Rejected {
		d.journal.write(entry{Kind: kindRejected, Session: e.Session, Seq: e.Seq,
			Rejected: &device.Rejection{Session: e.Session, Seq: e.Seq, Index: x.Index, Readings: 1, Code: x.Code, Path: x.Path}})
	}
	d.journal.write(entry{Kind: kindReceipt, Session: e.Session, Seq: e.Seq, Receipt: &r})
	return nil
}
