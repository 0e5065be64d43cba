package bench

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// centrifugo is a process of Centrifugo v5 with its memory engine and default limits, and what is published to it.
type centrifugo struct {
	program, config string
	log             io.Writer
	addr            string
	cmd             *exec.Cmd
	refused         atomic.Int64 // requests to publish that failed
}

// centrifugoConfig leaves out pings, which this client would have to answer in words.
const centrifugoConfig = `{"address": %q, "port": %s, "engine": "memory", "usage_stats_disable": true, "api_insecure": true, "allowed_origins": ["*"],
"allow_anonymous_connect_without_token": true, "allow_subscribe_for_client": true, "allow_subscribe_for_anonymous": true, "client_channel_limit": 128,
"ping_interval": "600s", "log_level": "error"}`

func newCentrifugo(ctx context.Context, program, dir string, log io.Writer) (*centrifugo, error) {
	addr, err := freeAddress(ctx)
	if err != nil {
		return nil, err
	}
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	c := &centrifugo{program: program, addr: addr, config: filepath.Join(dir, "centrifugo.json"), log: log}
	if err := os.WriteFile(c.config, fmt.Appendf(nil, centrifugoConfig, host, port), 0o600); err != nil {
		return nil, err
	}
	return c, c.start(ctx)
}

func (c *centrifugo) start(ctx context.Context) error {
	c.cmd = exec.CommandContext(ctx, c.program, "-c", c.config)
	c.cmd.Stdout, c.cmd.Stderr = c.log, c.log
	if err := c.cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", c.program, err)
	}
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	for {
		if err := c.call(ctx, "info", []byte("{}")); err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("centrifugo did not start: %w", ctx.Err())
		case <-time.After(5 * time.Millisecond):
		}
	}
}

func (c *centrifugo) pid() int { return c.cmd.Process.Pid }

// kill ends the process as a crash does.
func (c *centrifugo) kill() {
	_ = c.cmd.Process.Kill()
	_ = c.cmd.Wait()
}

// call posts to the HTTP API.
func (c *centrifugo) call(ctx context.Context, method string, body []byte) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+c.addr+"/api/"+method, bytes.NewReader(body))
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, response.Body)
	response.Body.Close()
	if err == nil && response.StatusCode != http.StatusOK {
		err = errors.New(response.Status)
	}
	return err
}

// publication is data of about size bytes that holds one tilde, and when it was due.
func publication(dst []byte, due int64, size int) []byte {
	dst = append(dst, `{"ts":`...)
	dst = strconv.AppendInt(dst, due, 10)
	dst = append(dst, `,"pad":"`...)
	for n := len(`{"ts":1700000000000000,"pad":"~"}`); n < size; n++ {
		dst = append(dst, 'x')
	}
	return append(dst, `~"}`...)
}

// publish sends each of the channels hz publications of size bytes a second until ctx ends, all that are due in a step with
// one request. While nobody answers, what is due is lost.
func (c *centrifugo) publish(ctx context.Context, channels int, hz float64, size int) {
	rate := float64(channels) * hz
	started, done := time.Now(), int64(0)
	tick := time.NewTicker(paceStep)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		due := int64(time.Since(started).Seconds() * rate)
		if due == done {
			continue
		}
		body := []byte(`{"commands":[`)
		for first := done; done < due; done++ {
			if done > first {
				body = append(body, ',')
			}
			body = append(body, `{"publish":{"channel":"c`...)
			body = strconv.AppendInt(body, done%int64(channels), 10)
			body = append(body, `","data":`...)
			body = publication(body, started.UnixMicro()+int64(float64(done)*1e6/rate), size)
			body = append(body, `}}`...)
		}
		if err := c.call(ctx, "batch", append(body, `]}`...)); err != nil && ctx.Err() == nil {
			c.refused.Add(1)
		}
	}
}

// publications is Centrifugo's dialect, as publish makes it: a message may hold several.
var publications = Dialect{Marker: '~', Decode: decodePublications}

var dueKey = []byte(`"ts":`)

func decodePublications(p *Probe, now int64, text []byte) {
	for {
		i := bytes.Index(text, dueKey)
		if i < 0 {
			return
		}
		text = text[i+len(dueKey):]
		p.Seen(now, 1, 0, number(text))
	}
}

// swarm are clients that subscribe to so many of the channels each.
func (c *centrifugo) swarm(conns, channels int) SwarmOptions {
	return SwarmOptions{
		Dialect: publications, Address: c.addr, Conns: conns, Probes: min(conns, probes), Ready: `"subscribe":{`, ReadyCount: channels,
		Path: func(int) string { return "/connection/websocket" },
		Hello: func(int) []string {
			var commands strings.Builder
			for i := range channels {
				fmt.Fprintf(&commands, "{\"id\":%d,\"subscribe\":{\"channel\":\"c%d\"}}\n", i+2, i)
			}
			return []string{`{"id":1,"connect":{}}`, strings.TrimSpace(commands.String())}
		},
	}
}
