package plan

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"weir/internal/spelling"
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
	return spelling.Near(key, slices.Sorted(maps.Keys(fields)))
}
