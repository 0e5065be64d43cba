package yamlfile

import (
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode"

	"go.yaml.in/yaml/v3"

	"weir/internal/spelling"
)

// maxPrinted is how many bytes of a key messages show.
const maxPrinted = 64

// IsNull reports whether a setting has no value.
func IsNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.Tag == "!!null" }

// Join is the path of a key of the section at path.
func Join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

// Index is the path of an item of the list at path.
func Index(path string, i int) string { return path + "[" + strconv.Itoa(i) + "]" }

// Printable is a key as messages show it.
func Printable(key string) string {
	if len(key) > maxPrinted || strings.ContainsFunc(key, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return fmt.Sprintf("%.70q", key)
	}
	return key
}

// Unknown says of a key that it is none of those there are, and which of them was probably meant.
func Unknown(key string, known []string) string {
	if near := spelling.Near(key, known); near != "" {
		return "unknown key (" + near + "?)"
	}
	return "unknown key; there are: " + strings.Join(known, ", ")
}

// maxDays keeps days within what a time.Duration holds.
const maxDays = 10_000

// Duration reads a duration as time.ParseDuration does, or whole days of 24 hours, as in 7d. Its error is a Fault's reason.
func Duration(text string) (time.Duration, error) {
	d, err := duration(text)
	if err != nil {
		return 0, fmt.Errorf("must be a duration such as 30s, 5m, 1h or 7d, is %.70q", text)
	}
	return d, nil
}

func duration(text string) (time.Duration, error) {
	days, ok := strings.CutSuffix(text, "d")
	if !ok {
		return time.ParseDuration(text)
	}
	n, err := strconv.ParseInt(days, 10, 32)
	if n > maxDays || n < -maxDays {
		err = strconv.ErrRange
	}
	return time.Duration(n) * 24 * time.Hour, err
}
