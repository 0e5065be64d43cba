package plan

import (
	"reflect"

	"go.yaml.in/yaml/v3"

	"weir/internal/yamlfile"
)

// keyed is an item of a list in which a later one of the same key takes the place of the earlier.
type keyed interface{ key() string }

// maxItems bounds lists whose items are compared with one another while they are read.
const maxItems = 64

func (d *decoder) list(n *yaml.Node, v reflect.Value, path, name string) {
	if n.Kind != yaml.SequenceNode {
		if v.Type() != reflect.TypeFor[Patterns]() || n.Kind != yaml.ScalarNode {
			d.faults.unread(path, "must be a list")
			return
		}
		n = &yaml.Node{Kind: yaml.SequenceNode, Line: n.Line, Content: []*yaml.Node{n}}
	}
	byKey := v.Type().Elem().Implements(keyedType)
	if byKey && len(n.Content) > maxItems {
		d.faults.unread(path, "there are %d, and may be %d", len(n.Content), maxItems)
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
		at := yamlfile.Index(path, i)
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
			d.faults.tell(at, "there are two %s called %s", name, key)
			d.faults.spoil(at, false)
		}
		seen[key] = true
		d.put(yamlfile.Join(name, key), false)
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
		d.faults.unread(path, "must be a section of keys and values")
		return
	}
	out := reflect.MakeMap(v.Type())
	for _, k := range v.MapKeys() {
		out.SetMapIndex(k, v.MapIndex(k))
	}
	seen := map[string]bool{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		at := yamlfile.Join(path, yamlfile.Printable(key.Value))
		if key.Kind != yaml.ScalarNode || key.Value == "" {
			d.faults.tell(path, "line %d: a key must be a word", key.Line)
			continue
		}
		if seen[key.Value] {
			d.faults.tell(at, "is given twice")
		}
		seen[key.Value] = true
		k := reflect.ValueOf(key.Value)
		if yamlfile.IsNull(value) {
			out.SetMapIndex(k, reflect.Value{})
			d.put(yamlfile.Join(name, key.Value), false)
			continue
		}
		one := d.new(v.Type().Elem())
		d.into(value, one, at, yamlfile.Join(name, key.Value))
		out.SetMapIndex(k, one)
	}
	v.Set(out)
}
