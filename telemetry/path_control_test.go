package telemetry

import (
	"errors"
	"testing"
)

func TestNamesThatCannotBeReadOrToldApartAreRefused(t *testing.T) {
	for _, name := range []string{"a\u0085b", "a\u009f", "\u0080", "a\ufffd", "caf\u00e9\ufffd"} {
		if err := CheckDevice(name); !errors.Is(err, errPathChar) {
			t.Errorf("%q: %v", name, err)
		}
	}
	for _, name := range []string{"café", "熱/温度", "a\u00a0b"} {
		if err := CheckDevice(name); err != nil {
			t.Errorf("%q: %v", name, err)
		}
	}
}
