package plan

import (
	"encoding"
	"math"
	"reflect"
	"strconv"

	"go.yaml.in/yaml/v3"

	"weir/internal/yamlfile"
)

func (d *decoder) duration(n *yaml.Node, v reflect.Value, path, name string) {
	parsed, err := yamlfile.Duration(n.Value)
	switch {
	case n.Kind != yaml.ScalarNode:
		d.faults.unread(path, "must be a single value")
	case err != nil:
		d.faults.unread(path, "%v", err)
	case parsed < 0:
		d.faults.unread(path, "must not be negative, is %s", yamlfile.Printable(n.Value))
	default:
		v.SetInt(int64(parsed))
		d.put(name, false)
	}
}

func (d *decoder) text(n *yaml.Node, v reflect.Value, path, name string) {
	if n.Kind != yaml.ScalarNode {
		d.faults.unread(path, "must be a single value")
		return
	}
	if err := v.Addr().Interface().(encoding.TextUnmarshaler).UnmarshalText([]byte(n.Value)); err != nil {
		d.faults.unread(path, "%v", err)
		return
	}
	d.put(name, false)
}

func (d *decoder) scalar(n *yaml.Node, v reflect.Value, path, name string) {
	if n.Kind != yaml.ScalarNode {
		d.faults.unread(path, "must be a single value")
		return
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString(n.Value)
	case reflect.Bool:
		on := n.Value == "true" || n.Value == "on"
		if !on && n.Value != "false" && n.Value != "off" {
			d.faults.unread(path, "must be true or false, is %.70q", n.Value)
			return
		}
		v.SetBool(on)
	case reflect.Int, reflect.Int64, reflect.Int32, reflect.Uint8, reflect.Uint16, reflect.Uint32:
		parsed, err := strconv.ParseInt(n.Value, 10, 64)
		if err != nil || v.CanUint() && parsed < 0 || v.CanInt() && v.OverflowInt(parsed) || v.CanUint() && v.OverflowUint(uint64(parsed)) {
			d.faults.unread(path, "must be a whole number, is %.70q", n.Value)
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
			d.faults.unread(path, "must be a number, is %.70q", n.Value)
			return
		}
		v.SetFloat(parsed)
	default:
		d.faults.unread(path, "cannot be given")
		return
	}
	d.put(name, false)
}
