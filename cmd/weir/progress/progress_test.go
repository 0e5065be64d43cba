package progress

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestLogGetsALineEveryFiveSeconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 12*time.Second)
		defer cancel()
		var out strings.Builder
		r := New(&out, func() string { return "on the way" })
		r.Run(ctx)
		if want := strings.Repeat("on the way\n", 2); out.String() != want {
			t.Errorf("%q, want %q", out.String(), want)
		}
	})
}

func TestTerminalLineIsRewrittenEverySecondAndFitsAndIsErasedAtTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 1500*time.Millisecond)
		defer cancel()
		var out strings.Builder
		r := &Reporter{Out: &out, Width: 10, Line: func() string { return "0123456789abc" }}
		r.Run(ctx)
		if want := "\r01234567…\x1b[K\r\x1b[K"; out.String() != want {
			t.Errorf("%q, want %q", out.String(), want)
		}
	})
}
