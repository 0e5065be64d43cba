// Package spelling finds the name that was probably meant.
package spelling

// most is how many edits a name that was meant is away at most: more, and it was another one.
const most = 2

// Near is the one of names that is nearest to word, the first of equally near ones; empty: none is at most two edits away.
func Near(word string, names []string) string {
	best, distance := "", most+1
	for _, name := range names {
		if d := edits(word, name); d < distance {
			best, distance = name, d
		}
	}
	return best
}

// edits is the Levenshtein distance; names too different in length to be near are not compared, however long they are.
func edits(a, b string) int {
	if apart := len(a) - len(b); apart > most || apart < -most {
		return max(apart, -apart)
	}
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
