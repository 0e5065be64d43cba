package kafka

import "testing"

func TestFilterOfAReaderThatBeginsInTheMiddleKnowsTheFenceBefore(t *testing.T) {
	f := FenceFilter{Min: 7}
	for i, test := range []struct {
		headers []Header
		accept  bool
	}{
		{FenceHeaders(6), false}, // a zombie wrote first
		{FenceHeaders(7), true},
		{nil, true},
		{FenceHeaders(9), true},
		{FenceHeaders(7), false},
	} {
		if got := f.Accept(&Record{Offset: int64(20 + i), Headers: test.headers}); got != test.accept {
			t.Errorf("record %d: accepted %v", i, got)
		}
	}
}
