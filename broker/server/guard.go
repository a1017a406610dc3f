package server

import (
	"edge/broker/packets"
	"edge/broker/session"
	"edge/broker/topic"
)

func (c *conn) caller() Caller {
	return Caller{ClientID: c.claimed.id, User: c.identity.User, Addr: c.remote, Cert: c.cert}
}

// askGuard asks the guard of a CONNECT whose turn it is: nobody else has the client identifier meanwhile.
func (c *conn) askGuard(will *session.Will) error {
	g := c.server.opt.Guard
	if g == nil {
		return nil
	}
	who := c.caller()
	if will != nil {
		who.Will = will.Message
	}
	if err := g.Connect(who); err != nil {
		return &refusedError{packets.NotAuthorized, RefuseGuard, err.Error()}
	}
	return nil
}

// guarded tells whether the guard is against a subscription.
func (c *conn) guarded(f topic.Filter) bool {
	g := c.server.opt.Guard
	return g != nil && g.Subscribe(c.client.id, f) != nil
}

// guardRestored asks the guard, which knows by now who is connected, of the subscriptions that the session had.
func (c *conn) guardRestored() {
	if c.server.opt.Guard == nil {
		return
	}
	cl := c.client
	cl.mu.Lock()
	defer cl.mu.Unlock()
	for _, sub := range cl.session.Subscriptions() {
		if share, inner := splitShare(sub.Filter, byte(c.version)); c.guarded(inner) {
			cl.dropLocked(&sub, share, inner)
		}
	}
}

// tellGuard says what the rules did not allow.
func (c *conn) tellGuard(name topic.Name) {
	if g := c.server.opt.Guard; g != nil {
		g.Refused(c.caller(), name)
	}
}
