package ingest

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/lxzan/gws"
	"pgregory.net/rapid"

	"weir/internal/wsframe"
)

// What the library makes of a client's frames, legal or not, is what is made of them here.
func TestFramesMeanWhatTheyMeanToTheLibrary(t *testing.T) {
	const limit = 1000
	rapid.Check(t, func(t *rapid.T) {
		var stream []byte
		for range rapid.IntRange(1, 8).Draw(t, "frames") {
			stream = append(stream, drawFrame(t, limit)...)
		}
		var got taken
		var f framing
		var a wsframe.Assembly
		ended := false
		for rest := slices.Clone(stream); len(rest) > 0 && !ended; {
			n, _ := f.advance(rest[:min(len(rest), rapid.SampledFrom([]int{1, 9, 1 << 20}).Draw(t, "piece"))], limit)
			ended = !a.Feed(rest[:n], limit, &got) || f.broken != lawful
			rest = rest[n:]
		}
		messages, pings, closed := byLibrary(t, stream, limit)
		if !slices.EqualFunc(got.messages, messages, bytes.Equal) {
			t.Fatalf("messages %q, to the library %q", got.messages, messages)
		}
		if !slices.Equal(got.pings, pings) {
			t.Fatalf("control frames %q, to the library %q", got.pings, pings)
		}
		if ended != closed {
			t.Fatalf("the connection ends: %v, by the library %v", ended, closed)
		}
	})
}

// drawFrame is mostly one that a client may send.
func drawFrame(t *rapid.T, limit int) []byte {
	opcode := rapid.SampledFrom([]byte{wsframe.OpText, wsframe.OpBinary, wsframe.OpContinuation, wsframe.OpPing, wsframe.OpText, 0x3, 0xb}).Draw(t, "opcode")
	if rapid.IntRange(0, 3).Draw(t, "final") > 0 {
		opcode |= wsframe.Final
	}
	size := rapid.OneOf(rapid.IntRange(0, 130), rapid.IntRange(limit-3, limit+3)).Draw(t, "size")
	key := [4]byte(binary.LittleEndian.AppendUint32(nil, rapid.Uint32().Draw(t, "key")))
	frame := covered(opcode, key, bytes.Repeat([]byte("x"), size))
	if rapid.IntRange(0, 30).Draw(t, "bare") == 0 {
		frame[1] &^= 0x80 // says that it is not masked
	}
	if rapid.IntRange(0, 30).Draw(t, "reserved") == 0 {
		frame[0] |= rapid.SampledFrom([]byte{wsframe.Compressed, 0x20, 0x10}).Draw(t, "bit")
	}
	return frame
}

// reference is the library's handler.
type reference struct {
	gws.BuiltinEventHandler
	messages [][]byte
	pings    []string
	closed   bool
}

func (w *reference) OnMessage(_ *gws.Conn, m *gws.Message) {
	w.messages = append(w.messages, append([]byte{byte(m.Opcode)}, m.Bytes()...))
	_ = m.Close()
}
func (w *reference) OnPing(_ *gws.Conn, payload []byte) { w.pings = append(w.pings, string(payload)) }
func (w *reference) OnClose(_ *gws.Conn, err error)     { w.closed = fmt.Sprint(err) != io.EOF.Error() }

// nowhere is a connection that nobody listens to.
type nowhere struct{ net.Conn }

func (nowhere) Write(p []byte) (int, error)      { return len(p), nil }
func (nowhere) Close() error                     { return nil }
func (nowhere) SetDeadline(time.Time) error      { return nil }
func (nowhere) SetReadDeadline(time.Time) error  { return nil }
func (nowhere) SetWriteDeadline(time.Time) error { return nil }

func byLibrary(t *rapid.T, stream []byte, limit int) (messages [][]byte, pings []string, closed bool) {
	w := new(reference)
	upgrader := gws.NewUpgrader(w, &gws.ServerOption{ReadMaxPayloadSize: limit, Logger: gwsQuiet{}, Recovery: gws.Recovery})
	request, err := http.NewRequest(http.MethodGet, "/", nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range map[string]string{
		"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
	} {
		request.Header.Set(name, value)
	}
	conn, err := upgrader.UpgradeFromConn(nowhere{}, bufio.NewReader(bytes.NewReader(stream)), request)
	if err != nil {
		t.Fatal(err)
	}
	conn.ReadLoop()
	return w.messages, w.pings, w.closed
}

type gwsQuiet struct{}

func (gwsQuiet) Error(...any) {}
