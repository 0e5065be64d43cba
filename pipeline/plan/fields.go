package plan

import (
	"maps"
	"reflect"
	"slices"
	"strings"

	"weir/internal/spelling"
	"weir/internal/yamlfile"
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

// unknown says of a key that it is none of those there are, and which was probably meant.
func unknown(key string, fields map[string]field) string {
	return yamlfile.Unknown(key, keysOf(fields))
}

// nearest is the key that was probably meant, or "".
func nearest(key string, fields map[string]field) string { return spelling.Near(key, keysOf(fields)) }

func keysOf(fields map[string]field) []string { return slices.Sorted(maps.Keys(fields)) }
