// Package backtest tells what a plan would have made of readings: of those that are stored in weir.readings, or of a file.
//
//	weir.readings ─▶ Log ──┐
//	                       ├─▶ Run ─▶ pipeline.Replay ─▶ alerts, updates
//	a CSV file ────▶ CSV ──┘
//
// All readings go through one pipeline.Replay in the order in which they reached Weir, as if there were one partition: so
// groups find their members, wherever these live. What the plan in force then led to (plans, partials, commands on alerts)
// is passed over; ticks are taken as they were stored, and made where none was.
//
// A run holds no lock and writes nowhere. It is bounded by Options: by the number of series, by its context's deadline, and
// by how many alerts it tells of. One that runs beside a live pipeline rests as long as it works.
package backtest
