package alerts

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"weir/wire"
)

// told are the silences that each partition was told of, in order.
func (w *world) told() (out [partitions]string) {
	w.stream.mu.Lock()
	defer w.stream.mu.Unlock()
	for p, records := range w.stream.records {
		for _, c := range records {
			if c.Kind == wire.ControlSilence {
				out[p] += fmt.Sprintf("%s %s %d-%d;", c.Silence.ID, c.Silence.Series, c.Silence.From, c.Silence.Until)
			}
		}
	}
	return out
}

func TestASilenceReachesEveryPartitionAndIsListed(t *testing.T) {
	w := open(t)
	from, hour := w.now.UnixMicro(), time.Hour.Microseconds()
	w.want("operator/t1", "POST /v1/silences", `{"id":"s","series":"t1/#","rules":["high"],"severities":["info"],"duration":"1h","comment":"maintenance"}`, 201,
		fmt.Sprintf(`{"id":"s","series":"t1/#","rules":["high"],"severities":["info"],"from":%d,"until":%d,"by":"operator-t1","created":%d,"comment":"maintenance","state":"active","everywhere":true}`, from, from+hour, from))
	want := fmt.Sprintf("s t1/# %d-%d;", from, from+hour)
	if told := w.told(); told != [partitions]string{want, want, want, want} {
		t.Errorf("told %v", told)
	}
	w.want("viewer/t1", "GET /v1/silences", "", 200, `"id":"s"`)
	w.want("viewer/t2", "GET /v1/silences", "", 200, `{"silences":[]}`)

	// The same id changes it: another hour, by somebody else.
	w.now = w.now.Add(30 * time.Minute)
	w.want("operator", "POST /v1/silences", `{"id":"s","series":"t1/d1/#","duration":"1h"}`, 200, `"by":"operator-t1"`)
	w.want("viewer", "GET /v1/silences", "", 200, `"series":"t1/d1/#"`)

	// It ends now, and stays listed for a while.
	w.now = w.now.Add(time.Minute)
	w.want("operator/t2", "DELETE /v1/silences/s", "", 404, wire.CodeSilenceUnknown)
	w.want("operator/t1", "DELETE /v1/silences/s", "", 200, `"state":"over"`)
	told := w.told()
	if end := fmt.Sprintf("-%d;", w.now.UnixMicro()); !strings.HasSuffix(told[0], end) || told[0] != told[3] || strings.Count(told[0], ";") != 3 {
		t.Errorf("told %v", told)
	}
	w.want("operator/t1", "DELETE /v1/silences/s", "", 200, `"state":"over"`)
	if again := w.told(); again != told {
		t.Error("what is over was ended once more")
	}
	w.api.silences.sweep(t.Context(), w.now.Add(keepOver))
	w.want("viewer", "GET /v1/silences", "", 200, `"id":"s"`)
	w.api.silences.sweep(t.Context(), w.now.Add(keepOver+time.Second))
	w.want("viewer", "GET /v1/silences", "", 200, `{"silences":[]}`)
}

func TestASilenceThatDidNotReachEveryPartitionIsShownAndCanBeRepeated(t *testing.T) {
	w := open(t)
	w.stream.failing[2] = true
	text := w.want("operator", "POST /v1/silences", `{"series":"t1/#","duration":"1h"}`, 503, wire.CodeNotStored)
	_, id, _ := strings.Cut(strings.TrimSpace(text), "with the id ")
	id = strings.TrimSuffix(id, `"}}`)
	w.want("viewer", "GET /v1/silences", "", 200, `"everywhere":false`)
	w.want("viewer", "GET /v1/silences", "", 200, `"id":"`+id+`"`)
	w.stream.failing[2] = false
	w.want("operator", "POST /v1/silences", `{"id":"`+id+`","series":"t1/#","duration":"1h"}`, 200, `"everywhere":true`)
	for p, told := range w.told() {
		if !strings.Contains(told, id) {
			t.Errorf("partition %d was told %q", p, told)
		}
	}
	// An end that did not reach all is completed by the next.
	w.stream.failing[2] = true
	w.want("operator", "DELETE /v1/silences/"+id, "", 503, wire.CodeNotStored)
	w.stream.failing[2] = false
	w.now = w.now.Add(time.Minute)
	w.want("operator", "DELETE /v1/silences/"+id, "", 200, `"everywhere":true`)

	w.table.Fail(errors.New("away"))
	before := w.told()
	w.want("operator", "POST /v1/silences", `{"series":"t1/#","duration":"1h"}`, 503, wire.CodeNotStored)
	if w.told() != before {
		t.Error("a silence that is not listed was told")
	}
}

func TestSilencesAreGivenByOperatorsForWhatTheyMayRead(t *testing.T) {
	w := open(t)
	w.want("", "POST /v1/silences", `{"series":"t1/#","duration":"1h"}`, 401, wire.CodeUnauthenticated)
	w.want("viewer", "POST /v1/silences", `{"series":"t1/#","duration":"1h"}`, 403, wire.CodeForbidden)
	w.want("operator/t1", "POST /v1/silences", `{"series":"#","duration":"1h"}`, 403, `"path":"series"`)
	w.want("operator/t1", "POST /v1/silences", `{"id":"s","series":"t1/#","duration":"1h"}`, 201, `"id":"s"`)
	w.want("operator/t2", "POST /v1/silences", `{"id":"s","series":"t2/#","duration":"1h"}`, 403, `"path":"id"`)
	w.want("operator", "DELETE /v1/silences/none", "", 404, wire.CodeSilenceUnknown)
}

func TestBadSilencesAreRefusedWithTheirField(t *testing.T) {
	w := open(t)
	now := w.now.UnixMicro()
	for body, part := range map[string]string{
		``:                            `field_missing","message":"the message lacks a field","path":"series"`,
		`{"series":"a/#/b"}`:          `"path":"series"`,
		`{"series":"a"}`:              `"path":"until"`,
		`{"series":"a","until":5}`:    `"path":"until"`,
		`{"series":"a","duration":5}`: `"path":"duration"`,
		fmt.Sprintf(`{"series":"a","until":%d,"duration":"1h"}`, now+9):  `"path":"duration"`,
		fmt.Sprintf(`{"series":"a","from":%d,"until":%d}`, now+9, now+9): `"path":"until"`,
		fmt.Sprintf(`{"series":"a","until":%d}`, now*2):                  `"path":"until"`,
		`{"series":"a","duration":"-1h"}`:                                `"path":"duration"`,
		`{"series":"a","duration":"1h","rules":[""]}`:                    `"path":"rules"`,
		`{"series":"a","duration":"1h","severities":["bad"]}`:            `"path":"severities"`,
		`{"series":"a","duration":"1h","id":"a/b"}`:                      `"path":"id"`,
		`{"series":"a","duration":"1h","comment":"\u0001"}`:              `"path":"comment"`,
		`{"series":"a","duration":"1h","by":"me"}`:                       `"path":"by"`,
	} {
		w.want("operator", "POST /v1/silences", body, 400, part)
	}
	if told := w.told(); told != [partitions]string{} {
		t.Errorf("told %v", told)
	}
	w.want("operator", "POST /v1/silences", fmt.Sprintf(`{"series":"a","from":%d,"until":%d}`, now+5, now+9), 201, `"state":"waiting"`)
}

func TestTheListOfSilencesIsBounded(t *testing.T) {
	w := open(t)
	for i := range maxSilences {
		w.api.silences.follow(fmt.Sprint(silencePrefix, i), []byte(`{"v":1,"id":"x","series":"a","until":1}`))
	}
	w.want("operator", "POST /v1/silences", `{"id":"new","series":"a","duration":"1h"}`, 429, wire.CodeLimitGlobal)
	w.want("operator", "POST /v1/silences", `{"id":"7","series":"a","duration":"1h"}`, 200, `"id":"7"`)
	w.api.silences.follow(silencePrefix+"7", []byte(`{"v":2}`)) // of a later version: what is known stays
	w.want("operator", "DELETE /v1/silences/7", "", 200, `"id":"7"`)
}
