// Package rx is a thin typed layer over rxgo for streams of batches. It offers the operators that keep
// their promises under load (from a channel, Map, Filter, ForEach) and nothing else: rxgo's time windows,
// buffers, Serialize and GroupByDynamic lose or reorder items or leak goroutines.
//
//	Source ──chan──▶ Map ──chan──▶ Filter ──chan──▶ … ──chan──▶ ForEach ──▶ done
//	(one sender)     each operator is a goroutine of its own
//
// Items are pointers, so that no item is allocated on its way. An item belongs to the operator that holds
// it; handing it on over the channel is what makes an operator's writes visible to the next. State that an
// operator keeps between items belongs to that operator alone.
//
// A panic of an operator's function is recovered for that item only and handed to the stream's handler;
// the item then travels on, so that whoever waits for it at the end is not left waiting. The graph ends by
// closing its source: everything in flight passes the last operator first.
package rx
