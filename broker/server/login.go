package server

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"edge/broker"
	"edge/broker/auth"
	"edge/broker/packets"
	"edge/broker/session"
	"edge/broker/topic"
)

// decodeConnect takes the first packet apart.
func (c *conn) decodeConnect(frame []byte) (*packets.Connect, error) {
	if err := mayBeConnect(frame); err != nil {
		return nil, err
	}
	c.level = packets.ConnectVersion(frame)
	if c.version = c.level; c.level == packets.V31 {
		c.version = packets.V4
	}
	p, err := packets.Decode(c.level, frame)
	if err != nil {
		return nil, err
	}
	connect := p.(*packets.Connect)
	connect.Version = c.version
	return connect, nil
}

// mayBeConnect refuses what cannot become a CONNECT, before its body is read [MQTT-3.1.0-1] [v3 MQTT-3.1.0-1].
func mayBeConnect(b []byte) error {
	if len(b) > 0 && packets.Type(b[0]>>4) != packets.TypeConnect {
		return protocolError("3.1.0", "the first packet is not CONNECT")
	}
	return nil
}

// welcome begins what follows CONNACK: taps are told, and what waits for the session is sent.
func (c *conn) welcome() {
	c.in.heard = c.server.now()
	c.in.begun = time.Time{}
	c.deliver.now = c.in.heard
	c.server.counters.logins.Add(1)
	c.traceBegun()
	c.server.comings.log(c.server, "client connected", "client", c.client.id, "remote", c.remote, "listener", c.listener.Name)
	c.server.router.Session(c.event(broker.Connected, ""))
	c.guardRestored()
	c.resume()
}

// refuseMalformed ends a connection that sent no CONNECT. Who sent one that names its version is told why; 3.1.1
// knows a code only for the version itself and for the client identifier [v3 MQTT-3.1.4-1] [v3 MQTT-3.1.2-2].
func (c *conn) refuseMalformed(err error) {
	var fault *packets.Error
	var secure *tlsError
	var upgrade *upgradeError
	switch {
	case errors.As(err, &secure):
		c.refused(RefuseTLS, err)
		c.tellRefused(RefuseTLS + ": " + certificateFault(secure.err))
	case errors.As(err, &upgrade):
		c.refused(RefuseUpgrade, err)
		c.atFault()
	case errors.As(err, &fault):
		c.refused(RefuseMalformed, err)
		c.atFault()
		switch {
		case fault.Code == packets.UnsupportedProtocolVersion && c.version == 0:
			c.version = packets.V4 // what every client reads
			c.refuseWith(&packets.Connack{Code: fault.Code})
		case c.version == packets.V5, c.version == packets.V4 && fault.Code == packets.ClientIdentifierNotValid:
			c.refuseWith(&packets.Connack{Code: fault.Code})
		}
	case errors.Is(err, os.ErrDeadlineExceeded):
		c.refused(RefuseNoConnect, err)
	case !isEnd(err):
		c.server.log.Debug("ended before CONNECT", "part", "broker", "remote", c.remote, "err", err)
	}
}

// refuse answers a CONNECT that is understood and not accepted [MQTT-3.2.2-7] [MQTT-4.12.0-4].
func (c *conn) refuse(err error) {
	c.traceRefused(err)
	refused := asRefused(err)
	if errors.As(err, new(*auth.Refused)) {
		c.server.counters.authFailures.Add(1)
	}
	who := hostOf(c.remote)
	if c.claimed.id != "" {
		who = c.claimed.id
	}
	c.server.refused(refused.reason, who, c.remote, c.listener.Name, refused)
	c.tellRefused(refused.said())
	if refused == errUnfinished {
		return
	}
	if _, ok := packets.ConnackV4(refused.code); c.version == packets.V5 || ok {
		c.refuseWith(&packets.Connack{Code: refused.code, ReasonString: toldWhy(err)})
	}
}

// certificateFault is what was wrong with a client's certificate, or else with the handshake: the same each time.
func certificateFault(err error) string {
	var fault *tls.CertificateVerificationError
	if !errors.As(err, &fault) {
		return err.Error()
	}
	var invalid x509.CertificateInvalidError
	if errors.As(fault.Err, &invalid) && invalid.Reason == x509.Expired && invalid.Cert != nil {
		const layout = "2006-01-02T15:04:05Z"
		return fmt.Sprintf("the certificate of %s is good only from %s to %s", shorten(invalid.Cert.Subject.String()),
			invalid.Cert.NotBefore.UTC().Format(layout), invalid.Cert.NotAfter.UTC().Format(layout))
	}
	return fault.Err.Error()
}

// tellRefused tells the taps of a connection that was not let in: who speaks for a plant's node is of interest when it may not.
func (c *conn) tellRefused(reason string) {
	c.server.router.Session(broker.SessionEvent{
		Kind: broker.Refused, ClientID: c.claimed.id, User: c.claimed.user, WillTopic: c.claimed.will, Addr: c.remote, TLS: c.tls,
		Cert: c.cert, Protocol: byte(c.version), Reason: broker.Reason(reason), At: c.server.now(),
	})
}

// toldWhy is what a client is told in words of its refusal: nothing that would help to guess names and passwords.
func toldWhy(err error) string {
	var refused *refusedError
	if errors.As(err, &refused) && refused.code != packets.NotAuthorized {
		return refused.detail
	}
	return ""
}

// asRefused finds the code and the counted reason of an error that ended a login.
func asRefused(err error) *refusedError {
	var refused *refusedError
	var no *auth.Refused
	var fault *packets.Error
	switch {
	case errors.As(err, &refused):
		return refused
	case errors.As(err, &no) && slices.Contains(refuseReasons[:], no.Reason):
		return &refusedError{no.Code, no.Reason, no.Detail}
	case errors.As(err, &no):
		return &refusedError{no.Code, RefuseNotAllowed, no.Detail}
	case errors.As(err, &fault):
		return &refusedError{fault.Code, RefuseMalformed, fault.Error()}
	}
	return &refusedError{packets.ServerUnavailable, RefuseUnavailable, err.Error()}
}

// refusedError is a CONNECT refused by the server itself.
type refusedError struct {
	code   packets.ReasonCode
	reason string // counted
	detail string
}

func (e *refusedError) Error() string { return e.code.String() + ": " + e.detail }

// said is what taps are told: the counted reason, and of the guard's, who has many, which.
func (e *refusedError) said() string {
	if e.reason == RefuseGuard {
		return e.reason + ": " + e.detail
	}
	return e.reason
}

// refuseWith ends a connection that has not logged in.
func (c *conn) refuseWith(p packets.Packet) {
	b, ok := packets.AppendWithin(nil, c.version, p, c.maxPacket)
	if ok {
		c.countSent(p, len(b))
	}
	c.wire.refuse(b)
}

// countSent is for a packet that does not go through the outbox.
func (c *conn) countSent(p packets.Packet, size int) {
	c.out.mu.Lock()
	c.out.sent.packet(size)
	c.out.mu.Unlock()
	c.tracePacket(p, size)
}

// A login may wait, for an earlier connection to end, for the journal, for a password to be checked, or it must go on: then it
// ends with errMustWait where it would, and has changed nothing.
const (
	mayWait  = true
	mustGoOn = false
)

var errMustWait = errors.New("must wait")

// enter checks a CONNECT without an authentication method, and makes this the connection of its session.
func (c *conn) enter(ctx context.Context, p *packets.Connect, wait bool) error {
	connack, err := c.prepare(p)
	if err != nil {
		return err
	}
	if p.HasUsername && !wait { // to check a password takes long
		return errMustWait
	}
	if err := c.authenticate(ctx, p); err != nil {
		return err
	}
	return c.connect(ctx, p, connack, wait)
}

// prepare settles what does not depend on who the client is.
func (c *conn) prepare(p *packets.Connect) (*packets.Connack, error) {
	connack := &packets.Connack{}
	c.maxPacket, c.problems = int(p.MaximumPacketSize), !p.NoProblemInformation
	c.known = newTopicAliases(int(p.TopicAliasMaximum), &c.server.limits)
	if err := c.identify(p, connack); err != nil {
		return nil, err
	}
	c.claimed = claim{id: p.ClientID, user: p.Username}
	if p.Will != nil {
		c.claimed.will = topic.Name(p.Will.Topic)
	}
	return connack, c.agreeKeepAlive(p, connack)
}

// connect makes this the connection of the session of who c.identity says.
func (c *conn) connect(ctx context.Context, p *packets.Connect, connack *packets.Connack, wait bool) error {
	will, err := c.server.will(p, c.identity)
	if err != nil {
		return err
	}
	cl, err := c.server.acquire(ctx, c.identity.ClientID, c.owner(), wait)
	if err != nil {
		return err
	}
	defer func() { <-cl.turn }()
	if !wait && cl.delays(p.CleanStart) {
		c.server.letGo(cl)
		return errMustWait
	}
	if err := c.askGuard(will); err != nil {
		c.server.letGo(cl)
		return err
	}
	if err := c.attach(ctx, cl, p, will, connack); err != nil {
		c.server.letGo(cl)
		return err
	}
	return nil
}

// identify settles the client identifier [MQTT-3.1.3-6] [v3 MQTT-3.1.3-6]. That of 3.1 had 1 to 23 characters; who sends another is
// served like a 3.1.1 client.
func (c *conn) identify(p *packets.Connect, connack *packets.Connack) error {
	switch {
	case p.ClientID == "" && c.version == packets.V4 && !p.CleanStart: // [v3 MQTT-3.1.3-8]
		return &refusedError{packets.ClientIdentifierNotValid, RefuseMalformed, "empty client identifier with CleanSession 0"}
	case p.ClientID == "":
		p.ClientID = "auto-" + rand.Text()
		if c.version == packets.V5 {
			connack.AssignedClientID = p.ClientID // [MQTT-3.2.2-16]
		}
	case len(p.ClientID) > maxClientID || p.ClientID[0] == '$': // $ is for our own publishers
		return &refusedError{packets.ClientIdentifierNotValid, RefuseMalformed, "client identifier too long or begins with $"}
	}
	return nil
}

// maxClientID is the longest client identifier taken, in bytes.
const maxClientID = 256

// agreeKeepAlive caps the keep alive: 5.0 is told [MQTT-3.2.2-22]. 3.1.1 cannot be: such a client is let be and
// watched by TCP, or refused if the limits are strict.
func (c *conn) agreeKeepAlive(p *packets.Connect, connack *packets.Connack) error {
	limit := c.server.limits.KeepAliveMax
	c.keepAlive = time.Duration(p.KeepAlive) * time.Second
	if limit <= 0 || c.keepAlive > 0 && c.keepAlive <= limit {
		return nil
	}
	switch {
	case c.version == packets.V5:
		c.keepAlive = limit
		connack.ServerKeepAlive = packets.Some(uint16(min(limit/time.Second, 65535)))
	case c.server.limits.KeepAliveStrict:
		return &refusedError{packets.ClientIdentifierNotValid, RefuseKeepAlive, "keep alive off or above the limit"}
	}
	return nil
}

// authenticate finds out who the client is, by password and certificate.
func (c *conn) authenticate(ctx context.Context, p *packets.Connect) error {
	req, err := c.asking(p)
	if err != nil {
		return err
	}
	err = c.checkPassword(ctx, req)
	c.server.countAttempt(c.addr, p.Username, err)
	c.identity.ClientID = p.ClientID
	return err
}

// asking is what the rules are asked, unless there were too many failures before.
func (c *conn) asking(p *packets.Connect) (auth.ConnectRequest, error) {
	if state := c.wire.tls(); state != nil {
		c.tls = true
		if chains := state.VerifiedChains; len(chains) > 0 {
			c.cert = chains[0][0].Subject.String()
		}
	}
	req := auth.ConnectRequest{
		ListenerAnonymous: c.listener.Anonymous, ClientID: p.ClientID, Username: p.Username, Password: p.Password,
		Addr: c.remote, Cert: c.cert,
	}
	if p.Will != nil {
		req.Will = topic.Name(p.Will.Topic)
	}
	if c.waits(p.Username) {
		return req, errFailures
	}
	return req, nil
}

// waits tells whether too many logins of that user failed at this address. A client with a certificate does not guess.
func (c *conn) waits(user string) bool {
	return c.cert == "" && c.server.attempts.waits(c.addr, user, c.server.now())
}

var errFailures = &refusedError{packets.ConnectionRateExceeded, RefuseFailures, "too many failed logins: wait a minute"}

// checkPassword asks the rules, until the deadline of the login.
func (c *conn) checkPassword(ctx context.Context, req auth.ConnectRequest) (err error) {
	if until := c.loginDeadline(); !until.IsZero() {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, until.Sub(c.server.now()))
		defer cancel()
	}
	c.identity, err = c.server.rules().Connect(ctx, req)
	if errors.Is(err, context.DeadlineExceeded) {
		return &auth.Refused{Code: packets.ServerBusy, Reason: auth.ReasonBusy, Detail: "no turn to check the password"}
	}
	return err
}

// will makes the session's will of CONNECT's, if its owner may publish it.
func (s *Server) will(p *packets.Connect, id auth.Identity) (*session.Will, error) {
	w := p.Will
	if w == nil {
		return nil, nil
	}
	name := topic.Name(w.Topic)
	if s.limits.TopicLevels > 0 && levels(name) > s.limits.TopicLevels {
		return nil, &refusedError{packets.TopicNameInvalid, RefuseMalformed, "will topic has too many levels"}
	}
	if name.Reserved() || !s.rules().MayPublish(id, name) {
		return nil, &refusedError{packets.NotAuthorized, RefuseNotAllowed, "may not publish to the will topic"}
	}
	will := &session.Will{
		Message: &broker.Message{Topic: name, Payload: w.Payload, QoS: w.QoS, Retain: w.Retain, Properties: w.Properties,
			From: id.ClientID, User: id.User},
		Delay:  time.Duration(w.Delay) * time.Second,
		Expiry: time.Duration(w.Expiry.Value) * time.Second,
	}
	if cost := session.Cost(will.Message); cost > smallWill && !s.sessionLimits.Wills.Room(cost) {
		return nil, &refusedError{packets.QuotaExceeded, RefuseWills, "wills take as much memory as they may"}
	}
	return will, nil
}

// smallWill always has room: the death certificate of a node is not kept out by the large wills of others.
const smallWill = 4 << 10

// attach takes the session over from an earlier connection and begins or resumes it. The earlier connection's will
// is out, and its Disconnected told, before anything of this one [MQTT-3.1.4-3] [v3 MQTT-3.1.4-2].
func (c *conn) attach(ctx context.Context, cl *client, p *packets.Connect, will *session.Will, connack *packets.Connack) error {
	expiry := c.server.expiryOf(p)
	if c.version == packets.V5 {
		c.announce(p, expiry, connack)
	}
	if !c.fits(connack) { // before anything ends for it: nothing may be sent before CONNACK [MQTT-3.2.0-1]
		return &refusedError{packets.PacketTooLarge, RefuseMalformed, "the client's Maximum Packet Size is too small for CONNACK"}
	}
	if err := cl.takeOver(c.identity.User); err != nil {
		return err
	}
	if !c.server.countIn(c, cl) {
		return &refusedError{packets.QuotaExceeded, RefuseClients, "as many clients as allowed are connected"}
	}
	c.clean = p.Version == packets.V5 && p.SessionExpiry == 0
	err := cl.begin(ctx, c, p.CleanStart, session.Connect{
		User: c.identity.User, Protocol: byte(c.version), Expiry: expiry, ReceiveMaximum: int(p.ReceiveMaximum), Will: will,
	}, func(present bool) {
		connack.SessionPresent = present && c.level != packets.V31 // [MQTT-3.2.2-2] [MQTT-3.2.2-3]; in 3.1 that byte is reserved
		c.sendPacket(connack)
	})
	if err != nil {
		c.server.countOut()
		return err
	}
	return nil
}

// announce fills in what a 5.0 client is told of the limits.
func (c *conn) announce(p *packets.Connect, expiry time.Duration, connack *packets.Connack) {
	l := &c.server.limits
	connack.ReceiveMaximum = uint16(l.ReceiveMaximum)
	connack.MaximumPacketSize = uint32(l.PacketBytes)
	connack.TopicAliasMaximum = uint16(l.TopicAlias)
	connack.ResponseInfo = c.responseInformation(p)
	if asked := c.server.uncapped(p.SessionExpiry); expiry != asked {
		connack.SessionExpiry = packets.Some(uint32(expiry / time.Second))
	}
}

// expiryOf is how long the session outlives its connection. 3.1.1 leaves that to the server: as long as the limit
// allows [v3 MQTT-4.1.0-1].
func (s *Server) expiryOf(p *packets.Connect) time.Duration {
	if p.Version == packets.V5 {
		return s.expiry(p.SessionExpiry)
	}
	if p.CleanStart {
		return 0
	}
	return s.expiry(0xFFFFFFFF)
}

func (s *Server) expiry(seconds uint32) time.Duration {
	d := s.uncapped(seconds)
	if limit := s.limits.SessionExpiryMax; limit > 0 {
		d = min(d, limit)
	}
	return d
}

func (s *Server) uncapped(seconds uint32) time.Duration {
	if seconds == 0xFFFFFFFF {
		return session.Never
	}
	return time.Duration(seconds) * time.Second
}
