package server

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"edge/broker"
	"edge/broker/auth"
	"edge/broker/packets"
	"edge/broker/router"
	"edge/broker/topic"
)

// conn is one network connection. What it does with packets is the same whatever brings them: see wire.
type conn struct {
	// Set by admit, never changed.
	server   *Server
	wire     wire
	listener *Listener
	remote   string     // host:port, for logs and the page
	addr     netip.Addr // as counted; zero if it is not
	since    time.Time
	released chan struct{} // closed when the session is free for another connection

	// Set by login before anyone else knows the connection, never changed.
	version   packets.Version // V4 or V5
	level     packets.Version // as CONNECT names it: V31 is served as V4
	tls       bool
	problems  bool    // the client takes Reason Strings in every packet [MQTT-3.1.2-29]
	clean     bool    // the client asked for a session that ends with the connection, and may not prolong it
	client    *client // nil until logged in
	claimed   claim   // of CONNECT
	identity  auth.Identity
	cert      string
	keepAlive time.Duration // 0: off
	maxPacket int           // the client's Maximum Packet Size, 0: none
	enhanced  *enhanced     // nil: CONNECT named no authentication method

	// Owned by who reads.
	in         inbox
	deliver    *delivering  // of the goroutine that reads
	rest       rest         // of the packet that is being handled; nil: none
	routing    *router.Rest // of the message that rest is about; nil: it is about none
	aliases    []topic.Name // by alias - 1
	aliasBytes int          // of aliases
	withdrawn  bool         // DISCONNECT 0x00 came: no will
	expiry     time.Duration
	faulty     bool          // what the client sent ended it
	endReason  broker.Reason // why reading ended, if nobody kicked it before
	endDetail  string        // of a protocol error

	known    topicAliases // by the client; guarded by client.mu
	out      outbox
	received received
	traced   atomic.Pointer[trace] // nil: nobody traces the client

	kickMu   sync.Mutex
	kicked   broker.Reason       // the first reason given by kick, "" while alive
	lastWord *packets.Disconnect // what the client is told of it; nil: nothing
}

// claim is who a CONNECT says it is, before anyone has checked it.
type claim struct {
	id, user string
	will     topic.Name
}

// wire is how the bytes of a connection come and go: stream has a goroutine for each direction of a net.Conn, looped is
// a descriptor of an event loop. None of its methods waits.
type wire interface {
	flush()                    // what has gathered in the outbox is to be written
	interrupt()                // reading is to end; conn.kicked says why
	closing()                  // outbox.closing was set: the rest is written within lastWrite, then the connection is closed
	cut()                      // outbox.aborted was set: the connection is closed now
	roomLocked()               // conn.fullLocked may have become false; outbox.mu is held
	yield() bool               // others wait for this goroutine: stop, roomAgain comes soon; false: go on
	refuse(last []byte)        // a login failed: last is written and the connection closed; before any of the others
	tls() *tls.ConnectionState // nil without TLS
}

// rest is what is left of a packet that takes long: a portion of it is done by each call. Whoever reads goes on with it, after what others
// have brought, before the connection's next packet.
type rest func() (done bool, err error)

// errEnd ends reading without a fault: DISCONNECT came.
var errEnd = errors.New("disconnected")

// reasonFor says in an operator's words how reading ended, and what a 5.0 client is told if it is at fault [MQTT-4.13.1-1].
func (c *conn) reasonFor(err error) (reason broker.Reason, last *packets.Disconnect) {
	var fault *packets.Error
	switch kicked, lastWord := c.kickedFor(); {
	case kicked != "":
		return kicked, lastWord // who kicked says it as well, and perhaps later than this
	case errors.Is(err, errEnd):
		return c.endReason, nil
	case errors.Is(err, errKeepAlive):
		return broker.ReasonKeepAlive, &packets.Disconnect{Code: packets.KeepAliveTimeout}
	case errors.As(err, &fault):
		if !errors.Is(err, errPacketTime) { // which is counted by its own reason
			c.refused(RefuseProtocol, err)
			c.atFault()
		}
		c.endDetail = fault.Detail
		return broker.ReasonProtocol, &packets.Disconnect{Code: fault.Code, ReasonString: fault.Detail}
	case errors.Is(err, errStore):
		return broker.ReasonStore, nil
	case errors.Is(err, errReauth):
		return broker.ReasonAuth, &packets.Disconnect{Code: packets.NotAuthorized} // [MQTT-4.12.1-2]
	}
	return broker.ReasonLost, nil
}

// finish ends the session's part of the connection, and then what is left of the connection. reason and last are reasonFor's, which is
// asked once: a kick may come at any time.
func (c *conn) finish(reason broker.Reason, last *packets.Disconnect, err error) {
	c.traceEnd(reason, err)
	c.in.free()
	c.end(reason)
	if reason == broker.ReasonLost {
		c.abort()
	} else {
		c.closeOut(last)
	}
}

// kick ends the connection from outside: the client is told code, what waits is written, then it is closed.
func (c *conn) kick(reason broker.Reason, code packets.ReasonCode) {
	if last := (&packets.Disconnect{Code: code}); c.kickFirst(reason, last) {
		c.closeOut(last)
		c.wire.interrupt()
	}
}

// kickFirst keeps the reason and what the client is told, unless there was one before.
func (c *conn) kickFirst(reason broker.Reason, lastWord *packets.Disconnect) bool {
	c.kickMu.Lock()
	defer c.kickMu.Unlock()
	if c.kicked != "" {
		return false
	}
	c.kicked, c.lastWord = reason, lastWord
	return true
}

// pause ends reading and leaves the rest to shutdown.
func (c *conn) pause() {
	c.kickFirst(broker.ReasonShutdown, nil)
	c.wire.interrupt()
	c.out.mu.Lock()
	c.wire.roomLocked()
	c.out.mu.Unlock()
}

func (c *conn) reasonKicked() broker.Reason {
	reason, _ := c.kickedFor()
	return reason
}

func (c *conn) kickedFor() (broker.Reason, *packets.Disconnect) {
	c.kickMu.Lock()
	defer c.kickMu.Unlock()
	return c.kicked, c.lastWord
}

// The errors that end a read.
var (
	errKeepAlive  = errors.New("keep alive timeout")
	errPacketTime = &packets.Error{Code: packets.ProtocolError, Section: "4.13", Detail: "packet not finished in time"}
)

// isEnd tells errors that are the end of a connection and no news.
func isEnd(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, net.ErrClosed) || errors.Is(err, io.ErrClosedPipe)
}
