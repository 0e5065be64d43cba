package push

import (
	"bytes"
	"encoding/binary"
	"strconv"

	"weir/wire"
)

// typeClose is the event that says why a stream ends, as a WebSocket's close frame does: {"code","reason"}.
const typeClose = "close"

// heartbeat is a comment: it shows proxies and the client that the stream is alive.
var heartbeat = []byte(":\n\n")

// events is the frame, made of text and control messages, as server-sent events. The last of them, which is the one
// that a cursor belongs to, has the cursor as its id, unless that is empty.
func (f *frame) events(cursor string) frame {
	out := frame{rows: f.rows}
	if len(f.head) > 0 {
		out.head = appendMessageEvent(nil, f.head, "")
	}
	out.body = appendMessageEvent(nil, f.body, cursor)
	return out
}

// appendMessageEvent appends a WebSocket message as an event.
func appendMessageEvent(dst, message []byte, id string) []byte {
	op, payload, _ := unwrap(message)
	switch op {
	case opText:
		kind, payload := wire.SplitMessage(payload)
		return appendEvent(dst, id, kind, payload)
	case opPing:
		return append(dst, heartbeat...)
	case opClose:
		b := append(make([]byte, 0, 64), `{"code":`...)
		b = strconv.AppendUint(b, uint64(binary.BigEndian.Uint16(payload)), 10)
		b = append(append(b, `,"reason":"`...), payload[2:]...) // a word of the table
		return appendEvent(dst, "", typeClose, append(b, `"}`...))
	}
	return dst
}

func appendEvent(dst []byte, id, kind string, data []byte) []byte {
	if dst == nil {
		dst = make([]byte, 0, len(id)+len(kind)+len(data)+len("id: \nevent: \ndata: \n\n"))
	}
	dst = appendEventHead(dst, id, kind)
	from := len(dst)
	dst = append(dst, data...)
	// JSON has line ends between values only. Those of a client's payload that is passed on would end the event.
	for _, end := range []byte("\r\n") {
		for line := dst[from:]; ; {
			at := bytes.IndexByte(line, end)
			if at < 0 {
				break
			}
			line[at] = ' '
			line = line[at+1:]
		}
	}
	return append(dst, "\n\n"...)
}

// appendEventHead begins an event; its data and an empty line follow.
func appendEventHead(dst []byte, id, kind string) []byte {
	if id != "" {
		dst = append(append(append(dst, "id: "...), id...), '\n')
	}
	dst = append(append(dst, "event: "...), kind...)
	return append(dst, "\ndata: "...)
}
