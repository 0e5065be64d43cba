// Package expr compiles expressions: those of pipelines.yaml, which are filters and rules over one series and
// derived series over the metrics of a device, and the filters of subscriptions over the rows of a view.
//
// The language is a part of expr-lang (https://expr-lang.org): numbers, comparisons, && || !, the ternary
// operator, ??, membership in a list of constants, and the functions of [Functions]. There are no loops, no
// closures, no definitions, and strings are compared only. The library parses; the tree is checked and turned
// into Go closures over numbers here, so that an evaluation neither allocates nor panics and takes a time
// bounded by MaxNodes.
//
// # Unknown values
//
// A number that is not finite is unknown: a variable that has no value yet, a division by zero, the logarithm
// of nothing. An operation on an unknown number is unknown, and so is a comparison with one. && and || know
// what they can: `a || b` is true when either is, whatever is unknown of the other, and their order does not
// matter. `x ?? 0` is 0 when x is unknown, and isnan(x) tells that it is. A program whose result is unknown
// returns [ErrNotFinite]; what that means is up to the caller.
package expr
