package plan

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

// field is what a key of a section fills. whole: nothing of what stood there before stays.
type field struct {
	value reflect.Value
	whole bool
}

// fieldsOf are the fields of a struct by their keys, those of inlined structs among them.
func fieldsOf(v reflect.Value) map[string]field {
	fields := map[string]field{}
	for i := range v.NumField() {
		info := v.Type().Field(i)
		key, options, _ := strings.Cut(info.Tag.Get("yaml"), ",")
		switch {
		case !info.IsExported() || key == "-":
		case strings.Contains(options, "inline"):
			for k, f := range fieldsOf(v.Field(i)) {
				if !slices.Contains(hidden(info.Tag), k) {
					fields[k] = f
				}
			}
		case key != "":
			fields[key] = field{v.Field(i), info.Tag.Get("plan") == "whole"}
		}
	}
	return fields
}

// hidden are the keys of an inlined struct that a file does not have: plan:"without a b".
func hidden(tag reflect.StructTag) []string {
	keys, _ := strings.CutPrefix(tag.Get("plan"), "without ")
	return strings.Fields(keys)
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

// printable is a key as messages show it.
func printable(key string) string {
	if len(key) > maxNameBytes || strings.ContainsFunc(key, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return fmt.Sprintf("%.70q", key)
	}
	return key
}

func index(path string, i int) string { return path + "[" + strconv.Itoa(i) + "]" }

// hint names the key that was probably meant, or all that there are.
func hint(key string, fields map[string]field) string {
	if near := nearest(key, fields); near != "" {
		return " (" + near + "?)"
	}
	return "; there are: " + strings.Join(slices.Sorted(maps.Keys(fields)), ", ")
}

// nearest is the key that was probably meant, or "".
func nearest(key string, fields map[string]field) string {
	best, distance := "", 3
	for _, k := range slices.Sorted(maps.Keys(fields)) {
		if e := edits(key, k); e < distance {
			best, distance = k, e
		}
	}
	return best
}

// edits is the Levenshtein distance; keys that no name is near are not compared.
func edits(a, b string) int {
	if len(a) > len(b)+2 {
		return len(a)
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
