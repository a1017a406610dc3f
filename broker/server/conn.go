package server

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"sync"
	"time"

	"edge/broker"
	"edge/broker/auth"
	"edge/broker/packets"
	"edge/broker/session"
	"edge/broker/topic"
)

// conn is one network connection.
type conn struct {
	// Set by newConn, never changed.
	server   *Server
	net      net.Conn
	listener Listener
	addr     netip.Addr // as counted; zero if it is not
	since    time.Time
	direct   *direct       // nil: only writeLoop writes (TLS, WebSocket, net.Pipe)
	wake     chan struct{} // to writeLoop: there is something to write; never closed
	written  chan struct{} // closed by writeLoop when it ends
	released chan struct{} // closed by readLoop's goroutine when the session is free for another connection

	// Set by login before writeLoop starts, never changed.
	version   packets.Version
	client    *client // nil until logged in
	identity  auth.Identity
	cert      string
	tls       bool
	keepAlive time.Duration // 0: off
	maxPacket int           // the client's Maximum Packet Size, 0: none
	clean     bool          // the client asked for a session that ends with the connection, and may not prolong it

	// Owned by readLoop.
	in         inbox
	deliver    delivering
	publish    packets.Publish
	aliases    []topic.Name // by alias - 1
	withdrawn  bool         // DISCONNECT 0x00 came: no will
	expiry     time.Duration
	endReason  broker.Reason // why readLoop ended, if nobody kicked it before
	publishing session.Output

	out      outbox
	received received

	kickMu sync.Mutex
	kicked broker.Reason // the first reason given by kick, "" while alive
}

func newConn(s *Server, nc net.Conn, l Listener, addr netip.Addr) *conn {
	c := &conn{
		server: s, net: nc, listener: l, addr: addr, since: s.now(), expiry: -1,
		wake: make(chan struct{}, 1), written: make(chan struct{}), released: make(chan struct{}),
	}
	if tcp, ok := nc.(*net.TCPConn); ok {
		c.direct = newDirect(tcp)
	}
	c.deliver = delivering{server: s}
	c.out.room.L = &c.out.mu
	return c
}

// serve runs the connection to its end, on the goroutine that reads.
func (c *conn) serve(ctx context.Context) {
	defer c.server.dismiss(c)
	if !c.login(ctx) {
		c.in.free()
		c.net.Close()
		c.server.reading.Done()
		return
	}
	c.startWriting()
	reason, last := c.reasonFor(c.readLoop())
	c.in.free()
	c.end(reason)
	if reason == broker.ReasonLost {
		c.abort()
	} else {
		c.closeOut(last)
	}
	<-c.written
}

// errEnd ends readLoop without a fault: DISCONNECT came.
var errEnd = errors.New("disconnected")

// reasonFor says in an operator's words how readLoop ended, and what a 5.0 client is told if it is at fault [MQTT-4.13.1-1].
func (c *conn) reasonFor(err error) (reason broker.Reason, last *packets.Disconnect) {
	var fault *packets.Error
	switch kicked := c.reasonKicked(); {
	case kicked != "":
		return kicked, nil // who kicked has said it
	case errors.Is(err, errEnd):
		return c.endReason, nil
	case errors.Is(err, errKeepAlive):
		return broker.ReasonKeepAlive, &packets.Disconnect{Code: packets.KeepAliveTimeout}
	case errors.As(err, &fault):
		c.server.log.Info("protocol error", "part", "broker", "client", c.client.id, "remote", c.remote(), "err", err)
		return broker.ReasonProtocol, &packets.Disconnect{Code: fault.Code}
	case errors.Is(err, errStore):
		return broker.ReasonStore, nil
	}
	return broker.ReasonLost, nil
}

// kick ends the connection from outside: the client is told code, what waits is written, then it is closed.
func (c *conn) kick(reason broker.Reason, code packets.ReasonCode) {
	c.kickMu.Lock()
	first := c.kicked == ""
	if first {
		c.kicked = reason
	}
	c.kickMu.Unlock()
	if first {
		c.closeOut(&packets.Disconnect{Code: code})
		c.net.SetReadDeadline(longAgo)
	}
}

// pause ends reading and leaves the rest to shutdown.
func (c *conn) pause() {
	c.kickMu.Lock()
	if c.kicked == "" {
		c.kicked = broker.ReasonShutdown
	}
	c.kickMu.Unlock()
	c.net.SetReadDeadline(longAgo)
	c.out.mu.Lock()
	c.out.room.Broadcast()
	c.out.mu.Unlock()
}

func (c *conn) reasonKicked() broker.Reason {
	c.kickMu.Lock()
	defer c.kickMu.Unlock()
	return c.kicked
}

var longAgo = time.Unix(1, 0)

func (c *conn) remote() string { return c.net.RemoteAddr().String() }

// The errors that end a read.
var (
	errKeepAlive = errors.New("keep alive timeout")
)

// isEnd tells errors that are the end of a connection and no news.
func isEnd(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, net.ErrClosed) || errors.Is(err, io.ErrClosedPipe)
}
