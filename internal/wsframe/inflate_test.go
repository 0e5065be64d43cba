package wsframe

import (
	"bytes"
	"errors"
	"testing"

	"github.com/klauspost/compress/flate"
)

func TestMessagesAreUnpackedUpToALimit(t *testing.T) {
	var z Inflater
	text := bytes.Repeat([]byte("payload "), 1000)
	for range 3 { // the second by a reader that was used
		if got, err := z.Inflate(deflated(t, text), len(text)); err != nil || !bytes.Equal(got, text) {
			t.Fatalf("%d bytes of %d, %v", len(got), len(text), err)
		}
		if _, err := z.Inflate(deflated(t, text), len(text)-1); !errors.Is(err, ErrInflated) {
			t.Fatalf("a byte too many: %v", err)
		}
		if _, err := z.Inflate([]byte("\xff\xff\xff"), 100); err == nil || errors.Is(err, ErrInflated) {
			t.Fatalf("damaged: %v", err)
		}
	}
}

func deflated(t *testing.T, text []byte) []byte {
	var out bytes.Buffer
	w, err := flate.NewWriter(&out, flate.BestSpeed)
	if err == nil {
		_, err = w.Write(text)
	}
	if err == nil {
		err = w.Flush()
	}
	if err != nil {
		t.Fatal(err)
	}
	return bytes.TrimSuffix(out.Bytes(), []byte("\x00\x00\xff\xff"))
}
