// Package window averages a series over a sliding interval of its own source time.
//
// A [Mean] keeps panes: sums over 1/32 of the window. A sample joins the newest pane or opens the next
// one, and a pane leaves when its start is a window old. So a series slower than the pane width is
// averaged exactly over (t-window, t], and a faster one over an interval between 31/32 of the window and
// the whole of it, at a cost per series that does not grow with its rate.
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
package window
