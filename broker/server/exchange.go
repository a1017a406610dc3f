package server

import (
	"context"
	"errors"

	"edge/broker/auth"
	"edge/broker/packets"
)

// enhanced is what a connection that named an authentication method keeps of it (section 4.12). Owned by who handles packets.
//
//	CONNECT ─► beginLogin ─► AUTH 0x18 ─► AUTH 0x18 ─► continueLogin ─► … ─► connectEnhanced ─► CONNACK
//	                         AUTH 0x19 ─► handleAuth ─► AUTH 0x18 ─► AUTH 0x18 ─► handleAuth ─► AUTH 0x00
type enhanced struct {
	method   string
	request  auth.ConnectRequest // what is asked again when the client re-authenticates
	exchange auth.Exchange       // under way; nil: none

	// Until CONNACK.
	connect *packets.Connect
	connack *packets.Connack
	steps   int
}

// The bounds of an exchange: SCRAM takes three packets of the client at most, and the largest is below 3 KiB.
const maxAuthSteps, maxAuthPacket = 4, 16 << 10

var (
	errUnfinished = &refusedError{packets.NotAuthorized, RefuseUnfinished, "the client let time pass or left"}
	errReauth     = errors.New("re-authentication failed")
)

// beginLogin begins the login of a CONNECT that names an authentication method. more is to be sent and continueLogin gets
// what comes back, until more is nil: then who the client is stands in c.identity, and connectEnhanced follows. It does not wait.
func (c *conn) beginLogin(p *packets.Connect) (more *packets.Auth, err error) {
	connack, err := c.prepare(p)
	if err != nil {
		return nil, err
	}
	req, err := c.asking(p)
	if err != nil {
		return nil, err
	}
	req.Password = nil
	c.enhanced = &enhanced{method: p.AuthMethod, request: req, connect: p, connack: connack}
	if c.enhanced.exchange, err = c.server.rules().Begin(p.AuthMethod, req); err != nil {
		return nil, err // [MQTT-4.12.0-1]
	}
	return c.stepLogin(p.AuthData)
}

// continueLogin takes the next packet of a client that is logging in. An error is the answer to the login.
func (c *conn) continueLogin(frame []byte) (more *packets.Auth, err error) {
	c.received.others.Add(1)
	c.traceRead(frame)
	data, err := c.authData(frame)
	if err != nil {
		return nil, err
	}
	return c.stepLogin(data)
}

// stepLogin asks the client for more [MQTT-4.12.0-2], or fills in what CONNACK says of the exchange [MQTT-4.12.0-5].
func (c *conn) stepLogin(data []byte) (*packets.Auth, error) {
	e := c.enhanced
	if e.steps++; e.steps > maxAuthSteps {
		return nil, &refusedError{packets.NotAuthorized, auth.ReasonExchange, "the exchange does not come to an end"}
	}
	answer, id, err := e.exchange.Step(data)
	user := e.exchange.User()
	if err != nil || id != nil {
		c.server.countAttempt(c.addr, user, err)
	}
	if err != nil {
		return nil, err
	}
	if id == nil && c.waits(user) {
		return nil, errFailures
	}
	if id != nil {
		c.identity, e.exchange = *id, nil
		c.identity.ClientID = e.connect.ClientID
		e.connack.AuthMethod, e.connack.AuthData = e.method, answer
		return nil, nil
	}
	more := &packets.Auth{Code: packets.ContinueAuthentication, Method: e.method, Data: answer}
	if _, ok := packets.AppendWithin(nil, c.version, more, c.maxPacket); !ok { // [MQTT-3.1.2-24]
		return nil, &refusedError{packets.PacketTooLarge, auth.ReasonExchange, "the client's Maximum Packet Size is too small for an AUTH"}
	}
	return more, nil
}

// connectEnhanced is connect after an exchange.
func (c *conn) connectEnhanced(ctx context.Context, wait bool) error {
	e := c.enhanced
	err := c.connect(ctx, e.connect, e.connack, wait)
	if err == nil {
		e.connect, e.connack = nil, nil
	}
	return err
}

// notFinished is what a login ends with when its connection does, or time is over.
func notFinished(err error) error {
	if errors.As(err, new(*packets.Error)) {
		return err
	}
	return errUnfinished
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
	case p.Code == packets.ReAuthenticate && e.exchange == nil:
		var err error
		if e.exchange, err = c.server.rules().Begin(e.method, e.request); err != nil {
			return c.reauthFailed(err)
		}
	case p.Code == packets.ContinueAuthentication && e.exchange != nil:
	default:
		return protocolError("4.12.1", "AUTH is not the next of an exchange")
	}
	answer, id, err := e.exchange.Step(p.Data)
	user := e.exchange.User()
	switch {
	case err != nil:
		return c.reauthFailed(err)
	case user != "" && user != c.identity.User: // before it has proved anything: no passwords of others are tried here
		return c.reauthFailed(&refusedError{packets.NotAuthorized, RefuseOtherUser, "re-authentication as another user"})
	case id == nil:
		c.sendPacket(&packets.Auth{Code: packets.ContinueAuthentication, Method: e.method, Data: answer})
		return nil
	}
	e.exchange = nil
	c.sendPacket(&packets.Auth{Code: packets.Success, Method: e.method, Data: answer})
	return nil
}

// reauthFailed counts and logs what ended a re-authentication, and ends the connection.
func (c *conn) reauthFailed(err error) error {
	refused := asRefused(err)
	c.server.counters.authFailures.Add(1)
	if x := c.enhanced.exchange; x != nil {
		c.server.countAttempt(c.addr, x.User(), err)
	}
	c.refused(refused.reason, refused)
	return errReauth
}
