// Package window tells of the readings of a series in intervals of its own source time: moving averages, and
// windows that are counted, summed or sorted into quantiles. It is pure: no clock, no goroutines; the state
// follows from the readings alone, is saved as bytes, and once restored answers bit for bit as it would have.
//
// # Moving averages
//
// An [Average] is of one of three kinds: simple, exponential or median. The simple one is a [Mean], which keeps
// panes: sums over 1/32 of the window. A sample joins the newest pane or opens the next one, and a pane leaves
// when its start is a window old. So a series slower than the pane width is averaged exactly over (t-window, t],
// and a faster one over an interval between 31/32 of the window and the whole of it, at a cost per series that
// does not grow with its rate.
//
// Nothing is ever subtracted, hence nothing drifts and a huge value leaves no trace once it has left the
// window. The panes form a queue of two stacks:
//
//	 head            back            len
//	  │ front         │ back          │
//	  ▼               ▼               ▼
//	[ S0 S1 S2 … Sk ][ p0 p1 … newest ]     average = (S0 + backSum) / (n0 + backN)
//
// A front pane holds the sum of itself and all front panes after it, so that dropping the oldest is only a
// step of head. When front is empty, back (all but the newest) becomes front, in one pass over panes that
// will each be dropped once: constant time a sample, amortised.
//
// # Windows
//
// A [Spec] declares a window, its compiled form is a [Window], and a [State] is what one series has in it. Its
// panes are [Partial] summaries that begin at multiples of their width, the common divisor of the window's size
// and the distance between windows, so that hopping windows share them:
//
//	           next (earliest end still open)      watermark − grace     watermark
//	                                        ▼              │               ▼
//	time  ──────┬─────┬─────┬─────┬─────┬─────┬─────┬──────┼──┬─────┬──────┼──▶
//	panes       │ p0  │ p1  │     │ p3  │ p4  │ p5  │ p6   │  │ p7  │ p8   │
//	            └─────┴─────┘     └─────┴─────┴─────┴──────┴──┴─────┴──────┘
//	            [ ─────── a window of five panes ── )
//	                  [ ──────── the next one ──────── )
//
// A window closes, and its [Result] is told, when the watermark has passed its end by the grace. Panes before
// the earliest open window are dropped; their memory is used again. There are no panes without readings, and
// no results of windows without readings; a clock that jumps ten years ahead closes the windows that have
// readings and costs nothing for the empty ones between. Since a pane depends on the readings in it and not on
// when they came, readings out of order within the grace lead to the results of sorted ones. Later ones are
// counted as missed, and no window is told of twice.
//
// A sliding window is told of at every reading that is the newest, from 32 panes as above. A session is a pane
// that grows with its readings and joins its neighbours when the gap between them is filled.
//
// Times beyond 36,000 years from 1970 are counted as missed. A clock that runs ahead takes the watermark with
// it: what comes in correct time after that is late. It is for the stage before to refuse such a reading.
//
// # Groups
//
// Partials merge in any order. So the readings of many devices, seen by several processes, are gathered by a
// [Collector] in each of them, sent as partials, and merged by pane in one [Group]: its windows are those of all
// readings of all members.
//
// # Memory
//
// Of one series, in bytes: a Mean 48 and 16 a pane, at most 40 panes; a median 18 a reading, at most 101; a State
// 56 and 96 a pane, at most as many as the window and its grace hold; for quantiles 24 more a pane and 8 a bin
// in use, some dozens for a usual sensor and at most 512.
package window
