package config

import (
	"fmt"
	"math"
	"reflect"
	"strconv"
	"strings"
	"time"
)

var durationType = reflect.TypeFor[time.Duration]()

// convert turns the values of a file or of the environment into those of the fields, and refuses what would
// otherwise be taken for something else: a duration without a unit, half a connection.
func convert(from, to reflect.Type, value any) (any, error) {
	if to == durationType {
		return toDuration(from, value)
	}
	if from.Kind() == reflect.String {
		return fromText(to, reflect.ValueOf(value).String())
	}
	if isWhole(to.Kind()) && isFloat(from.Kind()) {
		if f := reflect.ValueOf(value).Float(); f != math.Trunc(f) {
			return nil, fmt.Errorf("%v is not a whole number", value)
		}
	}
	return value, nil
}

func toDuration(from reflect.Type, value any) (any, error) {
	if from == durationType {
		return value, nil
	}
	text, ok := value.(string)
	if !ok {
		return nil, fmt.Errorf("%v has no unit; write a duration such as 10ms, 5s, 2h", value)
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		return nil, fmt.Errorf("%q is not a duration such as 10ms, 5s, 2h", text)
	}
	return d, nil
}

// fromText is for the environment, where everything is text.
func fromText(to reflect.Type, text string) (any, error) {
	var value any
	var err error
	switch kind := to.Kind(); {
	case kind == reflect.Slice && text == "":
		return []string{}, nil
	case kind == reflect.Slice:
		parts := strings.Split(text, ",")
		for i := range parts {
			parts[i] = strings.TrimSpace(parts[i])
		}
		return parts, nil
	case kind == reflect.Bool:
		value, err = strconv.ParseBool(text)
	case isWhole(kind):
		value, err = strconv.ParseInt(text, 10, 64)
	case isFloat(kind):
		value, err = strconv.ParseFloat(text, 64)
	default:
		return text, nil
	}
	if err != nil {
		return nil, fmt.Errorf("%q is not a %s", text, nameOf(to.Kind()))
	}
	return value, nil
}

func nameOf(kind reflect.Kind) string {
	switch {
	case kind == reflect.Bool:
		return "boolean (true, false)"
	case isWhole(kind):
		return "whole number"
	default:
		return "number"
	}
}

func isWhole(k reflect.Kind) bool { return k >= reflect.Int && k <= reflect.Uint64 }
func isFloat(k reflect.Kind) bool { return k == reflect.Float32 || k == reflect.Float64 }
