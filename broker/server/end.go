package server

import (
	"context"
	"time"

	"edge/broker"
	"edge/broker/auth"
	"edge/broker/packets"
	"edge/broker/session"
	"edge/broker/topic"
)

// end is what happens when readLoop has ended, in this order: taps are told Disconnected with its reason, then the will
// is routed if it is due, then the session is free for another connection. writeLoop may still be writing.
func (c *conn) end(reason broker.Reason) {
	cl, s := c.client, c.server
	s.comings.log(s, "client disconnected", "client", cl.id, "remote", c.remote, "reason", string(reason))
	s.router.Session(c.event(broker.Disconnected, reason))
	if reason == broker.ReasonShutdown {
		c.endInShutdown()
	} else {
		c.endSession()
		s.reading.Done()
	}
	cl.mu.Lock()
	cl.conn = nil
	cl.departLocked(c, reason)
	cl.pauseReplaysLocked()
	cl.online.Store(false)
	shares := cl.session != nil && cl.session.SharedCount() > 0
	cl.mu.Unlock()
	s.countOut()
	s.schedule(cl, 0)
	close(c.released)
	s.letGo(cl)
	if shares {
		s.offer(cl)
	}
}

// endSession steps the session and routes its will if that is due at once.
func (c *conn) endSession() {
	cl := c.client
	cl.mu.Lock()
	cl.online.Store(false) // no message of a shared subscription is for it from now on
	ends := cl.session != nil && (c.expiry == 0 || c.expiry < 0 && cl.session.Expiry() == 0)
	cl.mu.Unlock()
	if ends {
		c.server.handOver(cl, true)
	}
	cl.mutate(func(now time.Time, o *session.Output) {
		cl.session.Disconnect(c.withdrawn, c.expiry, now, o)
	})
}

// endInShutdown publishes the will while all others still listen, waits until everyone has done so, and then ends
// the session: subscribers see the deaths of all the others. A will with a delay is left in a session on disk, whose
// owner may be back before it is due.
func (c *conn) endInShutdown() {
	cl := c.client
	cl.mutate(func(now time.Time, o *session.Output) {
		cl.session.PublishWill(c.server.opt.Store != nil, now, o)
	})
	c.server.reading.Done()
	<-c.server.quit
	c.closeOut(&packets.Disconnect{Code: packets.ServerShuttingDown})
	c.endSession()
}

func (c *conn) event(kind broker.SessionEventKind, reason broker.Reason) broker.SessionEvent {
	e := broker.SessionEvent{
		ClientID: c.client.id, User: c.identity.User, Addr: c.remote, TLS: c.tls, Cert: c.cert, Protocol: byte(c.version),
		KeepAlive: c.keepAlive, Kind: kind, Reason: reason, Detail: c.endDetail, At: c.server.now(),
	}
	c.client.mu.Lock()
	defer c.client.mu.Unlock()
	if x := c.client.session; x != nil && x.Will() != nil {
		e.WillTopic, e.Will = topic.Name(x.Will().Message.Topic), x.Will().Message
	}
	return e
}

// identityNow is who published m, as far as the client still knows.
func (c *client) identityNow(m *broker.Message) auth.Identity {
	return auth.Identity{User: m.User, ClientID: c.id, Anonymous: m.User == ""}
}

// Disconnect ends the connection of clientID; its will is published. False: it has none.
func (s *Server) Disconnect(clientID string, reason broker.Reason) bool {
	s.mu.Lock()
	cl := s.clients[clientID]
	s.mu.Unlock()
	if cl == nil {
		return false
	}
	cl.mu.Lock()
	c := cl.conn
	cl.mu.Unlock()
	if c == nil {
		return false
	}
	c.kick(reason, packets.AdministrativeAction)
	return true
}

// Shutdown stops accepting, publishes the wills of all that are connected while all still listen, tells 5.0 clients 0x8B,
// writes what waits and closes. If ctx ends before, the connections are cut; the error is ctx's.
func (s *Server) Shutdown(ctx context.Context) error {
	conns, first := s.close()
	if !first {
		return nil
	}
	defer context.AfterFunc(ctx, func() {
		for _, c := range conns {
			c.abort()
		}
	})()
	for _, c := range conns {
		c.pause()
	}
	s.starting.Do(func() { close(s.ticked) }) // it was not started
	<-s.ticked
	s.reading.Wait() // wills do not wait for anyone
	close(s.quit)
	s.serving.Wait() // writes have a deadline, or are cut by abort
	for _, l := range s.loops {
		l.end()
	}
	return ctx.Err()
}

// close stops everything that begins something new.
func (s *Server) close() (conns []*conn, first bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, false
	}
	s.closed = true
	close(s.stop)
	for l := range s.listeners {
		l.Close()
	}
	for c := range s.conns {
		conns = append(conns, c)
	}
	return conns, true
}
