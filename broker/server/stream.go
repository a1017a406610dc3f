package server

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"time"

	"edge/broker/packets"
)

// stream is a connection over a net.Conn: TLS, WebSocket, pipes, and TCP where there is no event loop. One goroutine
// reads, one writes.
type stream struct {
	// Set by Server.newStream, never changed.
	conn    *conn
	net     net.Conn
	wake    chan struct{} // to writeLoop: there is something to write; never closed
	written chan struct{} // closed by writeLoop when it ends
	exact   bool          // no read may meet a deadline that was set too early: WebSocket

	// Owned by readLoop.
	delivering delivering
	readUntil  time.Time // the read deadline that is set on the connection

	// Owned by writeLoop.
	writeUntil time.Time // the write deadline that is set on the connection
	pieces     net.Buffers

	// Guarded by conn.out.mu.
	room sync.Cond // conn.fullLocked may have become false
}

// newStream admits nc, or closes it and returns nil.
func (s *Server) newStream(nc net.Conn, l *Listener) *stream {
	w := &stream{
		conn: new(conn), net: nc, wake: make(chan struct{}, 1), written: make(chan struct{}), delivering: delivering{server: s, topics: packets.Topics{Max: 64}},
	}
	w.room.L = &w.conn.out.mu
	_, w.exact = nc.(*wsConn)
	if !s.admit(w.conn, w, &w.delivering, remoteName(nc), l) {
		nc.Close()
		return nil
	}
	return w
}

// serve runs the connection to its end, on the goroutine that reads.
func (w *stream) serve(ctx context.Context) {
	c := w.conn
	defer c.server.dismiss(c)
	if !w.login(ctx) {
		c.in.free()
		w.hangUp()
		c.server.reading.Done()
		return
	}
	w.startWriting()
	err := w.readLoop()
	reason, last := c.reasonFor(err)
	c.finish(reason, last, err)
	<-w.written
}

// login reads CONNECT and lets the client in. False: refused, nothing is left of it.
func (w *stream) login(ctx context.Context) bool {
	c := w.conn
	frame, err := w.readConnect()
	if err != nil {
		c.refuseMalformed(err)
		return false
	}
	p, err := c.decodeConnect(frame)
	if err != nil {
		c.refuseMalformed(err)
		return false
	}
	c.connectCame(p, len(frame))
	if err := w.enter(ctx, p); err != nil {
		c.refuse(err)
		return false
	}
	c.welcome()
	return true
}

// readConnect reads the first packet. It has Limits.ConnectTimeout from accept, a TLS handshake included; single bytes do
// not renew that.
func (w *stream) readConnect() ([]byte, error) {
	c := w.conn
	if until := c.loginDeadline(); !until.IsZero() {
		w.net.SetDeadline(until) // writes of a TLS handshake too
		w.readUntil = until
	}
	if err := handshake(w.net); err != nil {
		return nil, err
	}
	first := func() error { return mayBeConnect(c.in.waiting()) }
	return w.readFrame(c.server.limits.ConnectPacketBytes, first, c.loginDeadline)
}

// enter lets the client in. Where CONNECT names an authentication method that is a conversation.
func (w *stream) enter(ctx context.Context, p *packets.Connect) error {
	c := w.conn
	if p.AuthMethod == "" {
		return c.enter(ctx, p, mayWait)
	}
	more, err := c.beginLogin(p)
	for err == nil && more != nil {
		more, err = w.ask(more)
	}
	if err != nil {
		return err
	}
	return c.connectEnhanced(ctx, mayWait)
}

// ask sends an AUTH and takes the next packet, before there is a writeLoop. The deadline of the login holds for both.
func (w *stream) ask(p *packets.Auth) (more *packets.Auth, err error) {
	c := w.conn
	b := p.Append(nil, c.version)
	c.countSent(p, len(b))
	if _, err := w.net.Write(b); err != nil {
		return nil, errUnfinished
	}
	first := func() error { return mayBeAuth(c.in.waiting()) }
	frame, err := w.readFrame(maxAuthPacket, first, c.loginDeadline)
	if err != nil {
		return nil, notFinished(err)
	}
	return c.continueLogin(frame)
}

// readLoop reads, and handles what was read, until the connection ends. What one read caused to be written goes out
// in one write per connection when it has been handled.
func (w *stream) readLoop() error {
	c := w.conn
	defer c.deliver.turn.flush()
	c.deliver.now = c.server.now()
	between := func() error {
		c.deliver.turn.flush()
		w.waitForRoom()
		return nil
	}
	for {
		frame, err := w.readFrame(c.server.limits.PacketBytes, between, c.readDeadline)
		if err != nil {
			return c.explain(err)
		}
		c.deliver.now = c.in.heard
		if err := c.handleAll(frame); err != nil {
			return err
		}
	}
}

// readFrame returns the next packet; it stays valid until the next call. between is called before waiting for bytes.
// limit is the largest packet taken and deadline says until when to wait.
func (w *stream) readFrame(limit int, between func() error, deadline func() time.Time) ([]byte, error) {
	in := &w.conn.in
	for {
		frame, rest, err := in.next(in.waiting(), limit)
		if err != nil {
			return nil, err
		}
		if frame != nil {
			in.r = in.w - len(rest)
			return frame, nil
		}
		if err := between(); err != nil {
			return nil, err
		}
		if err := w.fill(deadline); err != nil {
			return nil, err
		}
	}
}

// fill reads what has come, waiting until the deadline for the first byte. The deadline is set on the connection
// only when the one that is set would come too late; if it comes too early, fill waits on.
func (w *stream) fill(deadline func() time.Time) error {
	c := w.conn
	space := c.in.space()
	for {
		until := deadline()
		if w.exact || !until.Equal(w.readUntil) && (w.readUntil.IsZero() || until.IsZero() || until.Before(w.readUntil) || !w.readUntil.After(c.server.now())) {
			if err := w.net.SetReadDeadline(until); err != nil {
				return err
			}
			w.readUntil = until
			if c.reasonKicked() != "" { // interrupt set a deadline that this one may have undone
				return os.ErrDeadlineExceeded
			}
		}
		n, err := w.net.Read(space)
		if n > 0 {
			c.in.w += n
			c.received.bytes.Add(uint64(n))
			c.in.heard = c.server.now()
			return nil
		}
		if err == nil {
			continue
		}
		if !errors.Is(err, os.ErrDeadlineExceeded) || c.reasonKicked() != "" {
			return err
		}
		if until = deadline(); !until.IsZero() && !c.server.now().Before(until) {
			return err
		}
	}
}

// waitForRoom keeps readLoop from reading more while the connection is full.
func (w *stream) waitForRoom() {
	c := w.conn
	c.out.mu.Lock()
	defer c.out.mu.Unlock()
	if !c.fullLocked() {
		return
	}
	since := c.server.now()
	for c.fullLocked() && c.reasonKicked() == "" {
		w.room.Wait()
	}
	c.in.pausedFor(c.server.now().Sub(since))
}

// yield lets go on: the goroutine serves one connection.
func (w *stream) yield() bool { return false }

func (w *stream) roomLocked() { w.room.Broadcast() }

var longAgo = time.Unix(1, 0)

func (w *stream) interrupt() { w.net.SetReadDeadline(longAgo) }

func (w *stream) closing() {
	w.net.SetWriteDeadline(time.Now().Add(lastWrite))
	w.signal()
}

func (w *stream) cut() {
	closeNow(w.net)
	w.signal()
}

func (w *stream) tls() *tls.ConnectionState { return tlsState(w.net) }

// hangUp closes the connection in order.
func (w *stream) hangUp() {
	if ws, ok := w.net.(*wsConn); ok {
		ws.CloseWrite()
	}
	w.net.Close()
}

// refuse writes before there is a writeLoop.
func (w *stream) refuse(last []byte) {
	w.net.SetWriteDeadline(time.Now().Add(lastWrite))
	w.net.Write(last)
	if half, ok := w.net.(interface{ CloseWrite() error }); ok { // else unread bytes make the kernel reset the answer away
		half.CloseWrite()
		w.net.SetReadDeadline(time.Now().Add(lingering))
		io.CopyN(io.Discard, w.net, largeBuffer)
	}
}
