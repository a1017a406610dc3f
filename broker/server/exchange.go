package server

import (
	"errors"

	"edge/broker/auth"
	"edge/broker/packets"
)

// enhanced is what a connection that named an authentication method keeps of it (section 4.12).
type enhanced struct {
	method  string
	request auth.ConnectRequest // what is asked again when it re-authenticates
	again   auth.Exchange       // a re-authentication under way; nil: none. Owned by who handles packets
}

// The bounds of an exchange: SCRAM takes three packets of the client at most, and the largest is below 3 KiB.
const maxAuthSteps, maxAuthPacket = 8, 16 << 10

var (
	errUnfinished = &refusedError{packets.NotAuthorized, RefuseUnfinished, "the client let time pass or left"}
	errReauth     = errors.New("re-authentication failed")
)

// exchange authenticates a client by the method that its CONNECT names: AUTH there and back until the rules know who it is.
// It fills in what CONNACK says of it [MQTT-4.12.0-2] [MQTT-4.12.0-5].
func (c *conn) exchange(p *packets.Connect, req auth.ConnectRequest, connack *packets.Connack) error {
	req.Password = nil
	c.enhanced = &enhanced{method: p.AuthMethod, request: req}
	x, err := c.server.rules().Begin(p.AuthMethod, req)
	if err != nil {
		return err // [MQTT-4.12.0-1]
	}
	data := p.AuthData
	for range maxAuthSteps {
		answer, id, err := x.Step(data)
		if err != nil {
			return err
		}
		if id != nil {
			c.identity = *id
			connack.AuthMethod, connack.AuthData = p.AuthMethod, answer
			return nil
		}
		if data, err = c.askMore(answer); err != nil {
			return err
		}
	}
	return &refusedError{packets.NotAuthorized, auth.ReasonExchange, "the exchange does not come to an end"}
}

// askMore sends an AUTH and returns the data of the one that comes back. The deadline of the login holds for both.
func (c *conn) askMore(data []byte) ([]byte, error) {
	p := &packets.Auth{Code: packets.ContinueAuthentication, Method: c.enhanced.method, Data: data}
	b, ok := packets.AppendWithin(nil, c.version, p, c.maxPacket)
	if !ok { // [MQTT-3.1.2-24]
		return nil, &refusedError{packets.PacketTooLarge, auth.ReasonExchange, "the client's Maximum Packet Size is too small for an AUTH"}
	}
	w, ok := c.wire.(asker)
	if !ok {
		return nil, errors.New("the connection cannot ask its client")
	}
	c.out.mu.Lock()
	c.out.sent.packet(len(b))
	c.out.mu.Unlock()
	c.tracePacket(p, len(b))
	frame, err := w.ask(b, maxAuthPacket, mayBeAuth)
	if err != nil {
		if errors.As(err, new(*packets.Error)) {
			return nil, err
		}
		return nil, errUnfinished
	}
	c.received.others.Add(1)
	c.traceRead(frame)
	return c.authData(frame)
}

// asker is a wire that can wait for an answer before CONNACK.
type asker interface {
	// ask writes out and returns the packet that comes next, until the deadline of the login. limit is the largest taken;
	// first looks at what has come of it before that is read.
	ask(out []byte, limit int, first func([]byte) error) (frame []byte, err error)
}

// mayBeAuth refuses what must not come before CONNACK, before its body is read.
func mayBeAuth(b []byte) error {
	if len(b) == 0 {
		return nil
	}
	if t := packets.Type(b[0] >> 4); t != packets.TypeAuth && t != packets.TypeDisconnect {
		return protocolError("4.12", t.String()+" before CONNACK")
	}
	return nil
}

// authData returns the data of an AUTH. Before CONNACK nothing but AUTH and DISCONNECT may come
// [MQTT-3.1.2-30] [MQTT-4.12.0-3] [MQTT-4.12.0-5].
func (c *conn) authData(frame []byte) ([]byte, error) {
	if err := mayBeAuth(frame); err != nil {
		return nil, err
	}
	p, err := packets.Decode(c.version, frame)
	if err != nil {
		return nil, err
	}
	switch p := p.(type) {
	case *packets.Disconnect:
		return nil, errUnfinished
	case *packets.Auth:
		if p.Method != c.enhanced.method {
			return nil, protocolError("4.12", "AUTH names another method than CONNECT")
		}
		if p.Code != packets.ContinueAuthentication {
			return nil, protocolError("4.12", "AUTH before CONNACK does not continue")
		}
		return p.Data, nil
	}
	return nil, protocolError("4.12", p.Type().String()+" before CONNACK")
}

// handleAuth takes a step of a re-authentication (section 4.12.1). What the client may do stays as it is meanwhile. Who it
// is does not change: another user takes another connection.
func (c *conn) handleAuth(p *packets.Auth) error {
	e := c.enhanced
	switch {
	case e == nil: // [MQTT-4.12.0-6] [MQTT-4.12.0-7]
		return protocolError("4.12", "AUTH without an authentication method in CONNECT")
	case p.Method != e.method: // [MQTT-4.12.1-1]
		return protocolError("4.12.1", "AUTH names another method than CONNECT")
	case p.Code == packets.ReAuthenticate && e.again == nil:
		var err error
		if e.again, err = c.server.rules().Begin(e.method, e.request); err != nil {
			return c.reauthFailed(err)
		}
	case p.Code == packets.ContinueAuthentication && e.again != nil:
	default:
		return protocolError("4.12.1", "AUTH is not the next of an exchange")
	}
	answer, id, err := e.again.Step(p.Data)
	switch {
	case err != nil:
		return c.reauthFailed(err)
	case id == nil:
		c.sendPacket(&packets.Auth{Code: packets.ContinueAuthentication, Method: e.method, Data: answer})
		return nil
	case id.User != c.identity.User:
		return c.reauthFailed(&refusedError{packets.NotAuthorized, RefuseOtherUser, "re-authentication as another user"})
	}
	e.again = nil
	c.sendPacket(&packets.Auth{Code: packets.Success, Method: e.method, Data: answer})
	return nil
}

// reauthFailed counts and logs what ended a re-authentication, and ends the connection.
func (c *conn) reauthFailed(err error) error {
	refused := asRefused(err)
	c.server.counters.authFailures.Add(1)
	c.server.countAttempt(c.addr, c.enhanced.request.Username, err)
	c.refused(refused.reason, refused)
	return errReauth
}
