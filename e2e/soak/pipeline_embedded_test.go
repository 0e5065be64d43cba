//go:build soak

package soak

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"path/filepath"
	"testing"
	"time"

	"weir/kafka/embedded"
)

// TestThePipelineOnTheEmbeddedBrokerIsItsModel kills one process that is all of Weir, again and again. While it is away the
// stream is written into its broker's data; while it is there, devices post.
func TestThePipelineOnTheEmbeddedBrokerIsItsModel(t *testing.T) {
	s := beginPipelineSoak(t, "soak-pipeline-embedded")
	began, addr := time.Now(), freeAddress(t)
	if s.state.Begun == 1 { // it makes the topics
		v := s.serve("weir", addr)
		eventually(t, time.Minute, "the server is ready", v.ready)
		if err := v.finish(30 * time.Second); err != nil {
			t.Fatal(err)
		}
	}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	posts := s.post(ctx, addr)
	soaked, judged := s.state.Seconds, time.Now()
	defer func() { s.report(began, soaked) }()
	for soaked < soakTime.Seconds() {
		cycle := time.Now()
		if s.rng.IntN(3) > 0 {
			s.writeEmbedded(20 + s.rng.IntN(4**streamRate))
		}
		v := s.serve("weir", addr)
		time.Sleep(time.Duration(50+s.rng.IntN(3000)) * time.Millisecond)
		s.end(v)
		s.fault("weir killed")
		soaked += time.Since(cycle).Seconds()
		s.note(soaked, false)
		if time.Since(judged) > *verdictEvery {
			s.judgeEmbedded(addr)
			judged = time.Now()
		}
	}
	stop()
	s.writeEmbedded(*streamRate)
	s.judgeEmbedded(addr)
	if n := <-posts; n == 0 {
		t.Error("no device could post")
	} else {
		t.Logf("%d frames were posted", n)
	}
}

// broker opens the data of the server that is away.
func (s *pipelineSoak) broker() *embedded.Broker {
	s.Helper()
	b, err := embedded.Open(embedded.Options{Dir: filepath.Join(s.work, "weir", "kafka")})
	if err != nil {
		s.Fatalf("open the broker's data: %v", err)
	}
	return b
}

func (s *pipelineSoak) writeEmbedded(steps int) {
	s.Helper()
	ctx, cancel := context.WithTimeout(s.Context(), time.Minute)
	defer cancel()
	b := s.broker()
	w := s.writer(ctx, b.Options())
	if err := errors.Join(w.learn(ctx), w.write(ctx, steps), w.producer.Flush(ctx)); err != nil {
		s.Fatalf("write: %v", err)
	}
	w.close()
	if err := b.Close(); err != nil {
		s.Fatalf("close the broker's data: %v", err)
	}
}

// judgeEmbedded lets the server catch up, and compares when it has stopped.
func (s *pipelineSoak) judgeEmbedded(addr string) {
	s.Helper()
	v := s.serve("weir", addr)
	eventually(s.T, 3*time.Minute, "the pipeline has caught up", s.caughtUp(v))
	if err := v.finish(30 * time.Second); err != nil {
		s.Fatalf("stop: %v", err)
	}
	b := s.broker()
	defer b.Close()
	s.judge(b.Options())
}

// post lets devices post to the server whenever it is there. It tells how many frames were taken when ctx has ended.
func (s *pipelineSoak) post(ctx context.Context, addr string) <-chan int {
	taken := make(chan int, 1)
	go func() {
		n := 0
		rng := rand.New(rand.NewPCG(*soakSeed, 99))
		session := fmt.Sprint("live", time.Now().UnixNano())
		for seq := 1; ctx.Err() == nil; seq++ {
			d := &source{Path: fmt.Sprintf("live/press%d", rng.IntN(8)), Clock: time.Now().UnixMicro()}
			var body bytes.Buffer
			fmt.Fprintf(&body, `{"device":%q,"session":%q,"seq":%d,"readings":[`, d.Path, session, seq)
			for i := range 1 + rng.IntN(4) {
				if i > 0 {
					body.WriteByte(',')
				}
				metric, value := d.measure(rng)
				fmt.Fprintf(&body, `{"metric":%q,"ts":%d,"value":%g}`, metric, time.Now().UnixMicro(), value)
			}
			body.WriteString("]}")
			if s.postFrame(ctx, addr, body.Bytes()) {
				n++
			}
			time.Sleep(time.Duration(rng.IntN(20)) * time.Millisecond)
		}
		taken <- n
	}()
	return taken
}

func (s *pipelineSoak) postFrame(ctx context.Context, addr string, body []byte) bool {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+addr+"/v1/readings", bytes.NewReader(body))
	if err != nil {
		return false
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Authorization", "Bearer "+s.admin)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return false
	}
	response.Body.Close()
	return response.StatusCode == http.StatusOK
}
