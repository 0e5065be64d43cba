package window

import (
	"bytes"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestRestoredMeanAnswersAsTheOriginal(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		cfg := Config{Window: rapid.SampledFrom([]time.Duration{32 * time.Millisecond, 24 * time.Hour}).Draw(t, "window")}
		var whole, restored Mean
		cut := rapid.IntRange(0, 200).Draw(t, "cut")
		at := rapid.Int64Range(-1000, 1<<51).Draw(t, "start")
		for i := range 200 {
			if i == cut {
				state := restored.MarshalAppend([]byte("prefix"))[len("prefix"):]
				restored = Mean{}
				if err := restored.Unmarshal(state); err != nil {
					t.Fatal(err)
				}
				if again := restored.MarshalAppend(nil); !bytes.Equal(again, state) {
					t.Fatalf("marshalled again: %x, want %x", again, state)
				}
			}
			at += rapid.Int64Range(-2000, 4000).Draw(t, "gap") * int64(cfg.Window/(32*time.Millisecond))
			v := rapid.Float64().Draw(t, "v")
			a, b := whole.Add(at, v, &cfg), restored.Add(at, v, &cfg)
			if a != b && (a == a || b == b) {
				t.Fatalf("sample %d: %v restored, %v whole", i, b, a)
			}
		}
	})
}

func TestUnmarshalLeavesTheMeanAloneOnError(t *testing.T) {
	cfg := DefaultConfig()
	var m Mean
	m.Add(1, 2, &cfg)
	before := m.MarshalAppend(nil)
	for i := range before {
		if err := m.Unmarshal(before[:i]); err == nil {
			t.Errorf("the first %d of %d bytes were taken", i, len(before))
		}
	}
	if after := m.MarshalAppend(nil); !bytes.Equal(before, after) {
		t.Error("state changed")
	}
}

func FuzzMeanUnmarshal(f *testing.F) {
	cfg := DefaultConfig()
	var m Mean
	f.Add(m.MarshalAppend(nil))
	for i := range int64(100) {
		m.Add(i*1_000_000, float64(i), &cfg)
		if i%20 == 0 {
			f.Add(m.MarshalAppend(nil))
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var m Mean
		if m.Unmarshal(b) != nil {
			return
		}
		var again Mean
		if err := again.Unmarshal(m.MarshalAppend(nil)); err != nil {
			t.Fatalf("own state refused: %v", err)
		}
		for i := range int64(100) {
			m.Add(i*1_000_000, 1, &cfg)
		}
		if cap(m.panes) > maxPanes {
			t.Fatalf("%d panes", cap(m.panes))
		}
	})
}
