package server

import (
	"errors"
	"os"
	"time"

	"edge/broker/packets"
)

// handle takes one packet of a client that has logged in.
func (c *conn) handle(frame []byte) error {
	c.traceRead(frame)
	t := packets.Type(frame[0] >> 4)
	if t == packets.TypePublish {
		return c.handlePublish(frame)
	}
	c.received.others.Add(1)
	if id, ok := packets.PlainAck(frame); ok {
		return c.handleAck(t, id, packets.Success)
	}
	p, err := packets.Decode(c.level, frame)
	if err != nil {
		return err
	}
	switch p := p.(type) {
	case *packets.Puback:
		return c.handleAck(t, p.PacketID, p.Code)
	case *packets.Pubrec:
		return c.handleAck(t, p.PacketID, p.Code)
	case *packets.Pubrel:
		return c.handleAck(t, p.PacketID, p.Code)
	case *packets.Pubcomp:
		return c.handleAck(t, p.PacketID, p.Code)
	case *packets.Subscribe:
		return c.handleSubscribe(p)
	case *packets.Unsubscribe:
		return c.handleUnsubscribe(p)
	case *packets.Pingreq:
		c.sendPacket(&packets.Pingresp{}) // [MQTT-3.12.4-1]
		return nil
	case *packets.Disconnect:
		return c.handleDisconnect(p)
	case *packets.Auth:
		return c.handleAuth(p)
	}
	// CONNECT a second time, and what only a server sends [MQTT-3.1.0-2]
	return &packets.Error{Code: packets.ProtocolError, Section: "2.1.2", Detail: t.String() + " is not expected here"}
}

// handleAll takes a packet to its end: nobody waits for this goroutine.
func (c *conn) handleAll(frame []byte) error {
	err := c.handle(frame)
	for c.rest != nil && err == nil {
		err = c.goOn()
	}
	return err
}

// goOn does a portion of what is left of a packet.
func (c *conn) goOn() error {
	done, err := c.rest()
	if done || err != nil {
		c.rest, c.routing = nil, nil
	}
	return err
}

// readDeadline is one and a half times the keep alive after the last byte [MQTT-3.1.2-22] [v3 MQTT-3.1.2-24], or the end
// of the time that a packet may take; zero if there is none.
func (c *conn) readDeadline() time.Time {
	var until time.Time
	if c.keepAlive > 0 {
		until = c.in.heard.Add(c.keepAlive + c.keepAlive/2)
	}
	if limit := c.server.limits.PacketTimeout; limit > 0 && !c.in.begun.IsZero() {
		limit += time.Duration(len(c.in.waiting())) * time.Second / slowestRate
		if end := c.in.begun.Add(limit); until.IsZero() || end.Before(until) {
			until = end
		}
	}
	return until
}

// slowestRate is the bytes that a client has to send in a second once the time for any packet is over.
const slowestRate = 64 << 10

// explain turns a passed readDeadline into the reason for which it was set.
func (c *conn) explain(err error) error {
	if !errors.Is(err, os.ErrDeadlineExceeded) || c.reasonKicked() != "" {
		return err
	}
	if !c.in.begun.IsZero() {
		c.refused(RefusePacketTime, errPacketTime)
		return errPacketTime
	}
	return errKeepAlive
}

// loginDeadline is until when CONNECT must have come, a TLS handshake included; zero if there is no limit.
func (c *conn) loginDeadline() time.Time {
	if limit := c.server.limits.ConnectTimeout; limit > 0 {
		return c.since.Add(limit)
	}
	return time.Time{}
}
