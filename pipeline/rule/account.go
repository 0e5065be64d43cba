package rule

import (
	"encoding/binary"
	"slices"
	"strings"

	"weir/telemetry"
)

// maxSummaryBytes bounds the sentence that an alert keeps of itself; a longer one is cut.
const maxSummaryBytes = maxText

// account is what an alert said when it last told of trouble: when it was raised, began to flap, or went on after
// that. What people do to it repeats the account: whoever reads weir.alerts sees the newest record only, and has to
// see from it why there is an alert, also long after the readings have left the ring, and after a restart.
type account struct {
	evidence
	summary, link string
	samples       []telemetry.Sample
	quality       telemetry.Quality
}

// byPerson reports whether a person made the transition.
func byPerson(reason telemetry.Reason) bool {
	switch reason {
	case telemetry.Acked, telemetry.Unacked, telemetry.Commented, telemetry.Assigned:
		return true
	}
	return false
}

// account is that of the transition: a new one when it tells of trouble, else the one before. An alert whose state an
// earlier version wrote has none; that of now has to do.
func (t *turn) account(phase telemetry.Phase, reason telemetry.Reason) *account {
	a := t.st.alert
	if phase != telemetry.Resolved && (a.account == nil || !byPerson(reason)) {
		samples := t.samples()
		a.account = &account{
			evidence: t.evidence, summary: clip(t.summary(reason), maxSummaryBytes), link: link(t.s.Series, t.time),
			samples: samples, quality: t.w.quality(samples),
		}
	}
	if phase != telemetry.Resolved {
		return a.account
	}
	// How it ended is told with the readings of the end, and why it was there with the words and the link of before.
	end := &account{evidence: t.evidence, summary: t.ending(reason), link: link(t.s.Series, t.time), samples: t.samples()}
	if before := a.account; before != nil {
		end.link, end.summary = before.link, Ended(end.summary, t.s.Series, before.summary)
	}
	end.quality = t.w.quality(end.samples)
	return end
}

// samples are the newest readings; those of before when none is known, as after the state was lost.
func (t *turn) samples() []telemetry.Sample {
	if before := t.st.alert.account; t.w.used == 0 && before != nil {
		return before.samples
	}
	return t.w.samples()
}

// Ended is the summary of an alert's end, which says why there was an alert, too: before is the summary until then.
func Ended(end, series, before string) string {
	before = strings.TrimPrefix(before, series+" ")
	before = strings.TrimPrefix(before, "is ")
	if before == "" {
		return end
	}
	return end + " (before: " + before + ")"
}

// adopted is the account that a record of weir.alerts gives.
func adopted(a *telemetry.Alert) *account {
	x := &account{
		evidence: evidence{a.Value, a.Score, a.Lo, a.Hi, a.Value, a.Limit},
		summary:  clip(a.Summary, maxSummaryBytes), link: clip(a.Link, maxText),
		samples: slices.Clone(a.Samples[max(0, len(a.Samples)-ringSize):]), quality: a.Quality,
	}
	x.quality.Gap = gap(x.samples)
	return x
}

// marshal appends the account: evidence, summary, link, n, late, invalid uvarint, samples as those of a Watch.
func (x *account) marshal(dst []byte) []byte {
	dst = x.evidence.marshal(dst)
	dst = appendString(appendString(dst, x.summary), x.link)
	for _, n := range [...]uint64{x.quality.N, x.quality.Late, x.quality.Invalid, uint64(len(x.samples))} {
		dst = binary.AppendUvarint(dst, n)
	}
	before := int64(0)
	for _, s := range x.samples {
		dst = appendFloat(binary.AppendVarint(dst, s.Time-before), s.Value)
		before = s.Time
	}
	return dst
}

func (r *reader) account() *account {
	x := &account{evidence: r.evidence(), summary: r.text(), link: r.text()}
	x.quality = telemetry.Quality{N: r.uvarint(), Late: r.uvarint(), Invalid: r.uvarint()}
	x.samples = make([]telemetry.Sample, r.atMost(ringSize))
	before := int64(0)
	for i := range x.samples {
		before += r.varint()
		x.samples[i] = telemetry.Sample{Time: before, Value: r.float()}
	}
	x.quality.Gap = gap(x.samples)
	return x
}

func (r *reader) evidence() evidence {
	return evidence{r.float(), r.float(), r.float(), r.float(), r.float(), r.float()}
}
