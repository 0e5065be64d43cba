package conformance

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/lxzan/gws"

	"weir/telemetry"
	"weir/wire"
)

// conn is one connection. Its fields are under the kit's lock, but for the decoder, which is the reader's.
type conn struct {
	gws.BuiltinEventHandler
	kit        *Kit
	socket     *gws.Conn
	net        *lingering
	decoder    wire.FrameDecoder
	number     int
	credential string
	now        int64 // µs, of the frame being decoded

	frames, answered uint64
	open             map[uint64]*seen // without a receipt, by frame
	pings            int
	ponged           int
	over, closing    bool

	// Of the acts.
	quietFrom, quietUntil time.Time
	limit                 int // the credit of receipts, 0 for the usual
	holding               bool
	limitFrom, heldFrames int
}

// socket takes a WebSocket.
func (k *Kit) socket(w http.ResponseWriter, r *http.Request) {
	number, status := k.arrive(r)
	if status != 0 {
		wire.WriteError(w, status, wire.NewError(codeOf(status), ""))
		return
	}
	c := &conn{kit: k, number: number, credential: credentialOf(r), open: map[uint64]*seen{}}
	option := &gws.ServerOption{
		ReadMaxPayloadSize: wire.MaxFrameBytes, HandshakeTimeout: k.pace, Recovery: gws.Recovery,
		PermessageDeflate: gws.PermessageDeflate{Enabled: true, Threshold: 512},
	}
	format := wire.FormatAuto
	if asked := r.Header.Get("Sec-WebSocket-Protocol"); asked != "" {
		for name := range strings.SplitSeq(asked, ",") {
			if f, ok := wire.FormatOfSubprotocol(strings.TrimSpace(name)); ok {
				format, option.SubProtocols = f, []string{strings.TrimSpace(name)}
				break
			}
		}
	}
	c.decoder = k.newDecoder(r, format, &c.now)
	socket, under, err := upgrade(w, r, c, option)
	if err != nil {
		k.mu.Lock()
		defer k.mu.Unlock()
		k.tally.fail(checkFraming, Evidence{Conn: number, What: fmt.Sprintf("the handshake failed: %v", err)})
		return
	}
	c.socket, c.net = socket, under
	if !k.enter(c) {
		c.net.cut()
		return
	}
	go func() {
		defer k.readers.Done()
		socket.ReadLoop()
	}()
}

func (k *Kit) newDecoder(r *http.Request, format wire.Format, now *int64) wire.FrameDecoder {
	device := r.URL.Query().Get("device")
	if telemetry.CheckDevice(device) != nil {
		device = ""
	}
	return wire.NewFrameDecoder(format, wire.DecoderOptions{DefaultDevice: device, Now: func() int64 { return *now }})
}

func codeOf(status int) string {
	if status == http.StatusForbidden {
		return wire.CodeForbidden
	}
	return wire.CodeDraining
}

func (k *Kit) enter(c *conn) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.closed {
		return false
	}
	k.conns[c] = struct{}{}
	k.readers.Add(1)
	k.after(k.pace/5, func() { c.ping(k) })
	return true
}

// ping asks for a sign of life, and looks for it after the pace.
func (c *conn) ping(k *Kit) {
	if c.over {
		return
	}
	c.pings++
	number := c.pings
	_ = c.socket.SetWriteDeadline(time.Now().Add(k.pace))
	if c.socket.WritePing([]byte(strconv.Itoa(number))) != nil {
		return
	}
	k.after(k.pace, func() {
		if c.over {
			return
		}
		if c.ponged < number {
			k.tally.fail(checkPong, Evidence{Conn: c.number, What: fmt.Sprintf("a ping was not answered within %v, or not with its payload", k.pace)})
		}
		c.ping(k)
	})
}

// OnPong takes the answer to a ping.
func (c *conn) OnPong(_ *gws.Conn, payload []byte) {
	c.kit.mu.Lock()
	defer c.kit.mu.Unlock()
	if n, err := strconv.Atoi(string(payload)); err == nil && n <= c.pings {
		c.ponged = max(c.ponged, n)
		c.kit.tally.pass(checkPong)
	}
}

// OnPing answers.
func (c *conn) OnPing(socket *gws.Conn, payload []byte) {
	_ = socket.SetWriteDeadline(time.Now().Add(c.kit.pace))
	_ = socket.WritePong(payload)
}

// OnClose notes what the device still owes.
func (c *conn) OnClose(_ *gws.Conn, err error) {
	k := c.kit
	k.mu.Lock()
	defer k.mu.Unlock()
	c.over = true
	delete(k.conns, c)
	if k.closed {
		return
	}
	for _, s := range c.open {
		k.frames.owe(s, false)
	}
	var closed *gws.CloseError
	if errors.As(err, &closed) {
		return // the device closed
	}
	code, ok := err.(interface{ Uint16() uint16 }) //nolint:errorlint // gws gives its own type, unwrapped
	switch {
	case ok && code.Uint16() == wire.CloseTooLarge:
		k.tally.fail(checkSize, Evidence{Conn: c.number, Frame: c.frames + 1, What: "the frame is larger than 1 MiB"})
	case !c.closing && !c.net.lost.Load():
		// gws gave it up for what came. Not all of its errors have a code: those of inflating are the inflater's own.
		k.tally.fail(checkFraming, Evidence{Conn: c.number, Frame: c.frames + 1, What: err.Error()})
	}
}

// OnMessage takes a frame.
func (c *conn) OnMessage(_ *gws.Conn, message *gws.Message) {
	defer func() { _ = message.Close() }()
	data := message.Bytes()
	if isTyped(data) {
		c.converse(data)
		return
	}
	c.now = time.Now().UnixMicro()
	f, err := c.decoder.Decode(data)
	defer c.decoder.Release()
	k := c.kit
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.closed || c.closing {
		return
	}
	c.frames++
	s := &seen{conn: c.number, frame: c.frames, at: time.Now(), snippet: snippet(data)}
	k.total.Frames++
	if err != nil {
		refusal := wire.AsError(err)
		k.tally.fail(checkOf(refusal.Code), s.evidence("%s", refusal.Error()))
		c.send(&wire.Receipt{Frame: c.frames, Credit: credit, Err: refusal})
		return
	}
	k.total.Readings += f.Total
	k.frames.note(s, f, c.now, k.tally)
	c.judge(k, s)
	c.respond(k, s)
}

// judge looks whether the frame may come now.
func (c *conn) judge(k *Kit, s *seen) {
	if s.at.After(c.quietFrom) && s.at.Before(c.quietUntil) {
		k.tally.fail(checkRetry, s.evidence("it came %v before the end of the pause that retry_after_ms had asked for", c.quietUntil.Sub(s.at).Round(time.Millisecond)))
	}
	without := int(c.frames - c.answered)
	if c.holding {
		c.heldFrames++
		if without > c.limitFrom {
			k.tally.fail(checkCredit, s.evidence("%d frames are without a receipt, credit is %d", without, c.limit))
		}
	}
}

// respond does with the frame what the act wants, or answers it as usual.
func (c *conn) respond(k *Kit, s *seen) {
	c.open[s.frame] = s
	a, ok := k.play(c, s)
	if !ok {
		a = answer{receipt: usual(s), hold: c.holding}
	}
	switch {
	case a.cut:
		c.net.cut()
	case a.close != 0:
		// Closing lingers, and this is the goroutine that reads: not under the lock.
		k.readers.Go(func() {
			_ = c.socket.SetWriteDeadline(time.Now().Add(k.pace))
			_ = c.socket.WriteClose(a.close, []byte(a.reason))
		})
		c.closing = true
	case a.receipt != nil && !a.hold:
		c.settle(s, a.receipt)
	}
}

// usual is the receipt of a server that is content.
func usual(s *seen) *wire.Receipt {
	r := &wire.Receipt{Accepted: s.readings - len(s.rejected), Credit: credit, Rejected: s.rejected}
	if s.again {
		r.Accepted, r.Duplicate = 0, r.Accepted
	}
	return r
}

func (c *conn) settle(s *seen, r *wire.Receipt) {
	delete(c.open, s.frame)
	c.answered++
	r.Frame, r.Seq, r.HasSeq = s.frame, s.key.seq, s.numbered
	if c.limit > 0 {
		r.Credit = c.limit
	}
	c.send(r)
}

// release sends the receipts that were held.
func (c *conn) release() {
	c.holding, c.limit = false, 0
	for n := uint64(1); n <= c.frames; n++ {
		if s := c.open[n]; s != nil && !c.over {
			c.settle(s, usual(s))
		}
	}
}

func (c *conn) send(r *wire.Receipt) {
	_ = c.socket.SetWriteDeadline(time.Now().Add(c.kit.pace))
	_ = c.socket.WriteMessage(gws.OpcodeText, r.Append(nil))
}

// snippet is the beginning of a frame, as text or, if it is none, in hexadecimal.
func snippet(data []byte) string {
	const most = 160
	cut := data[:min(len(data), most)]
	for _, b := range cut {
		if b < 0x20 && b != '\n' && b != '\t' && b != '\r' {
			return fmt.Sprintf("%x…", cut[:min(len(cut), most/2)])
		}
	}
	if len(data) > most {
		return string(cut) + "…"
	}
	return string(cut)
}
