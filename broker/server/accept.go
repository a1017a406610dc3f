package server

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"syscall"
	"time"
)

// Serve accepts connections until ctx ends or Shutdown is called (then it returns nil), or the listener fails. It closes
// the listener; the connections it accepted live on until Shutdown.
func (s *Server) Serve(ctx context.Context, l Listener) error {
	if !s.addListener(l) {
		return ErrClosed
	}
	defer s.removeListener(l)
	if done, err := s.serveLoops(ctx, l); done {
		return err
	}
	stop := context.AfterFunc(ctx, func() { l.Close() })
	defer stop()
	pace := pacer{perSecond: s.limits.AcceptsPerSecond, now: s.now}
	for {
		if !pace.wait(ctx, s.stop) {
			return nil
		}
		c, err := l.Accept()
		if err != nil {
			if ctx.Err() != nil || s.isClosed() {
				return nil
			}
			if ne := net.Error(nil); errors.As(err, &ne) && ne.Timeout() || isResource(err) {
				s.log.Warn("accept", "part", "broker", "listener", l.Name, "err", err)
				pace.pause(ctx, s.stop, 100*time.Millisecond) // descriptors may come back
				continue
			}
			return err
		}
		s.startConn(ctx, c, l)
	}
}

// startConn serves nc on a goroutine of its own, which Shutdown waits for.
func (s *Server) startConn(ctx context.Context, nc net.Conn, l Listener) {
	if w := s.newStream(nc, &l); w != nil {
		go w.serve(context.WithoutCancel(ctx))
	}
}

// ServeConn serves one connection that came through l and returns when it has ended.
func (s *Server) ServeConn(ctx context.Context, nc net.Conn, l Listener) {
	if w := s.newStream(nc, &l); w != nil {
		w.serve(ctx)
	}
}

// strangers is how many connections that have not logged in are held beside Limits.Clients.
const strangers = 2048

// admit counts a connection in, unless there are too many; w is its wire, and d its reader's.
func (s *Server) admit(c *conn, w wire, d *delivering, remote string, l *Listener) bool {
	addr := countedAddr(remote)
	s.mu.Lock()
	reason := s.refusalLocked(addr)
	if reason == "" && !s.closed {
		*c = conn{
			server: s, wire: w, deliver: d, listener: l, remote: remote, addr: addr, since: s.now(), expiry: -1,
			released: make(chan struct{}),
		}
		c.in.conn, c.in.mem = c, &s.buffers
		s.countLocked(c)
		s.mu.Unlock()
		return true
	}
	s.mu.Unlock()
	if reason != "" {
		s.refused(reason, hostOf(remote), remote, l.Name, errTooMany)
	}
	return false
}

var errTooMany = errors.New("closed unread")

// refusalLocked is why no more connections of addr are taken now, "" if they are.
func (s *Server) refusalLocked(addr netip.Addr) string {
	s.faults.passLocked(s, s.now())
	switch {
	case s.limits.Clients > 0 && len(s.conns)-s.loggedIn >= strangers:
		return RefuseStrangers
	case s.limits.ConnectionsPerAddress > 0 && s.addresses[addr] >= s.limits.ConnectionsPerAddress:
		return RefuseAddress
	}
	return ""
}

// countLocked counts a connection in; dismiss counts it out.
func (s *Server) countLocked(c *conn) {
	if c.addr.IsValid() {
		s.addresses[c.addr]++
	}
	s.conns[c] = struct{}{}
	s.accepted++
	s.serving.Add(1)
	s.reading.Add(1)
}

// dismiss counts a connection out.
func (s *Server) dismiss(c *conn) {
	c.forgetOut()
	s.mu.Lock()
	delete(s.conns, c)
	s.ended.add(c)
	s.ended.waiting = 0
	if c.addr.IsValid() {
		s.faults.leaveLocked(s, c)
	}
	s.mu.Unlock()
	s.serving.Done()
}

// countedAddr returns the address to count, the zero Addr for loopback and for what has none.
func countedAddr(remote string) netip.Addr {
	ap, err := netip.ParseAddrPort(remote)
	if err != nil || ap.Addr().Unmap().IsLoopback() {
		return netip.Addr{}
	}
	addr := ap.Addr().Unmap()
	if addr.Is4() || addr.IsLinkLocalUnicast() { // link-local: one network for all of a plant's devices
		return addr
	}
	p, err := addr.WithZone("").Prefix(64) // one subscriber's network
	if err != nil {
		return netip.Addr{}
	}
	return p.Addr()
}

func (s *Server) addListener(l Listener) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	s.listeners[l.Listener] = struct{}{}
	s.serving.Add(1)
	return true
}

func (s *Server) removeListener(l Listener) {
	l.Close()
	s.mu.Lock()
	delete(s.listeners, l.Listener)
	s.mu.Unlock()
	s.serving.Done()
}

func (s *Server) isClosed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closed
}

// pacer lets perSecond accepts through each second, as many at once; what comes faster waits in the kernel's queue.
type pacer struct {
	perSecond int
	now       func() time.Time
	left      float64
	last      time.Time
}

// wait returns false when the listener is to end.
func (p *pacer) wait(ctx context.Context, stop <-chan struct{}) bool {
	for {
		wait := p.take()
		if wait == 0 {
			return true
		}
		if !p.pause(ctx, stop, wait) {
			return false
		}
	}
}

// take lets one through now and returns 0, or returns how long to wait before the next attempt.
func (p *pacer) take() time.Duration {
	if p.perSecond <= 0 {
		return 0
	}
	now := p.now()
	if p.last.IsZero() {
		p.left = float64(p.perSecond)
	} else {
		p.left = min(p.left+now.Sub(p.last).Seconds()*float64(p.perSecond), float64(p.perSecond))
	}
	p.last = now
	if p.left >= 1 {
		p.left--
		return 0
	}
	return time.Second/time.Duration(p.perSecond) + time.Millisecond
}

// giveBack undoes a take that nothing came through for.
func (p *pacer) giveBack() { p.left++ }

func (p *pacer) pause(ctx context.Context, stop <-chan struct{}, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	case <-stop:
		return false
	}
}

// isResource tells errors of accept that pass when connections end.
func isResource(err error) bool {
	return errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE) ||
		errors.Is(err, syscall.ENOBUFS) || errors.Is(err, syscall.ENOMEM) || errors.Is(err, syscall.ECONNABORTED)
}
