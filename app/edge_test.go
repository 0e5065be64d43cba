package app

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

func TestAHandshakeThatComesSlowlyIsGivenUp(t *testing.T) {
	c := memory()
	c.HeaderTimeout = 300 * time.Millisecond
	r := start(t, c)
	conn, err := net.Dial("tcp", r.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	closed := make(chan struct{})
	go func() {
		defer close(closed)
		_, _ = io.Copy(io.Discard, conn)
	}()
	request := "GET /v1/ingest HTTP/1.1\r\nHost: " + r.Addr().String() + "\r\nUpgrade: websocket\r\nX-Pad: " + strings.Repeat("x", 4000)
	for i := range request {
		if _, err := conn.Write([]byte{request[i]}); err != nil {
			break
		}
		select {
		case <-closed:
			return
		case <-time.After(20 * time.Millisecond): // the client's speed
		}
		if i > 1000 {
			t.Fatal("still open")
		}
	}
	<-closed
}

func TestHeadersAreBounded(t *testing.T) {
	c := memory()
	c.MaxHeaderBytes = 8 << 10
	r := start(t, c)
	conn, err := net.Dial("tcp", r.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(patience))
	request := "GET /v1/ingest HTTP/1.1\r\nHost: " + r.Addr().String() + "\r\nX-Pad: " + strings.Repeat("x", 16<<10) + "\r\n\r\n"
	if _, err := conn.Write([]byte(request)); err != nil {
		t.Fatal(err)
	}
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil || res.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
		t.Errorf("%v, %v", res, err)
	}
}
