package server

import (
	"bytes"
	"errors"
	"slices"
	"time"

	"edge/broker"
	"edge/broker/packets"
	"edge/broker/router"
	"edge/broker/topic"
)

// handlePublish takes a message over, routes it, and answers it when it is as durable as promised [MQTT-3.3.4-1].
func (c *conn) handlePublish(frame []byte) error {
	p := &c.deliver.publish
	if err := packets.DecodePublish(c.version, frame, p, &c.deliver.topics); err != nil {
		return err
	}
	c.received.message(p.QoS, len(p.Payload))
	if len(p.SubscriptionIDs) > 0 { // [MQTT-3.3.4-6]
		return protocolError("3.3.4", "subscription identifier from a client")
	}
	name, err := c.resolveAlias(p)
	if err != nil {
		return err
	}
	if p.QoS > 0 {
		if again, err := c.begin(p); again || err != nil {
			return err
		}
	}
	index, err := c.route(name, p, frame)
	if c.rest != nil {
		return nil
	}
	return c.routed(p, index, err)
}

// routed sees to what follows the routing of p.
func (c *conn) routed(p *packets.Publish, index broker.Index, err error) error {
	c.waitForDisk(index)
	if err != nil && !errors.Is(err, errStore) { // which is counted
		c.refusedMessage(err)
	}
	if p.QoS == 0 { // nobody is to be told
		return nil
	}
	return c.answer(p, index, err)
}

// resolveAlias returns the topic of p and keeps what its alias stands for until the connection ends [MQTT-3.3.2-7].
func (c *conn) resolveAlias(p *packets.Publish) (topic.Name, error) {
	if p.TopicAlias == 0 {
		return topic.Name(p.Topic), nil
	}
	a := int(p.TopicAlias)
	if a > c.server.limits.TopicAlias { // [MQTT-3.3.2-9]
		return "", &packets.Error{Code: packets.TopicAliasInvalid, Section: "3.3.2.3.4", Detail: "above the maximum"}
	}
	if p.Topic == "" {
		if a > len(c.aliases) || c.aliases[a-1] == "" {
			return "", protocolError("3.3.2.3.4", "alias that stands for nothing")
		}
		return c.aliases[a-1], nil
	}
	for len(c.aliases) < a {
		c.aliases = append(c.aliases, "")
	}
	c.aliasBytes += len(p.Topic) - len(c.aliases[a-1])
	if limit := c.server.limits.AliasBytes; limit > 0 && c.aliasBytes > limit && c.aliasBytes > len(p.Topic) {
		return "", &packets.Error{Code: packets.QuotaExceeded, Section: "3.3.2.3.4", Detail: "aliases stand for too long topics"}
	}
	c.aliases[a-1] = topic.Name(p.Topic) // [MQTT-3.3.2-12]
	return c.aliases[a-1], nil
}

// begin counts a QoS 1 or 2 message in. A QoS 2 message that was taken over before is answered again and nothing
// else [MQTT-4.3.3-10] [v3 MQTT-4.3.3-2].
func (c *conn) begin(p *packets.Publish) (again bool, err error) {
	if p.QoS == 2 {
		if again = c.receive(p.PacketID); again {
			c.ack(ack{kind: packets.TypePubrec, id: p.PacketID, index: broker.Index(c.server.saved.Load())})
			return true, nil
		}
	}
	c.out.mu.Lock()
	c.out.receiving++
	over := c.version == packets.V5 && c.out.receiving > c.server.limits.ReceiveMaximum
	c.out.mu.Unlock()
	if over { // [MQTT-3.3.4-7]
		c.refuse2(p)
		return false, &packets.Error{Code: packets.ReceiveMaximumExceeded, Section: "3.3.4", Detail: "more PUBLISH than Receive Maximum"}
	}
	return false, nil
}

// receive steps the session; what it changes is saved with the message's deliveries.
func (c *conn) receive(id uint16) (again bool) {
	cl := c.client
	cl.mu.Lock()
	defer cl.mu.Unlock()
	c.deliver.receiving.Reset()
	again = cl.session.Receive(id, &c.deliver.receiving)
	c.deliver.with = c.deliver.receiving.Save
	return again
}

var errStore = errors.New("not stored")

// errNotAllowed covers what the publisher may not do: the message goes nowhere.
var errNotAllowed = errors.New("not authorized")

// route makes the message of a PUBLISH, which frame holds, and hands it to the router. If that takes long, c.rest goes on with it.
func (c *conn) route(name topic.Name, p *packets.Publish, frame []byte) (broker.Index, error) {
	s := c.server
	switch {
	case s.limits.TopicLevels > 0 && levels(name) > s.limits.TopicLevels:
		s.counters.drop(DropRefused, 1)
		return 0, topic.ErrLevels
	case !s.rules().MayPublish(c.identity, name):
		s.counters.drop(DropNotAuthorized, 1)
		c.tellGuard(name)
		return 0, errNotAllowed
	}
	m := c.message(name, p, frame)
	p.Payload = nil // or it lives until the next PUBLISH
	rest, index, err := s.router.Begin(m, c.deliver)
	if rest != nil {
		c.routeOn(rest, p, m == &c.deliver.message)
	}
	if err != nil {
		return 0, s.notRouted(err)
	}
	return index, nil
}

// routeOn has the rest of a message's routing done in portions. borrowed: it lies in memory that the next one uses.
func (c *conn) routeOn(left *router.Rest, p *packets.Publish, borrowed bool) {
	if borrowed {
		own := *left.Message()
		own.Payload = bytes.Clone(own.Payload)
		left.SetMessage(&own)
	}
	sent := &packets.Publish{QoS: p.QoS, PacketID: p.PacketID}
	with := slices.Clone(c.deliver.with) // of this message, not of the next that is routed, which uses the memory
	c.deliver.with = nil
	c.routing = left
	var sum sums // of the portions so far
	c.rest = func() (done bool, err error) {
		c.deliver.with, c.deliver.sums = with, sums{}
		done, index, err := left.Next(c.deliver)
		sum.add(c.deliver.sums)
		c.deliver.sums = sum
		if !done {
			c.deliver.with = nil
			return false, nil
		}
		if err != nil {
			err = c.server.notRouted(err)
		}
		return true, c.routed(sent, index, err)
	}
}

// message makes the message of a PUBLISH. One that nobody keeps, as Router.Wanted says, lies in memory that the next one uses;
// a payload from copyBelow on is kept by the outboxes.
func (c *conn) message(name topic.Name, p *packets.Publish, frame []byte) *broker.Message {
	m, payload := &c.deliver.message, p.Payload
	if p.QoS > 0 || p.Retain || len(payload) >= copyBelow || c.server.router.Wanted(name) {
		m, payload = new(broker.Message), c.in.own(frame, payload)
	}
	*m = broker.Message{
		Topic: name, Payload: payload, QoS: p.QoS, Retain: p.Retain, Properties: p.Properties,
		From: c.client.id, User: c.identity.User, Received: c.deliver.now,
	}
	if p.Expiry.Set {
		m.Expires = m.Received.Add(time.Duration(p.Expiry.Value) * time.Second)
	}
	return m
}

// route hands m to the router; an error is one of errNotAllowed, errStore and *router.RefusedError.
func (s *Server) route(m *broker.Message, d *delivering) (broker.Index, error) {
	index, err := s.router.Route(m, d)
	if err == nil {
		return index, nil
	}
	return 0, s.notRouted(err)
}

func (s *Server) notRouted(err error) error {
	var refused *router.RefusedError
	switch {
	case errors.Is(err, router.ErrReserved):
		s.counters.drop(DropNotAuthorized, 1)
		return errNotAllowed
	case errors.As(err, &refused):
		s.counters.drop(DropRefused, 1)
		return err
	}
	s.counters.drop(DropStore, 1)
	s.storeFailed("message not stored", "err", err)
	return errStore
}

func levels(n topic.Name) int {
	count := 1
	for i := range len(n) {
		if n[i] == '/' {
			count++
		}
	}
	return count
}

// answer acknowledges a QoS 1 or 2 message. 3.1.1 has no code to refuse one: it is acknowledged and goes nowhere
// [v3 MQTT-3.3.5-2], or, if the store failed, the connection is closed [v3 MQTT-4.8.0-2].
func (c *conn) answer(p *packets.Publish, index broker.Index, err error) error {
	a := ack{kind: packets.TypePuback, id: p.PacketID, index: index}
	if p.QoS == 2 {
		a.kind = packets.TypePubrec
	}
	if err == nil {
		if c.version == packets.V5 {
			if a.code, a.why = c.deliver.verdict(); a.code.Failed() && p.QoS == 2 {
				return c.refuseRouted(a)
			}
		}
		c.ack(a)
		return nil
	}
	if c.version != packets.V5 && !errors.Is(err, errStore) {
		if a.index, err = c.server.saveWith(c.deliver); err != nil {
			c.refuse2(p)
			return errStore
		}
		c.ack(a)
		return nil
	}
	c.refuse2(p)
	if c.version != packets.V5 {
		return errStore
	}
	a.code, a.why = refusal(err)
	c.ack(a)
	return nil
}

// verdict is what a 5.0 publisher is told of a message that was routed. It is refused when nobody has it, because the queues of
// those that matched are full, and when it was to be retained and could not be: then those who listened have it, nobody later will.
func (d *delivering) verdict() (code packets.ReasonCode, why string) {
	elsewhere := d.also.Tapped || d.also.Retained
	switch {
	case d.also.Full:
		return packets.QuotaExceeded, "delivered, not retained: there are as many retained messages as allowed"
	case d.full > 0 && d.took == 0 && !elsewhere:
		return packets.QuotaExceeded, "the queue of every subscriber is full"
	case d.matched == 0 && !elsewhere:
		return packets.NoMatchingSubscribers, ""
	}
	return packets.Success, ""
}

// refuseRouted ends a QoS 2 message of the client whose PUBREC says that it failed: its identifier is free again.
func (c *conn) refuseRouted(a ack) error {
	index, err := c.step(func(cl *client) { cl.session.Complete(a.id, &cl.out) })
	if err != nil {
		return err
	}
	a.index = max(a.index, index)
	c.ack(a)
	return nil
}

// refuse2 undoes receive: the message was not taken over, its identifier is free again [MQTT-4.3.3-9].
func (c *conn) refuse2(p *packets.Publish) {
	c.deliver.with = nil
	if p.QoS == 2 {
		c.client.mu.Lock()
		c.client.session.Refuse(p.PacketID)
		c.client.mu.Unlock()
	}
}

// saveWith saves what the publisher changed when no delivery did it along.
func (s *Server) saveWith(d *delivering) (broker.Index, error) {
	with := d.with
	d.with = nil
	return s.save(with)
}

// refusal is the reason code of PUBACK or PUBREC for a message that goes nowhere, and why in words.
func refusal(err error) (code packets.ReasonCode, why string) {
	var refused *router.RefusedError
	switch {
	case errors.Is(err, errNotAllowed):
		return packets.NotAuthorized, "not allowed to publish to this topic"
	case errors.Is(err, topic.ErrLevels):
		return packets.TopicNameInvalid, "more topic levels than allowed"
	case errors.As(err, &refused):
		if errors.Is(err, broker.ErrNotAllowed) {
			return packets.NotAuthorized, refused.Err.Error()
		}
		return packets.ImplementationSpecificError, refused.Err.Error()
	}
	return packets.UnspecifiedError, "could not be stored"
}

func protocolError(section, detail string) error {
	return &packets.Error{Code: packets.ProtocolError, Section: section, Detail: detail}
}

// step takes a step of the session, carries its Save and Send out, and pumps what the step made room for.
func (c *conn) step(f func(*client)) (broker.Index, error) {
	cl := c.client
	cl.mu.Lock()
	defer cl.mu.Unlock()
	cl.out.Reset()
	f(cl)
	index, err := cl.carryLocked(c.deliver.now, &c.deliver.turn)
	if err == nil && (cl.session.Waiting() || len(cl.replays) > 0) {
		cl.pumpLocked(c.deliver.now, &c.deliver.turn)
	}
	return index, err
}

// handleAck takes PUBACK, PUBREC, PUBREL and PUBCOMP.
func (c *conn) handleAck(t packets.Type, id uint16, code packets.ReasonCode) error {
	known := false
	index, err := c.step(func(cl *client) {
		switch t {
		case packets.TypePuback:
			known = cl.session.Puback(id, &cl.out)
		case packets.TypePubrec:
			known = cl.session.Pubrec(id, code.Failed(), &cl.out)
		case packets.TypePubrel:
			known = cl.session.Complete(id, &cl.out)
		case packets.TypePubcomp:
			known = cl.session.Pubcomp(id, &cl.out)
		}
	})
	switch {
	case err != nil:
		return err
	case t == packets.TypePubrel:
		c.complete(id, known, index)
	case t == packets.TypePubrec && !known && !code.Failed():
		// 0x92 is no error of the connection (MQTT 5.0, section 4.3.3). 3.1.1 has no codes: PUBREL lets the client forget the message.
		c.sendPacket(&packets.Pubrel{PacketID: id, Code: packets.PacketIdentifierNotFound})
	}
	return nil
}

// complete answers the end of a QoS 2 message of the client [MQTT-4.3.3-11]. PUBCOMP waits until the end is durable: an
// identifier that came back after a crash would swallow the next message that uses it.
func (c *conn) complete(id uint16, known bool, index broker.Index) {
	a := ack{kind: packets.TypePubcomp, id: id, index: index}
	if !known {
		a.code = packets.PacketIdentifierNotFound
	}
	c.ack(a)
}

// handleDisconnect ends the connection in order [MQTT-3.14.4-3].
func (c *conn) handleDisconnect(p *packets.Disconnect) error {
	if p.SessionExpiry.Set {
		if c.clean && p.SessionExpiry.Value > 0 { // section 3.14.2.2.2
			return protocolError("3.14.2.2.2", "session expiry raised from 0")
		}
		c.expiry = c.server.expiry(p.SessionExpiry.Value)
	}
	c.withdrawn = p.Code != packets.DisconnectWithWill && !p.Code.Failed()
	switch {
	case c.withdrawn:
		c.endReason = broker.ReasonClean
	case p.Code == packets.DisconnectWithWill:
		c.endReason = broker.ReasonWithWill
	default: // the client found a fault
		c.endReason = broker.ReasonProtocol
	}
	return errEnd
}
