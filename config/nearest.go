package config

import "strings"

// nearest is the known key that was probably meant: the same name in another section, or a name at most two
// edits away. Empty: none is near.
func nearest(key string, known []string) string {
	best, distance := "", 3
	name := key[strings.LastIndex(key, delimiter)+1:]
	for _, k := range known {
		if strings.HasSuffix(k, delimiter+name) {
			return k
		}
		if d := edits(key, k); d < distance {
			best, distance = k, d
		}
	}
	return best
}

// edits is the Levenshtein distance.
func edits(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			substitute := diagonal
			if a[i] != b[j] {
				substitute++
			}
			diagonal = row[j+1]
			row[j+1] = min(substitute, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
