package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// output may be written to while it is read.
type output struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}

func TestServeTakesFlagsBeforeEnvironmentBeforeFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "weir.yaml")
	if err := os.WriteFile(file, []byte("listen: 127.0.0.1:1\nlog: {level: error, format: json}\npipeline: {flush_period: 7ms}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("WEIR_LISTEN", "127.0.0.1:2")
	t.Setenv("WEIR_LOG__LEVEL", "debug")
	var out, errs output
	args := []string{"--log-level", "warn", "serve", "--config", file, "--print-config",
		"--roles", "ingest,push", "--kafka-brokers", "one:9092,two:9092", "--set", "push.default_max_hz=5"}
	if code := run(t.Context(), args, &out, &errs); code != exitOK {
		t.Fatalf("exit code %d: %s", code, errs.String())
	}
	for _, want := range []string{
		"listen: 127.0.0.1:2\n", "level: warn\n", "format: json\n", "flush_period: 7ms\n", "default_max_hz: 5\n",
		"- one:9092\n", "- two:9092\n", "roles:\n    - ingest\n    - push\n",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, out.String())
		}
	}
}

func TestServeNamesTheSettingThatIsWrong(t *testing.T) {
	var out, errs output
	code := run(t.Context(), []string{"serve", "--set", "pipeline.flush_perid=1ms"}, &out, &errs)
	if code != exitFailed || !strings.Contains(errs.String(), "pipeline.flush_perid: unknown (pipeline.flush_period?)") {
		t.Errorf("exit code %d: %s", code, errs.String())
	}
	code = run(t.Context(), []string{"serve", "--set", "tls.cert_file=x.pem", "--data", t.TempDir()}, &out, &errs)
	if code != exitFailed || !strings.Contains(errs.String(), "tls.key_file") {
		t.Errorf("exit code %d: %s", code, errs.String())
	}
}

func TestServeTellsWhereItIsAndEndsInOrder(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var out, errs output
	ended := make(chan int, 1)
	go func() {
		ended <- run(ctx, []string{"serve", "--listen", "127.0.0.1:0", "--data", t.TempDir()}, &out, &errs)
	}()
	deadline := time.After(30 * time.Second)
	for !strings.Contains(out.String(), "roles") {
		select {
		case <-deadline:
			t.Fatalf("no greeting: %s\n%s", out.String(), errs.String())
		case <-time.After(5 * time.Millisecond):
		}
	}
	for _, want := range []string{"dashboard  http://127.0.0.1:", "devices    ws://127.0.0.1:", "broker     embedded, data in /", "ingest, pipeline, push"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, out.String())
		}
	}
	stop()
	if code := <-ended; code != exitOK {
		t.Errorf("exit code %d: %s", code, errs.String())
	}
}
