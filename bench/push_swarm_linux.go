package bench

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"weir/internal/wsframe"
)

const (
	// dialers is how many handshakes are under way at a time, readyTimeout how long one may take.
	dialers      = 16
	readyTimeout = 30 * time.Second
	readSize     = 256 << 10
)

// poller reads from the sockets that have something.
type poller struct {
	epoll int
	stop  chan struct{}
}

// Dial connects all and returns when they are ready, and are being read from unless they are to stall.
func Dial(ctx context.Context, o SwarmOptions) (*Swarm, error) {
	s := &Swarm{options: o, conns: make([]swarmConn, o.Conns), endings: make(map[string]int)}
	s.Record()
	s.recording.Store(false)
	var err error
	if s.reader.epoll, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return nil, fmt.Errorf("epoll: %w", err)
	}
	s.reader.stop = make(chan struct{})
	s.wait.Go(s.read)
	if err := s.dialAll(ctx); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

func (s *Swarm) dialAll(ctx context.Context) error {
	next := make(chan int)
	failed := make(chan error, dialers)
	var wait sync.WaitGroup
	for range dialers {
		wait.Go(func() {
			for i := range next {
				if err := s.dial(i); err != nil {
					failed <- fmt.Errorf("connection %d of %d: %w", i, len(s.conns), err)
					return
				}
			}
		})
	}
	var err error
	for i := range s.conns {
		s.conns[i].fd = -1
	}
	for i := range s.conns {
		select {
		case next <- i:
			continue
		case err = <-failed:
		case <-ctx.Done():
			err = ctx.Err()
		}
		break
	}
	close(next)
	wait.Wait()
	select {
	case late := <-failed:
		err = errors.Join(err, late)
	default:
	}
	return err
}

// dial opens a connection, waits until it is ready, and hands it to the reader.
func (s *Swarm) dial(i int) error {
	c := &s.conns[i]
	c.swarm = s
	if n := s.options.Probes; n > 0 && i%max(1, len(s.conns)/n) == 0 {
		c.probe = &Probe{swarm: s}
	}
	fd, err := s.connect(i)
	if err != nil {
		return err
	}
	c.fd = fd
	if err := c.handshake(i); err != nil {
		return err
	}
	if s.options.Stalled {
		return nil
	}
	if err := unix.SetNonblock(fd, true); err != nil {
		return err
	}
	c.handed.Store(true)
	return unix.EpollCtl(s.reader.epoll, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(i)})
}

func (s *Swarm) connect(i int) (fd int, err error) {
	to, err := netip.ParseAddrPort(s.options.Address)
	if err != nil {
		return -1, err
	}
	if fd, err = unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0); err != nil {
		return -1, fmt.Errorf("socket: %w", err)
	}
	timeout := unix.NsecToTimeval(int64(readyTimeout))
	err = errors.Join(
		unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &timeout),
		unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_SNDTIMEO, &timeout),
	)
	if n := s.options.ReceiveBuffer; n > 0 {
		err = errors.Join(err, unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, n))
	}
	if sources := s.options.Sources; len(sources) > 0 && err == nil {
		var from netip.Addr
		if from, err = netip.ParseAddr(sources[i%len(sources)]); err == nil {
			err = errors.Join(
				unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1),
				unix.Bind(fd, &unix.SockaddrInet4{Addr: from.As4()}),
			)
		}
	}
	if err == nil {
		err = unix.Connect(fd, &unix.SockaddrInet4{Addr: to.Addr().As4(), Port: int(to.Port())})
		if errors.Is(err, unix.EINTR) { // it goes on
			err = connected(fd)
		}
	}
	if err != nil {
		_ = unix.Close(fd)
		return -1, fmt.Errorf("connect: %w", err)
	}
	return fd, nil
}

// connected waits until a connect that was interrupted is done.
func connected(fd int) error {
	fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLOUT}}
	if _, err := again(func() (int, error) { return unix.Poll(fds, int(readyTimeout.Milliseconds())) }); err != nil {
		return err
	}
	code, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ERROR)
	if err == nil && code != 0 {
		err = unix.Errno(code)
	}
	return err
}

// again makes a system call that signals may interrupt.
func again(call func() (int, error)) (n int, err error) {
	for {
		if n, err = call(); !errors.Is(err, unix.EINTR) {
			return n, err
		}
	}
}

// handshake upgrades, says hello and reads until the connection is ready. What comes is counted from then on.
func (c *swarmConn) handshake(i int) error {
	o := &c.swarm.options
	request := fmt.Sprintf("GET %s HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
		"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n", o.Path(i), o.Address)
	if _, err := again(func() (int, error) { return unix.Write(c.fd, []byte(request)) }); err != nil {
		return fmt.Errorf("request: %w", err)
	}
	var seen []byte
	buf := make([]byte, 64<<10)
	upgraded := false
	for !upgraded || bytes.Count(seen, []byte(o.Ready)) < o.ReadyCount {
		n, err := again(func() (int, error) { return unix.Read(c.fd, buf) })
		if err == nil && n == 0 {
			err = fmt.Errorf("ended after %.300q", seen)
		}
		if err != nil {
			return fmt.Errorf("handshake: %w", err)
		}
		seen = append(seen, buf[:n]...)
		if upgraded {
			if err := c.feed(buf[:n], time.Now().UnixMicro()); err != nil {
				return err
			}
			continue
		}
		end := bytes.Index(seen, []byte("\r\n\r\n"))
		if end < 0 {
			continue
		}
		if !bytes.HasPrefix(seen, []byte("HTTP/1.1 101")) {
			return fmt.Errorf("handshake: %.300q", seen)
		}
		upgraded = true
		if seen = seen[end+4:]; len(seen) > 0 {
			if err := c.feed(bytes.Clone(seen), time.Now().UnixMicro()); err != nil {
				return err
			}
		}
		if err := c.hello(o.Hello(i)); err != nil {
			return err
		}
	}
	c.tally = tally{}
	return nil
}

func (c *swarmConn) hello(messages []string) error {
	var out []byte
	for _, text := range messages {
		out = appendClientFrame(out, []byte(text))
	}
	if len(out) == 0 {
		return nil
	}
	_, err := again(func() (int, error) { return unix.Write(c.fd, out) })
	return err
}

// pong answers a ping. A socket that cannot take so little is as good as lost.
func (c *swarmConn) pong(payload []byte) error {
	b := appendClientFrame(nil, payload)
	b[0] = wsframe.Final | wsframe.OpPong
	_, err := again(func() (int, error) { return unix.Write(c.fd, b) })
	return err
}

// read is the reader: as much as a socket has, in the order in which they are found to have something.
func (s *Swarm) read() {
	events := make([]unix.EpollEvent, 512)
	buf := make([]byte, readSize)
	for {
		select {
		case <-s.reader.stop:
			return
		default:
		}
		const pause = 100 // ms
		n, err := unix.EpollWait(s.reader.epoll, events, pause)
		if err != nil && !errors.Is(err, unix.EINTR) {
			s.lose(fmt.Errorf("epoll: %w", err))
			return
		}
		for i := range max(n, 0) {
			c := &s.conns[events[i].Fd]
			if !c.handed.Load() { // it is, or there would be no event
				continue
			}
			got, err := unix.Read(c.fd, buf)
			switch {
			case errors.Is(err, unix.EAGAIN), errors.Is(err, unix.EINTR):
				continue
			case err == nil && got == 0:
				err = errClosed
			case err == nil:
				err = c.feed(buf[:got], time.Now().UnixMicro())
			}
			s.count(&c.tally)
			if err != nil {
				s.lose(err)
				_ = unix.EpollCtl(s.reader.epoll, unix.EPOLL_CTL_DEL, c.fd, nil)
			}
		}
	}
}

// Trickle reads from connections that are stalled otherwise, at so many bytes a second each, until Close.
func (s *Swarm) Trickle(bytesPerSecond int) {
	const step = 50 * time.Millisecond
	chunk := max(1, bytesPerSecond*int(step/time.Millisecond)/1000)
	for i := range s.conns {
		c := &s.conns[i]
		s.wait.Go(func() {
			buf := make([]byte, chunk)
			tick := time.NewTicker(step)
			defer tick.Stop()
			for {
				select {
				case <-s.reader.stop:
					return
				case <-tick.C:
				}
				n, err := again(func() (int, error) { return unix.Read(c.fd, buf) })
				switch {
				case err == nil && n == 0:
					err = errClosed
				case err == nil:
					err = c.feed(buf[:n], time.Now().UnixMicro())
				}
				s.count(&c.tally)
				if err != nil {
					s.lose(err)
					return
				}
			}
		})
	}
}

// Close ends all connections without a word.
func (s *Swarm) Close() {
	close(s.reader.stop)
	if s.options.Stalled {
		for i := range s.conns {
			_ = unix.Shutdown(s.conns[i].fd, unix.SHUT_RDWR) // who waits in a read wakes up
		}
	}
	s.wait.Wait()
	for i := range s.conns {
		if fd := s.conns[i].fd; fd >= 0 {
			_ = unix.Close(fd)
		}
	}
	_ = unix.Close(s.reader.epoll)
}

// openFiles is how many files a process of this user may open.
func openFiles() (int, error) {
	var limit unix.Rlimit
	err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit)
	return int(min(limit.Max, 1<<30)), err
}
