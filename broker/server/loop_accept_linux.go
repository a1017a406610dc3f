package server

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// acceptor is a listener of an event loop.
type acceptor struct {
	// Set by serveLoops, never changed.
	server   *Server
	loop     *loop
	listener *Listener
	fd       int
	failed   chan error // capacity 1
	closed   chan struct{}

	// Owned by the loop.
	generation int32
	pace       pacer
	resume     time.Time // accepting goes on then; zero while it goes on
	next       int       // the loop that gets the next connection
	caughtUp   bool      // no connection waits that is older than the listener's options
}

// acceptsPerTurn bounds what new connections cost those that are there.
const acceptsPerTurn = 32

// serveLoops serves l by event loops, as Serve says. ok is false for a listener that needs goroutines.
func (s *Server) serveLoops(ctx context.Context, l Listener) (ok bool, err error) {
	raw, plain := plainListener(l.Listener)
	if !plain || s.opt.Loops < 0 {
		return false, nil
	}
	loops, err := s.theLoops()
	if err != nil {
		return true, err
	}
	fd, err := duplicate(raw)
	if err != nil {
		return true, fmt.Errorf("listener %s: %w", l.Name, err)
	}
	a := &acceptor{
		server: s, loop: loops[0], listener: &l, fd: fd, failed: make(chan error, 1), closed: make(chan struct{}),
		pace: pacer{perSecond: s.limits.AcceptsPerSecond, now: s.now},
	}
	a.loop.call(a.open)
	select {
	case <-ctx.Done():
	case <-s.stop:
	case err = <-a.failed:
	}
	a.loop.call(a.close)
	<-a.closed
	return true, err
}

// plainListener returns what gives access to the descriptor of a listener without TLS or anything else on top.
func plainListener(l net.Listener) (syscall.Conn, bool) {
	switch l := l.(type) {
	case *net.TCPListener:
		return l, true
	case *net.UnixListener:
		return l, true
	}
	return nil, false
}

// duplicate returns a descriptor of our own. Connections inherit what is set here, so that none needs a call for it.
func duplicate(l syscall.Conn) (fd int, err error) {
	raw, err := l.SyscallConn()
	if err != nil {
		return -1, err
	}
	fd = -1
	if e := raw.Control(func(their uintptr) { fd, err = unix.FcntlInt(their, unix.F_DUPFD_CLOEXEC, 0) }); e != nil {
		return -1, e
	}
	if err == nil {
		setOptions(fd)
	}
	return fd, err
}

// setOptions changes nothing on a unix socket.
func setOptions(fd int) {
	unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
	unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1)
	unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_KEEPIDLE, tcpKeepAlive)
	unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_KEEPINTVL, tcpKeepAlive)
}

// tcpKeepAlive is after how many quiet seconds the kernel asks whether the other side is there, and how often then.
const tcpKeepAlive = 15

// open begins accepting, on the loop.
func (a *acceptor) open() {
	var err error
	if a.generation, err = a.loop.add(a.fd, unix.EPOLLIN, a.ready); err != nil {
		a.fail(err)
		return
	}
	a.loop.acceptors = append(a.loop.acceptors, a)
}

// fail has Serve return err, which closes the acceptor; until then nothing more is accepted.
func (a *acceptor) fail(err error) {
	select {
	case a.failed <- err:
	default: // it knows
	}
	a.loop.control(unix.EPOLL_CTL_DEL, a.fd, 0, 0)
}

// close ends accepting, on the loop.
func (a *acceptor) close() {
	l := a.loop
	for i := range l.acceptors {
		if l.acceptors[i] == a {
			l.acceptors = append(l.acceptors[:i:i], l.acceptors[i+1:]...)
			break
		}
	}
	l.remove(a.fd)
	close(a.closed)
}

// ready accepts what waits in the kernel's queue.
func (a *acceptor) ready(uint32) {
	for range acceptsPerTurn {
		if wait := a.pace.take(); wait > 0 {
			a.pause(wait)
			return
		}
		fd, peer, err := unix.Accept4(a.fd, unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
		switch {
		case err == nil:
			if !a.caughtUp {
				setOptions(fd)
			}
			a.hand(fd, remoteOf(fd, peer))
			continue
		case err == unix.EAGAIN:
			a.caughtUp = true
		case err == unix.EINTR:
		case isResource(err):
			a.server.log.Warn("accept", "part", "broker", "listener", a.listener.Name, "err", err)
			a.pause(100 * time.Millisecond) // descriptors may come back
		default:
			a.fail(err)
		}
		a.pace.giveBack()
		return
	}
}

// hand gives a connection to one loop after the other.
func (a *acceptor) hand(fd int, remote string) {
	l := a.server.loops[a.next%len(a.server.loops)]
	a.next++
	if l == a.loop {
		l.addConn(fd, remote, a.listener)
		return
	}
	l.call(func() { l.addConn(fd, remote, a.listener) })
}

// pause accepts no more for a while.
func (a *acceptor) pause(d time.Duration) {
	a.resume = a.loop.now.Add(d)
	a.loop.control(unix.EPOLL_CTL_DEL, a.fd, 0, 0)
}

// resumeAt goes on accepting when it is time.
func (a *acceptor) resumeAt(now time.Time) {
	if a.resume.IsZero() || now.Before(a.resume) {
		return
	}
	a.resume = time.Time{}
	if err := a.loop.control(unix.EPOLL_CTL_ADD, a.fd, unix.EPOLLIN, a.generation); err != nil {
		a.fail(err)
	}
}

// remoteOf names the other side, host:port, or of a unix socket the process.
func remoteOf(fd int, peer unix.Sockaddr) string {
	switch p := peer.(type) {
	case *unix.SockaddrInet4:
		return netip.AddrPortFrom(netip.AddrFrom4(p.Addr), uint16(p.Port)).String()
	case *unix.SockaddrInet6:
		addr := netip.AddrFrom16(p.Addr).Unmap()
		if p.ZoneId != 0 {
			if zone, err := net.InterfaceByIndex(int(p.ZoneId)); err == nil {
				addr = addr.WithZone(zone.Name)
			}
		}
		return netip.AddrPortFrom(addr, uint16(p.Port)).String()
	}
	return peerOf(fd)
}
