package plan

import (
	"encoding"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"go.yaml.in/yaml/v3"
)

// decoder puts YAML onto Go values, strictly: every key must be known, and every value of the right kind. Keys
// that are absent leave what is there, so that several sections can be laid over one another.
//
// "off" empties a section, a list or an optional value, "on" fills one with its defaults. Lists whose items have
// a key (keyed) are laid over one another item by item; other lists are replaced.
type decoder struct {
	faults *faults
	// set, if given, is told the name of every setting that is put, such as windows.1m.size; off is set for one
	// that empties everything below its name.
	set func(name string, off bool)
	// fresh returns what a new value of the type begins with.
	fresh func(reflect.Type) reflect.Value
}

// keyed is an item of a list in which a later one of the same key takes the place of the earlier.
type keyed interface{ key() string }

// maxItems bounds lists whose items are compared with one another while they are read.
const maxItems = 64

var (
	durationType = reflect.TypeFor[time.Duration]()
	keyedType    = reflect.TypeFor[keyed]()
	textType     = reflect.TypeFor[encoding.TextUnmarshaler]()
)

// into decodes n onto v. path is where n stands in the file, name what the setting is called in its entry.
func (d *decoder) into(n *yaml.Node, v reflect.Value, path, name string) {
	d.faults.lines[path] = n.Line
	switch {
	case isNull(n):
		return // a section with nothing in it says nothing
	case isWord(n, "off") && d.empty(v):
		d.put(name, true)
	case v.Type() == durationType:
		d.duration(n, v, path, name)
	case v.CanAddr() && v.Addr().Type().Implements(textType):
		d.text(n, v, path, name)
	default:
		d.byKind(n, v, path, name)
	}
}

func (d *decoder) byKind(n *yaml.Node, v reflect.Value, path, name string) {
	switch v.Kind() {
	case reflect.Pointer:
		d.pointer(n, v, path, name)
	case reflect.Struct:
		d.section(n, v, path, name)
	case reflect.Slice:
		d.list(n, v, path, name)
	case reflect.Map:
		d.table(n, v, path, name)
	default:
		d.scalar(n, v, path, name)
	}
}

func (d *decoder) put(name string, off bool) {
	if d.set != nil {
		d.set(name, off)
	}
}

// empty reports whether "off" means something for v, and if so does it.
func (d *decoder) empty(v reflect.Value) bool {
	switch v.Kind() {
	case reflect.Pointer, reflect.Slice, reflect.Map:
	case reflect.Struct:
		if off := v.FieldByName("Off"); off.IsValid() && off.Kind() == reflect.Bool {
			v.SetZero()
			off.SetBool(true)
			return true
		}
		if v.Type() != reflect.TypeFor[Validate]() {
			return false
		}
	default:
		return false
	}
	v.SetZero()
	return true
}

func (d *decoder) new(t reflect.Type) reflect.Value {
	v := reflect.New(t).Elem()
	if d.fresh != nil {
		if begin := d.fresh(t); begin.IsValid() {
			v.Set(begin)
		}
	}
	return v
}

// pointer decodes into a copy, for others may share what v points to.
func (d *decoder) pointer(n *yaml.Node, v reflect.Value, path, name string) {
	target := reflect.New(v.Type().Elem())
	if v.IsNil() {
		target.Elem().Set(d.new(v.Type().Elem()))
	} else {
		target.Elem().Set(v.Elem())
	}
	before := d.faults.count()
	if isWord(n, "on") && v.Type().Elem().Kind() == reflect.Struct {
		d.put(name, false)
	} else {
		d.into(n, target.Elem(), path, name)
	}
	// What cannot be read is told once; a zero in its place would be told again.
	if target.Elem().Kind() == reflect.Struct || d.faults.count() == before {
		v.Set(target)
	}
}

func (d *decoder) section(n *yaml.Node, v reflect.Value, path, name string) {
	fields := fieldsOf(v)
	if n.Kind == yaml.SequenceNode && switches(fields) {
		d.switchOn(n, fields, path, name)
		return
	}
	if n.Kind != yaml.MappingNode {
		d.faults.at(path, "must be a section of keys and values")
		return
	}
	seen := map[string]bool{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		at := join(path, printable(key.Value))
		d.faults.lines[at] = key.Line
		field, ok := fields[key.Value]
		switch {
		case key.Kind != yaml.ScalarNode:
			d.faults.at(path, "line %d: a key must be a word", key.Line)
		case seen[key.Value]:
			d.faults.at(at, "is given twice")
		case !ok:
			if !d.faults.full() {
				d.faults.at(at, "unknown key%s", hint(key.Value, fields))
				break
			}
			d.faults.more++
		default:
			if field.whole && !isNull(value) {
				field.value.Set(d.new(field.value.Type()))
				d.put(join(name, key.Value), true)
			}
			d.into(value, field.value, at, join(name, key.Value))
			d.faults.lines[at] = key.Line
		}
		seen[key.Value] = true
	}
}

// switches reports whether a section holds nothing but what is on or off.
func switches(fields map[string]field) bool {
	for _, f := range fields {
		if f.value.Kind() != reflect.Bool {
			return false
		}
	}
	return len(fields) > 0
}

// switchOn takes a list of the keys that are on; the others are off.
func (d *decoder) switchOn(n *yaml.Node, fields map[string]field, path, name string) {
	for _, f := range fields {
		f.value.SetBool(false)
	}
	for i, item := range n.Content {
		f, ok := fields[item.Value]
		if !ok {
			d.faults.at(index(path, i), "unknown key%s", hint(item.Value, fields))
			continue
		}
		f.value.SetBool(true)
	}
	d.put(name, true)
}

func (d *decoder) list(n *yaml.Node, v reflect.Value, path, name string) {
	if n.Kind != yaml.SequenceNode {
		if v.Type() != reflect.TypeFor[Patterns]() || n.Kind != yaml.ScalarNode {
			d.faults.at(path, "must be a list")
			return
		}
		n = &yaml.Node{Kind: yaml.SequenceNode, Line: n.Line, Content: []*yaml.Node{n}}
	}
	byKey := v.Type().Elem().Implements(keyedType)
	if byKey && len(n.Content) > maxItems {
		d.faults.at(path, "there are %d, and may be %d", len(n.Content), maxItems)
		return
	}
	out := reflect.MakeSlice(v.Type(), 0, len(n.Content))
	if byKey {
		out = reflect.AppendSlice(out, v)
	}
	seen := map[string]bool{}
	if !byKey || len(n.Content) == 0 {
		d.put(name, len(n.Content) == 0)
	}
	if len(n.Content) == 0 {
		out = reflect.MakeSlice(v.Type(), 0, 0) // an empty list is "off"
	}
	for i, item := range n.Content {
		at := index(path, i)
		one := d.new(v.Type().Elem())
		inner := *d
		inner.set = nil
		inner.into(item, one, at, "")
		if !byKey {
			out = reflect.Append(out, one)
			continue
		}
		key := one.Interface().(keyed).key()
		if key != "" && seen[key] {
			d.faults.at(at, "there are two %s called %s", name, key)
		}
		seen[key] = true
		d.put(join(name, key), false)
		if old := indexKey(out, key); old >= 0 && old < v.Len() {
			out.Index(old).Set(one)
		} else {
			out = reflect.Append(out, one)
		}
	}
	v.Set(out)
}

func indexKey(list reflect.Value, key string) int {
	for i := range list.Len() {
		if list.Index(i).Interface().(keyed).key() == key {
			return i
		}
	}
	return -1
}

// table decodes a map of scalars onto a copy; a key without a value is taken out.
func (d *decoder) table(n *yaml.Node, v reflect.Value, path, name string) {
	if n.Kind != yaml.MappingNode {
		d.faults.at(path, "must be a section of keys and values")
		return
	}
	out := reflect.MakeMap(v.Type())
	for _, k := range v.MapKeys() {
		out.SetMapIndex(k, v.MapIndex(k))
	}
	seen := map[string]bool{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		at := join(path, printable(key.Value))
		if key.Kind != yaml.ScalarNode || key.Value == "" {
			d.faults.at(path, "line %d: a key must be a word", key.Line)
			continue
		}
		if seen[key.Value] {
			d.faults.at(at, "is given twice")
		}
		seen[key.Value] = true
		k := reflect.ValueOf(key.Value)
		if isNull(value) {
			out.SetMapIndex(k, reflect.Value{})
			d.put(join(name, key.Value), false)
			continue
		}
		one := d.new(v.Type().Elem())
		d.into(value, one, at, join(name, key.Value))
		out.SetMapIndex(k, one)
	}
	v.Set(out)
}

func (d *decoder) duration(n *yaml.Node, v reflect.Value, path, name string) {
	parsed, err := parseDuration(n.Value)
	switch {
	case n.Kind != yaml.ScalarNode || err != nil:
		d.faults.at(path, "must be a duration such as 30s, 5m or 1h")
	case parsed < 0:
		d.faults.at(path, "must not be negative, is %s", printable(n.Value))
	default:
		v.SetInt(int64(parsed))
		d.put(name, false)
	}
}

// parseDuration also knows days, of 24 hours.
func parseDuration(text string) (time.Duration, error) {
	if days, ok := strings.CutSuffix(text, "d"); ok {
		n, err := strconv.ParseInt(days, 10, 32)
		if err != nil || n > 10_000 || n < -10_000 {
			return 0, fmt.Errorf("%q is not a duration", text)
		}
		return time.Duration(n) * 24 * time.Hour, nil
	}
	return time.ParseDuration(text)
}

func (d *decoder) text(n *yaml.Node, v reflect.Value, path, name string) {
	if n.Kind != yaml.ScalarNode {
		d.faults.at(path, "must be a single value")
		return
	}
	if err := v.Addr().Interface().(encoding.TextUnmarshaler).UnmarshalText([]byte(n.Value)); err != nil {
		d.faults.at(path, "%v", err)
		return
	}
	d.put(name, false)
}

func (d *decoder) scalar(n *yaml.Node, v reflect.Value, path, name string) {
	if n.Kind != yaml.ScalarNode {
		d.faults.at(path, "must be a single value")
		return
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString(n.Value)
	case reflect.Bool:
		on := n.Value == "true" || n.Value == "on"
		if !on && n.Value != "false" && n.Value != "off" {
			d.faults.at(path, "must be true or false, is %.70q", n.Value)
			return
		}
		v.SetBool(on)
	case reflect.Int, reflect.Int64, reflect.Int32, reflect.Uint8, reflect.Uint16, reflect.Uint32:
		parsed, err := strconv.ParseInt(n.Value, 10, 64)
		if err != nil || v.CanUint() && parsed < 0 || v.CanInt() && v.OverflowInt(parsed) || v.CanUint() && v.OverflowUint(uint64(parsed)) {
			d.faults.at(path, "must be a whole number, is %.70q", n.Value)
			return
		}
		if v.CanUint() {
			v.SetUint(uint64(parsed))
		} else {
			v.SetInt(parsed)
		}
	case reflect.Float64:
		parsed, err := strconv.ParseFloat(n.Value, 64)
		if err != nil || math.IsNaN(parsed) || math.IsInf(parsed, 0) {
			d.faults.at(path, "must be a number, is %.70q", n.Value)
			return
		}
		v.SetFloat(parsed)
	default:
		d.faults.at(path, "cannot be given")
		return
	}
	d.put(name, false)
}

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

func isNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.Tag == "!!null" }

// isWord reports whether n is the word, without quotes.
func isWord(n *yaml.Node, word string) bool {
	return n.Kind == yaml.ScalarNode && n.Style == 0 && n.Value == word
}

// hint names the key that was probably meant, or all there are when they are few.
func hint(key string, fields map[string]field) string {
	known := make([]string, 0, len(fields))
	for k := range fields {
		known = append(known, k)
	}
	slices.Sort(known)
	best, distance := "", 3
	for _, k := range known {
		if e := edits(key, k); e < distance {
			best, distance = k, e
		}
	}
	if best != "" {
		return " (" + best + "?)"
	}
	return "; there are: " + strings.Join(known, ", ")
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
