// Package formula computes JSON values from JSON values by bounded expressions: the filters, texts and payloads of
// bridges.
//
// The language is a part of expr-lang (https://expr-lang.org), parsed by it; the tree is checked and turned into Go
// closures here, like package expr does for numbers. There are no loops, no definitions and no regular expressions that
// come with the data, so an evaluation visits at most expr.MaxNodes parts, what it builds is at most MaxBuilt bytes,
// and constant patterns are matched within a number of steps.
//
// Values are nil, bool, float64, string, []any and map[string]any, and json.Number for whole numbers beyond 2^53, which are
// handed on and compared digit by digit. A member that an object does not have is nil; a member of nil is an error, unless it is asked
// for with ?. as in value?.order?.id.
package formula
