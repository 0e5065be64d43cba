package plan

import (
	"encoding"
	"reflect"
	"time"

	"go.yaml.in/yaml/v3"

	"weir/internal/yamlfile"
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

var (
	durationType = reflect.TypeFor[time.Duration]()
	keyedType    = reflect.TypeFor[keyed]()
	textType     = reflect.TypeFor[encoding.TextUnmarshaler]()
)

// into decodes n onto v. path is where n stands in the file, name what the setting is called in its entry.
func (d *decoder) into(n *yaml.Node, v reflect.Value, path, name string) {
	d.faults.lines[path] = n.Line
	switch {
	case yamlfile.IsNull(n):
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
	before := d.faults.Count()
	if isWord(n, "on") && v.Type().Elem().Kind() == reflect.Struct {
		d.put(name, false)
	} else {
		d.into(n, target.Elem(), path, name)
	}
	// What cannot be read is told once; a zero in its place would be told again.
	if target.Elem().Kind() == reflect.Struct || d.faults.Count() == before {
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
		d.faults.unread(path, "must be a section of keys and values")
		return
	}
	seen := map[string]bool{}
	var meant []string
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		at := yamlfile.Join(path, yamlfile.Printable(key.Value))
		d.faults.lines[at] = key.Line
		field, ok := fields[key.Value]
		switch {
		case key.Kind != yaml.ScalarNode:
			d.faults.tell(path, "line %d: a key must be a word", key.Line)
		case seen[key.Value]:
			d.faults.tell(at, "is given twice")
		case !ok:
			if d.faults.Full() {
				d.faults.More++
				break
			}
			d.faults.tell(at, "%s", unknown(key.Value, fields))
			if near := nearest(key.Value, fields); near != "" {
				meant = append(meant, near)
			}
		default:
			if field.whole && !yamlfile.IsNull(value) {
				field.value.Set(d.new(field.value.Type()))
				d.put(yamlfile.Join(name, key.Value), true)
			}
			d.into(value, field.value, at, yamlfile.Join(name, key.Value))
			d.faults.lines[at] = key.Line
		}
		seen[key.Value] = true
	}
	for _, key := range meant {
		if !seen[key] {
			d.faults.spoil(yamlfile.Join(path, key), true) // misspelt, not missing
		}
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
			d.faults.unread(yamlfile.Index(path, i), "%s", unknown(item.Value, fields))
			continue
		}
		f.value.SetBool(true)
	}
	d.put(name, true)
}

// isWord reports whether n is the word, without quotes.
func isWord(n *yaml.Node, word string) bool {
	return n.Kind == yaml.ScalarNode && n.Style == 0 && n.Value == word
}
