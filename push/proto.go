package push

import "weir/wire"

// proto is the frame, one text message, as a message in protobuf; others are as they were.
func (f *frame) proto() frame {
	op, payload, _ := unwrap(f.body)
	if op != opText {
		return *f
	}
	return frame{body: message(opBinary, wire.AppendServerJSON(newPayload(len(payload)+8), payload), 0), rows: f.rows}
}

// proto encodes rows as messages in protobuf, preceded by the series that they may name for the first time.
func (r *rows) proto() frame {
	f := frame{rows: r.gathered.len()}
	if s := r.series(); s != nil {
		f.head = message(opBinary, s.AppendProto(newPayload(0)), 0)
	}
	msg := wire.Updates{
		View: int(r.view), Cursor: r.cursor, PushTime: r.pushed, Left: r.gathered.left, Rows: make([]wire.Row, f.rows),
	}
	for i := range msg.Rows {
		msg.Rows[i] = wire.Row{I: int(r.gathered.index[i]), Update: &r.gathered.rows[i]}
	}
	f.body = message(opBinary, msg.AppendProto(newPayload(0), r.columns), 0)
	return f
}
