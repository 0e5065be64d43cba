package ingest

import (
	"bufio"
	"bytes"
	"math/rand/v2"
	"net"
	"strings"
	"testing"

	"github.com/lxzan/gws"
	"pgregory.net/rapid"

	"weir/internal/wsframe"
	"weir/wire"
)

const offer = wsframe.ExtensionsHeader + ": permessage-deflate; client_max_window_bits"

// squeezed is a client's frame of a compressed message.
func squeezed(data []byte) []byte {
	frame := masked(opText, deflated(encodingMessage, data))
	frame[0] |= wsframe.Compressed
	return frame
}

// receiptFor reads the next receipt.
func receiptFor(t *testing.T, br *bufio.Reader) *wire.Receipt {
	t.Helper()
	opcode, payload, err := readFrame(br)
	if err != nil || opcode != opText {
		t.Fatalf("frame %x %q, %v", opcode, payload, err)
	}
	r, err := wire.DecodeReceipt(payload)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestCompressionIsAgreedOnOnTermsThatCostAnIdleConnectionNothing(t *testing.T) {
	s := start(t, nullProducer{})
	off := start(t, nullProducer{}, func(o *Options) { o.Config.Compression = false })
	for _, c := range []struct {
		s      *site
		offers []string
		want   bool
	}{
		{s, []string{offer}, true},
		{s, []string{offer, protocolHeader + ": weir.v1.json"}, true},
		{s, []string{wsframe.ExtensionsHeader + ": x-other, permessage-deflate"}, true},
		{s, []string{wsframe.ExtensionsHeader + ": permessage-deflate; server_max_window_bits=10, permessage-deflate"}, true},
		{s, []string{wsframe.ExtensionsHeader + ": permessage-deflate; server_max_window_bits=10"}, false},
		{s, []string{wsframe.ExtensionsHeader + ": permessage-deflated"}, false},
		{s, nil, false},
		{off, []string{offer}, false},
	} {
		res, _ := c.s.handshake(t, c.offers...)
		got, want := res.Header.Get(wsframe.ExtensionsHeader), ""
		if c.want {
			want = "permessage-deflate; server_no_context_takeover; client_no_context_takeover"
		}
		if got != want {
			t.Errorf("%q answered with %q", c.offers, got)
		}
	}
}

func TestALibrarysCompressedMessagesAreTaken(t *testing.T) {
	p := &logProducer{}
	s := start(t, p)
	d := &device{t: t, messages: make(chan []byte, 100), closed: make(chan error, 1)}
	conn, _, err := gws.NewClient(d, &gws.ClientOption{
		Addr:              "ws" + strings.TrimPrefix(s.url, "http") + "/v1/ingest",
		PermessageDeflate: gws.PermessageDeflate{Enabled: true, Threshold: 1, ServerContextTakeover: true, ClientContextTakeover: true},
	})
	if err != nil {
		t.Fatal(err)
	}
	d.conn = conn
	done := make(chan struct{})
	go func() { defer close(done); conn.ReadLoop() }()
	defer func() { _ = conn.NetConn().Close(); <-done }()
	for _, size := range []int{100, freeBytes, mib} {
		d.accepts(string(padded(size)))
	}
	d.refuses(`{"type":"dance"}`, wire.CodeMessageType, "type")
	if n := s.count(`weir_ingest_compressed_frames_total{transport="websocket"}`); n != 4 {
		t.Errorf("%d counted", n)
	}
	eventually(t, "room is given back", func() bool { return s.pending.taken.Load() == 0 })
}

// Compressed and plain messages, whole and in fragments, with pings between, however the stream is cut.
func TestEachMessageIsUnpackedIfItIsCompressed(t *testing.T) {
	s := start(t, nullProducer{})
	rapid.Check(t, func(rt *rapid.T) {
		var stream []byte
		n := rapid.IntRange(1, 40).Draw(rt, "messages")
		for range n {
			frame := masked(opText, []byte(oneReading))
			if rapid.Bool().Draw(rt, "compressed") {
				frame = squeezed([]byte(oneReading))
			}
			if rapid.Bool().Draw(rt, "fragments") {
				payload := frame[6:]
				cut := rapid.IntRange(0, len(payload)).Draw(rt, "cut")
				first := masked(opText, payload[:cut])
				first[0] = frame[0] &^ finalFrame
				frame = append(append(first, masked(opPing, []byte("x"))...), masked(0, payload[cut:])...)
			}
			stream = append(stream, frame...)
		}
		conn, br := s.rawDial(t, nil, offer)
		defer conn.Close()
		go func() {
			for len(stream) > 0 {
				size := min(len(stream), 1+len(stream)*7%(1<<9))
				if _, err := conn.Write(stream[:size]); err != nil {
					return
				}
				stream = stream[size:]
			}
		}()
		for frame := uint64(1); frame <= uint64(n); {
			opcode, payload, err := readFrame(br)
			if err != nil || opcode == opClose {
				rt.Fatalf("%x %q, %v", opcode, payload, err)
			}
			if opcode != opText {
				continue
			}
			if r, err := wire.DecodeReceipt(payload); err != nil || r.Frame != frame || r.Accepted != 1 {
				rt.Fatalf("receipt %d: %s, %v", frame, payload, err)
			}
			frame++
		}
	})
}

func TestADamagedOrSwollenMessageIsRefusedAndTheConnectionLivesOn(t *testing.T) {
	p := &logProducer{}
	s := start(t, p, func(o *Options) { o.Config.MaxFrameBytes = 2 * freeBytes })
	bomb := squeezed(make([]byte, mib))
	conn, br := s.rawDial(t, nil, offer)
	damaged := masked(opText, []byte{0xff, 0xff, 0xff})
	damaged[0] |= wsframe.Compressed
	_, _ = conn.Write(damaged)
	if r := receiptFor(t, br); r.Err == nil || r.Err.Code != wire.CodeEncodingInvalid {
		t.Errorf("damaged: %+v", r)
	}
	_, _ = conn.Write(bomb)
	if r := receiptFor(t, br); r.Err == nil || r.Err.Code != wire.CodeEncodingTooLarge {
		t.Errorf("a bomb: %+v", r)
	}
	_, _ = conn.Write(squeezed([]byte(oneReading)))
	accepted(t, br, 3)
	if letters := p.stored(wire.TopicDeadLetters); len(letters) != 2 {
		t.Errorf("%d dead letters", len(letters))
	}
	// Many of them are as much work as many of the largest messages.
	go func() { _, _ = conn.Write(bytes.Repeat(bomb, 2*typedAtOnce)) }()
	closedWith(t, br, wire.CloseProtocolError, wire.ReasonProtocolError)
}

func TestReservedBitsAreLegalOnlyWhereTheyHaveAMeaning(t *testing.T) {
	s := start(t, nullProducer{})
	reading := []byte(oneReading)
	with := func(bits byte, frame []byte) []byte {
		frame = bytes.Clone(frame)
		frame[0] |= bits
		return frame
	}
	first := masked(opText, reading[:10])
	first[0] &^= finalFrame
	for name, c := range map[string]struct {
		headers []string
		said    []byte
	}{
		"compressed without an agreement": {nil, squeezed(reading)},
		"RSV2":                            {[]string{offer}, with(0x20, masked(opText, reading))},
		"RSV3":                            {[]string{offer}, with(0x10, masked(opText, reading))},
		"RSV1 and RSV2":                   {[]string{offer}, with(0x60, masked(opText, reading))},
		"a compressed ping":               {[]string{offer}, with(wsframe.Compressed, masked(opPing, nil))},
		"a compressed continuation":       {[]string{offer}, append(bytes.Clone(first), with(wsframe.Compressed, masked(0, reading[10:]))...)},
		"a message within a message":      {[]string{offer}, append(bytes.Clone(first), squeezed(reading)...)},
	} {
		t.Run(name, func(t *testing.T) {
			conn, br := s.rawDial(t, nil, c.headers...)
			if _, err := conn.Write(c.said); err != nil {
				t.Fatal(err)
			}
			closedWith(t, br, closeProtocol, wire.ReasonProtocolError)
		})
	}
	if n := s.count(`weir_ingest_frames_total{transport="websocket"}`); n != 0 {
		t.Errorf("%d frames were taken", n)
	}
}

// Messages that are small until they are decompressed wait for room as those that are large.
func TestCompressedMessagesThatWaitHoldNoMoreThanTheBudget(t *testing.T) {
	p := &logProducer{hold: true}
	s := start(t, p, func(o *Options) { o.Config.MaxPendingBytes = 4 * mib; o.Config.Credit = 1 })
	frame := squeezed(padded(mib))
	var conns []net.Conn
	for range 20 {
		conn, _ := s.rawDial(t, nil, offer)
		// The first takes the only credit, so that the second has to wait with all that it has become.
		if _, err := conn.Write(append(masked(opText, []byte(oneReading)), frame...)); err != nil {
			t.Fatal(err)
		}
		conns = append(conns, conn)
	}
	eventually(t, "four hold the budget and the others wait", func() bool {
		return s.pending.taken.Load() == 4*mib && s.pending.waiting.Load() == 16
	})
	p.release()
	eventually(t, "all are taken in their turn", func() bool {
		return s.count(`weir_ingest_frames_total{transport="websocket"}`) == 40 && s.pending.taken.Load() == 0
	})
	for _, conn := range conns {
		_ = conn.Close()
	}
}

func TestAStopDoesNotWaitForAMessageThatWaitsToBeUnpacked(t *testing.T) {
	s := start(t, nullProducer{}, func(o *Options) { o.Config.MaxPendingBytes = 2 * mib })
	if !s.pending.try(2 * mib) {
		t.Fatal("no room at the start")
	}
	conn, br := s.rawDial(t, nil, offer)
	if _, err := conn.Write(squeezed(padded(mib))); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it waits", func() bool { return s.pending.waiting.Load() == 1 })
	go s.stop()
	closedWith(t, br, wire.CloseDraining, wire.ReasonDraining)
	_ = conn.Close()
}

func TestAStrangersMessageIsUnpackedToItsOwnLimit(t *testing.T) {
	g := newDoorman()
	g.let("good", "press7")
	s := start(t, nullProducer{}, guarded(g))
	_, br := func() (net.Conn, *bufio.Reader) {
		conn, br := s.rawDial(t, nil, offer)
		_, _ = conn.Write(squeezed([]byte(`{"type":"auth","pad":"` + strings.Repeat("x", strangerBytes) + `"}`)))
		return conn, br
	}()
	closedWith(t, br, wire.CloseRefused, wire.ReasonUnauthenticated)
	conn, br := s.rawDial(t, nil, offer)
	_, _ = conn.Write(append(squeezed([]byte(authMessage("good"))), squeezed([]byte(readingOfA))...))
	if _, payload, err := readFrame(br); err != nil || !strings.Contains(string(payload), wire.TypeAuthenticated) {
		t.Fatalf("%s, %v", payload, err)
	}
	accepted(t, br, 1)
}

// What is large even when it is compressed has room for both from its header on: it never waits a second time.
func TestALargeCompressedMessageHasRoomForWhatItBecomes(t *testing.T) {
	noise := make([]byte, 400<<10)
	random := rand.New(rand.NewPCG(1, 2))
	for i := range noise {
		noise[i] = 'a' + byte(random.IntN(26))
	}
	frame := squeezed(bytes.Replace(padded(mib), bytes.Repeat([]byte("x"), len(noise)), noise, 1))
	if len(frame) <= freeBytes {
		t.Fatalf("%d bytes", len(frame))
	}
	p := &logProducer{hold: true}
	s := start(t, p, func(o *Options) { o.Config.MaxPendingBytes = 2 * mib; o.Config.Credit = 1 })
	socket, br := s.rawDial(t, nil, offer)
	go func() { _, _ = socket.Write(append(masked(opText, []byte(oneReading)), frame...)) }()
	eventually(t, "it waits for credit with all its room", func() bool {
		busy := false
		s.each(func(c *conn) { busy = c.busy.Load() })
		return busy && s.pending.taken.Load() == 2*mib
	})
	p.release()
	accepted(t, br, 1)
	accepted(t, br, 2)
	eventually(t, "all of it is given back", func() bool { return s.pending.taken.Load() == 0 })
}
