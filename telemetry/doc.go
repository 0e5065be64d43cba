// Package telemetry is Weir's domain: readings, the series they belong to, and the one kind of value
// everything downstream of a reading is made of, the [Update].
//
// An Update is a mergeable summary of an interval of one series. Merging adjacent Updates is associative,
// so every place that cannot keep up (a flush, a slow subscriber's queue, a chart with fewer pixels than
// samples) merges instead of dropping: no spike vanishes, and the chain of [Update.Since] and
// [Update.Version] lets a consumer prove that it missed nothing.
//
// The package imports the standard library only; formats are in package wire.
package telemetry
