package rule

import (
	"strings"

	"weir/pipeline/detect"
)

// heads are those of the detector, and what each of them finds, as a sentence goes on with it.
var heads = []struct {
	head  detect.Head
	found string
}{
	{detect.HeadNovelty, "unlike anything seen before in value, slope or time of day"},
	{detect.HeadDeviation, "far from its recent mean"},
	{detect.HeadStuck, "stuck at one value, although it usually varies"},
	{detect.HeadFlat, "hardly moving, although it usually varies"},
	{detect.HeadShift, "moved to another level, where it stays"},
}

// finding is what the head found; "" for a name that is none of a head's.
func finding(head string) string {
	for _, h := range heads {
		if h.head.String() == head {
			return h.found
		}
	}
	return ""
}

// headNames lists the heads.
func headNames() string {
	names := make([]string, len(heads))
	for i, h := range heads {
		names[i] = h.head.String()
	}
	return strings.Join(names, ", ")
}
