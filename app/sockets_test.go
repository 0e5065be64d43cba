package app

import (
	"bytes"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

func TestIdleSocketsDoNotKeepTheServerFromServing(t *testing.T) {
	c := memory()
	c.MaxSockets = 8
	var log syncBuffer
	r := startLogging(t, c, slog.New(slog.NewTextHandler(&log, nil)))
	d, dev := r.dashboard("#"), r.dial("v1/ingest")

	for range 7 {
		conn, err := net.Dial("tcp", r.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
	}
	eventually(t, "all places are taken", func() bool {
		var set bytes.Buffer
		r.set.WritePrometheus(&set)
		return strings.Contains(set.String(), "weir_http_sockets 8\n")
	})
	if got := dev.deliver(t, envelope{Device: "a/b", Session: "s", Seq: 1, Readings: wave("m", 3)}); got.Accepted != 3 {
		t.Errorf("receipt %+v", got)
	}
	for d.count("a/b/m") < 3 {
		d.step()
	}
	if n := strings.Count(log.String(), "fewer sockets than connections that may be configured"); n != 1 {
		t.Errorf("told %d times that there are few sockets", n)
	}

	// Those that send nothing have to leave, and make room.
	began := time.Now()
	if status, body := r.get("/healthz", ""); status != http.StatusOK || time.Since(began) > 2*r.opts.Config.HeaderTimeout {
		t.Errorf("%d %s after %s", status, body, time.Since(began))
	}
}

func TestSocketsLeaveFilesForTheBroker(t *testing.T) {
	for _, c := range []struct{ wanted, files, want int }{
		{0, 256, 192}, {0, 1024, 768}, {0, 4096, 3072}, {0, 20_000, 18_976}, {0, maxFiles, maxFiles - 1024},
		{500, 256, 192}, {500, 20_000, 500}, {0, 1, 1},
	} {
		if got := socketLimit(c.wanted, c.files); got != c.want {
			t.Errorf("max_sockets %d, %d files: %d sockets, want %d", c.wanted, c.files, got, c.want)
		}
	}
}

func TestAFullListenerCanBeClosed(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	limited := newLimitedListener(l, 0)
	ended := make(chan error)
	go func() { _, err := limited.Accept(); ended <- err }()
	if err := limited.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err == nil {
		t.Error("accepted after the end")
	}
}
