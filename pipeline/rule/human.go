package rule

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// humanize writes a number with at most four digits and a metric prefix, as 12.3k.
func humanize(f float64) string {
	prefixes := []string{"", "k", "M", "G", "T", "P"}
	i := 0
	for math.Abs(f) >= 1000 && i < len(prefixes)-1 && !math.IsInf(f, 0) {
		f /= 1000
		i++
	}
	return fmt.Sprintf("%.4g%s", f, prefixes[i])
}

// humanizeSeconds writes a duration as a person would say it, as 2m or 1h5m.
func humanizeSeconds(seconds float64) string {
	const century = 100 * 365 * 24 * 3600
	if math.IsNaN(seconds) {
		return "NaN"
	}
	return span(int64(max(-century, min(seconds, century)) * 1e6))
}

// span is humanizeSeconds for microseconds.
func span(us int64) string {
	const most = math.MaxInt64 / int64(time.Microsecond)
	d := time.Duration(max(-most, min(us, most))) * time.Microsecond
	switch {
	case d.Abs() >= 10*time.Second:
		d = d.Round(time.Second)
	case d.Abs() >= time.Second:
		d = d.Round(100 * time.Millisecond)
	default:
		d = d.Round(time.Millisecond)
	}
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = text[:len(text)-2]
	}
	if strings.HasSuffix(text, "h0m") {
		text = text[:len(text)-2]
	}
	return text
}

// number is how values stand in sentences.
func number(f float64) string { return fmt.Sprintf("%.6g", f) }

func number64(n int64) string { return strconv.FormatInt(n, 10) }
