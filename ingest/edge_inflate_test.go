package ingest

import (
	"bytes"
	"compress/flate"
	"compress/gzip"
	"compress/zlib"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
	"pgregory.net/rapid"

	"weir/wire"
)

// deflated is data compressed in one of the encodings; "raw" is deflate without zlib's wrapping.
func deflated(e encoding, data []byte) []byte {
	var buf bytes.Buffer
	var w io.WriteCloser
	switch e {
	case encodingGzip:
		w = gzip.NewWriter(&buf)
	case encodingDeflate:
		w = zlib.NewWriter(&buf)
	case encodingZstd:
		w, _ = zstd.NewWriter(&buf)
	default:
		f, _ := flate.NewWriter(&buf, flate.BestCompression)
		w = f
		if e == encodingMessage {
			_, _ = w.Write(data)
			_ = f.Flush()
			return bytes.TrimSuffix(buf.Bytes(), []byte("\x00\x00\xff\xff"))
		}
	}
	_, _ = w.Write(data)
	_ = w.Close()
	return buf.Bytes()
}

var allEncodings = []encoding{encodingGzip, encodingDeflate, encodingZstd, encodingMessage, "raw"}

func mustInflaters(t testing.TB) *inflaters {
	t.Helper()
	z, err := newInflaters(mib)
	if err != nil {
		t.Fatal(err)
	}
	return z
}

func spoken(e encoding) encoding {
	if e == "raw" {
		return encodingDeflate
	}
	return e
}

// What was compressed comes out as it went in, up to the limit and not a byte beyond; room is asked for exactly when
// it is more than anyone may have.
func TestWhatIsCompressedComesOutAsItWentIn(t *testing.T) {
	z := mustInflaters(t)
	rapid.Check(t, func(t *rapid.T) {
		e := rapid.SampledFrom(allEncodings).Draw(t, "encoding")
		limit := rapid.SampledFrom([]int{100, freeBytes - 1, freeBytes, freeBytes + 1, 1 << 20}).Draw(t, "limit")
		size := rapid.OneOf(rapid.IntRange(0, 2000), rapid.SampledFrom([]int{limit - 1, limit, limit + 1, freeBytes, freeBytes + 1, 2 * limit})).Draw(t, "size")
		unit := rapid.SliceOfN(rapid.Byte(), 1, 300).Draw(t, "unit")
		data := bytes.Repeat(unit, size/len(unit)+1)[:size]
		asked := 0
		got, refusal := z.inflate(spoken(e), deflated(e, data), limit, func() *wire.Error { asked++; return nil })
		if size > limit {
			if refusal == nil || refusal.Code != wire.CodeEncodingTooLarge {
				t.Fatalf("%d bytes with a limit of %d: %v", size, limit, refusal)
			}
		} else if refusal != nil || !bytes.Equal(got, data) {
			t.Fatalf("%d bytes became %d, %v", size, len(got), refusal)
		}
		if want := size > freeBytes && limit > freeBytes && (size <= limit || e != encodingZstd); asked > 1 || (asked == 1) != want {
			t.Fatalf("%d bytes with a limit of %d: room asked for %d times", size, limit, asked)
		}
		if cap(got) > limit+max(limit/4, 32) {
			t.Fatalf("a buffer of %d bytes with a limit of %d", cap(got), limit)
		}
	})
}

func TestWithoutRoomNothingLargeIsDecompressed(t *testing.T) {
	z := mustInflaters(t)
	full := wire.NewError(wire.CodeOverloaded, "")
	for _, e := range allEncodings {
		_, refusal := z.inflate(spoken(e), deflated(e, make([]byte, freeBytes+1)), mib, func() *wire.Error { return full })
		if refusal != full {
			t.Errorf("%s: %v", e, refusal)
		}
	}
}

func TestDamagedDataIsRefused(t *testing.T) {
	z := mustInflaters(t)
	whole := []byte(strings.Repeat(oneReading, 30))
	none := func() *wire.Error { return errOf(wire.CodeOverloaded) }
	for _, e := range []encoding{encodingGzip, encodingDeflate, encodingZstd} {
		good := deflated(e, whole)
		flipped := bytes.Clone(good)
		flipped[len(flipped)/2] ^= 0xff
		for name, data := range map[string][]byte{
			"cut short": good[:len(good)-5], "flipped": flipped, "nothing": {}, "text": whole, "followed by text": append(bytes.Clone(good), "more"...),
		} {
			if e == encodingZstd && name == "nothing" || e == encodingDeflate && name == "followed by text" {
				continue // no frame is a legal number of frames; what follows the end is not looked at
			}
			if got, refusal := z.inflate(e, data, mib, none); refusal == nil || refusal.Code != wire.CodeEncodingInvalid {
				t.Errorf("%s %s: %q, %v", e, name, got, refusal)
			}
		}
	}
	if _, refusal := z.inflate(encodingMessage, []byte{0xff, 0xff, 0xff}, mib, none); refusal == nil || refusal.Code != wire.CodeEncodingInvalid {
		t.Errorf("message: %v", refusal)
	}
}

func errOf(code string) *wire.Error { return wire.NewError(code, "") }

func FuzzInflate(f *testing.F) {
	for i, e := range allEncodings {
		f.Add(i, deflated(e, []byte(oneReading)))
		f.Add(i, deflated(e, make([]byte, 100_000)))
	}
	z := mustInflaters(f)
	f.Fuzz(func(t *testing.T, which int, data []byte) {
		const limit = 80_000
		e := spoken(allEncodings[uint(which)%uint(len(allEncodings))])
		got, refusal := z.inflate(e, data, limit, func() *wire.Error { return nil })
		if (refusal == nil) != (len(got) <= limit && refusal == nil) || len(got) > limit || cap(got) > limit+limit/4 {
			t.Fatalf("%d bytes in %d, %v", len(got), cap(got), refusal)
		}
	})
}

func TestACompressedBodyIsTaken(t *testing.T) {
	p := &logProducer{}
	s := start(t, p)
	for _, e := range []encoding{encodingGzip, encodingDeflate, encodingZstd, "raw"} {
		for name, body := range map[string][]byte{"small": []byte(oneReading), "large": padded(mib)} {
			res, r := s.post(t, "", string(deflated(e, body)), "Content-Encoding", string(spoken(e)))
			if res.StatusCode != http.StatusOK || r.Accepted != 1 {
				t.Errorf("%s %s: %d %+v", e, name, res.StatusCode, r)
			}
		}
	}
	if n := s.count(`weir_ingest_compressed_frames_total{transport="http"}`); n != 8 {
		t.Errorf("%d counted", n)
	}
	if n := s.pending.taken.Load(); n != 0 {
		t.Errorf("%d bytes of room are not given back", n)
	}
}

func TestCompressedBodiesAreRefusedByWhatIsWrongWithThem(t *testing.T) {
	s := start(t, nullProducer{})
	zeros := make([]byte, 8*mib) // one more than the limit of 1 MiB is never unpacked
	bomb := func(e encoding) string { return string(deflated(e, zeros)) }
	for name, c := range map[string]struct {
		body     string
		encoding string
		status   int
		code     string
	}{
		"a bomb of gzip":     {bomb(encodingGzip), "gzip", 413, wire.CodeEncodingTooLarge},
		"a bomb of deflate":  {bomb(encodingDeflate), "deflate", 413, wire.CodeEncodingTooLarge},
		"a bomb of zstd":     {bomb(encodingZstd), "zstd", 413, wire.CodeEncodingTooLarge},
		"many empty members": {strings.Repeat(string(deflated(encodingGzip, nil)), 40_000), "gzip", 400, wire.CodeFrameEmpty},
		"not compressed":     {oneReading, "gzip", 400, wire.CodeEncodingInvalid},
		"damaged zstd":       {string(deflated(encodingZstd, padded(5000))[:50]), "zstd", 400, wire.CodeEncodingInvalid},
		"twice":              {oneReading, "gzip, gzip", 415, wire.CodeMediaType},
		"unknown":            {oneReading, "br", 415, wire.CodeMediaType},
		"not at all":         {oneReading, "identity", 200, ""},
		"too large as it is": {strings.Repeat("x", mib+1), "gzip", 413, wire.CodeFrameTooLarge},
		"a window of a zstd": {"\x28\xb5\x2f\xfd\x00\x90\x01\x00\x00", "zstd", 413, wire.CodeEncodingTooLarge}, // 256 MiB
		"an announced size":  {"\x28\xb5\x2f\xfd\xe0\xff\xff\xff\xff\xff\xff\xff\x0f\x01\x00\x00", "zstd", 413, wire.CodeEncodingTooLarge},
	} {
		t.Run(name, func(t *testing.T) {
			res, r := s.post(t, "", c.body, "Content-Encoding", c.encoding)
			code := ""
			if r.Err != nil {
				code = r.Err.Code
			}
			if res.StatusCode != c.status || code != c.code {
				t.Errorf("%d %q: %+v", res.StatusCode, code, r)
			}
		})
	}
	if n := s.count(`weir_ingest_frames_rejected_total{code="encoding_too_large"}`); n != 5 {
		t.Errorf("%d counted", n)
	}
}

func TestWhatABodyBecomesCountsInTheBudget(t *testing.T) {
	s := start(t, nullProducer{}, func(o *Options) { o.Config.MaxPendingBytes = 2 * mib })
	large := string(deflated(encodingGzip, padded(freeBytes+1)))
	if !s.pending.try(2 * mib) {
		t.Fatal("no room at the start")
	}
	if res, r := s.post(t, "", large, "Content-Encoding", "gzip"); res.StatusCode != http.StatusServiceUnavailable || r.Err.Code != wire.CodeOverloaded || res.Header.Get("Retry-After") == "" {
		t.Errorf("%d %+v", res.StatusCode, r)
	}
	small := string(deflated(encodingGzip, padded(freeBytes)))
	if res, r := s.post(t, "", small, "Content-Encoding", "gzip"); res.StatusCode != http.StatusOK {
		t.Errorf("%d %+v", res.StatusCode, r)
	}
	s.pending.giveBack(2 * mib)
	if res, r := s.post(t, "", large, "Content-Encoding", "gzip"); res.StatusCode != http.StatusOK {
		t.Errorf("%d %+v", res.StatusCode, r)
	}
	if n := s.pending.taken.Load(); n != 0 {
		t.Errorf("%d bytes of room are not given back", n)
	}
}

func TestOneEncodingThatIsSpokenIsTaken(t *testing.T) {
	for value, want := range map[string]bool{
		"": true, "identity": true, "GZIP": true, "x-gzip": true, "deflate": true, "zstd": true, "br": false, "gzip, zstd": false,
	} {
		if _, ok := encodingOf(http.Header{"Content-Encoding": {value}}); ok != want {
			t.Errorf("%q: %v", value, ok)
		}
	}
	if _, ok := encodingOf(http.Header{"Content-Encoding": {"gzip", "gzip"}}); ok {
		t.Error("two headers are taken")
	}
}
