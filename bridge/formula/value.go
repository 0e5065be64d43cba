package formula

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"math/big"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// MaxBuilt bounds, in bytes, the texts that one evaluation builds, and the JSON that Encode writes of a value.
const MaxBuilt = 1 << 20

var errTooLarge = fmt.Errorf("the result is larger than %d bytes", MaxBuilt)

// exact is the largest whole number up to which float64 has every one.
const exact = 1 << 53

// ParseJSON reads one JSON value, and nothing behind it.
func ParseJSON(text []byte) (any, error) {
	if !utf8.Valid(text) {
		return nil, errors.New("is not valid UTF-8")
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return nil, errors.New("is not JSON: " + strings.TrimPrefix(err.Error(), "json: "))
	}
	if d.More() || len(bytes.TrimSpace(text[d.InputOffset():])) > 0 {
		return nil, errors.New("is not JSON: something follows the value")
	}
	return plain(v)
}

// plain turns numbers into float64 where nothing is lost by that which a float64 in the text would have kept.
func plain(v any) (any, error) {
	var err error
	switch v := v.(type) {
	case json.Number:
		f, err := v.Float64()
		if err != nil {
			return nil, fmt.Errorf("%.40s is not a number that can be held", v)
		}
		if math.Abs(f) >= exact && !strings.ContainsAny(string(v), ".eE") {
			return v, nil
		}
		return f, nil
	case []any:
		for i := range v {
			if v[i], err = plain(v[i]); err != nil {
				return nil, err
			}
		}
	case map[string]any:
		for k := range v {
			if v[k], err = plain(v[k]); err != nil {
				return nil, err
			}
		}
	}
	return v, nil
}

// Encode is the JSON of a value, the members of objects in the order of their names.
func Encode(v any) ([]byte, error) { return encode(nil, v) }

func encode(dst []byte, v any) (_ []byte, err error) {
	if len(dst) > MaxBuilt {
		return nil, errTooLarge
	}
	switch v := v.(type) {
	case nil:
		return append(dst, "null"...), nil
	case bool:
		return strconv.AppendBool(dst, v), nil
	case float64:
		return append(dst, numberText(v)...), nil
	case json.Number:
		return append(dst, v...), nil
	case string:
		return encodeText(dst, v)
	case []any:
		dst = append(dst, '[')
		for i := range v {
			if i > 0 {
				dst = append(dst, ',')
			}
			if dst, err = encode(dst, v[i]); err != nil {
				return nil, err
			}
		}
		return append(dst, ']'), nil
	case map[string]any:
		dst = append(dst, '{')
		for i, k := range slices.Sorted(maps.Keys(v)) {
			if i > 0 {
				dst = append(dst, ',')
			}
			if dst, err = encodeText(dst, k); err != nil {
				return nil, err
			}
			if dst, err = encode(append(dst, ':'), v[k]); err != nil {
				return nil, err
			}
		}
		return append(dst, '}'), nil
	}
	return nil, fmt.Errorf("%s has no JSON", kindOf(v))
}

func encodeText(dst []byte, s string) ([]byte, error) {
	if len(dst)+len(s) > MaxBuilt {
		return nil, errTooLarge
	}
	var text bytes.Buffer
	e := json.NewEncoder(&text)
	e.SetEscapeHTML(false) // or texts would grow
	if err := e.Encode(s); err != nil {
		return nil, err
	}
	return append(dst, bytes.TrimRight(text.Bytes(), "\n")...), nil
}

// numberText writes whole numbers without an exponent as far as they are exact.
func numberText(f float64) string {
	if f == math.Trunc(f) && math.Abs(f) < exact {
		return strconv.FormatInt(int64(f), 10)
	}
	return strconv.FormatFloat(f, 'g', -1, 64)
}

// Text is a value as a part of a text: texts, numbers and conditions as they are.
func Text(v any) (string, error) {
	switch v := v.(type) {
	case string:
		return v, nil
	case bool:
		return strconv.FormatBool(v), nil
	case float64:
		return numberText(v), nil
	case json.Number:
		return string(v), nil
	}
	return "", fmt.Errorf("%s is no text", kindOf(v))
}

func kindOf(v any) string {
	switch v.(type) {
	case nil:
		return "null"
	case bool:
		return "a condition"
	case float64, json.Number:
		return "a number"
	case string:
		return "a text"
	case []any:
		return "a list"
	case map[string]any:
		return "an object"
	}
	return fmt.Sprintf("a %T", v)
}

// number is a value as a float64.
func number(v any) (float64, error) {
	switch v := v.(type) {
	case float64:
		return v, nil
	case json.Number:
		return v.Float64()
	}
	return 0, fmt.Errorf("%s is not a number", kindOf(v))
}

func truth(v any) (bool, error) {
	if b, ok := v.(bool); ok {
		return b, nil
	}
	return false, fmt.Errorf("%s is not a condition", kindOf(v))
}

// same reports whether two values are equal. Values of different kinds are not. It takes as long as the smaller of them is large.
func same(a, b any) bool {
	switch a := a.(type) {
	case []any:
		b, ok := b.([]any)
		return ok && slices.EqualFunc(a, b, same)
	case map[string]any:
		b, ok := b.(map[string]any)
		return ok && maps.EqualFunc(a, b, same)
	}
	switch b.(type) {
	case []any, map[string]any:
		return false
	}
	if c, numbers := compare(a, b); numbers {
		return c == 0
	}
	return a == b
}

// compare puts two numbers in order, to the last digit.
func compare(a, b any) (order int, numbers bool) {
	x, ok := a.(float64)
	y, also := b.(float64)
	if ok && also {
		return cmp.Compare(x, y), true
	}
	l, ok := large(a)
	r, also := large(b)
	if !ok || !also {
		return 0, false
	}
	return l.Cmp(r), true
}

// largePrecision in bits is enough for the whole numbers that a float64 can hold.
const largePrecision = 1100

func large(v any) (*big.Float, bool) {
	out := new(big.Float).SetPrec(largePrecision)
	switch v := v.(type) {
	case float64:
		return out.SetFloat64(v), true
	case json.Number:
		return out.SetString(string(v))
	}
	return nil, false
}
