package brokertest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"edge/broker/packets"
)

// Timeout is how long a Client waits for a packet, or to write one, before the test fails.
const Timeout = time.Minute

// maxUnread is the number of packets that a Client reads ahead; beyond it, it reads no more and the broker sees a
// client that does not.
const maxUnread = 4096

// Client is one end of an MQTT connection. It decodes strictly, so a broker that sends what a packet may not hold, or a reason code that is not
// listed, fails the test. Its methods fail the test at the first surprise; they are called from
// the test's goroutine only.
type Client struct {
	Version  packets.Version
	Patience time.Duration // instead of Timeout; to be set before the first use

	t       testing.TB
	conn    net.Conn
	packets chan packets.Packet // closed by readLoop when the connection ends
	ended   error               // why readLoop ended; read it only after packets is closed
	ahead   []packets.Packet    // taken from packets while waiting for another type
	lastID  uint16
}

// NewClient returns a client that speaks v over conn, and starts reading. CONNECT is not sent.
func NewClient(t testing.TB, conn net.Conn, v packets.Version) *Client {
	c := &Client{Version: v, t: t, conn: conn, packets: make(chan packets.Packet, maxUnread)}
	go c.readLoop()
	t.Cleanup(c.Close)
	return c
}

// Close closes the connection, without DISCONNECT, and waits for readLoop.
func (c *Client) Close() {
	c.conn.Close()
	for range c.packets { // until readLoop closes it
	}
}

// readLoop decodes what comes until the connection ends.
func (c *Client) readLoop() {
	defer close(c.packets)
	var buf []byte
	chunk := make([]byte, 4096)
	for {
		n, complete, err := packets.FrameLength(buf, 0)
		if err != nil {
			c.ended = fmt.Errorf("broker sent a bad packet: %w", err)
			return
		}
		if complete {
			p, err := packets.Decode(c.Version, bytes.Clone(buf[:n]))
			if err != nil {
				c.ended = fmt.Errorf("broker sent a bad packet % x: %w", buf[:n], err)
				return
			}
			c.packets <- p
			buf = buf[n:]
			continue
		}
		n, err = c.conn.Read(chunk)
		buf = append(buf, chunk[:n]...)
		if err != nil && n == 0 {
			c.ended = err
			return
		}
	}
}

// Send writes packets, in one write.
func (c *Client) Send(list ...packets.Packet) {
	c.t.Helper()
	var b []byte
	for _, p := range list {
		b = p.Append(b, c.Version)
	}
	c.SendRaw(b)
}

// SendRaw writes bytes as they are.
func (c *Client) SendRaw(b []byte) {
	c.t.Helper()
	if err := c.TrySendRaw(b); err != nil {
		c.t.Fatalf("write % x: %v", b, err)
	}
}

// TrySendRaw writes bytes to a broker that may have closed the connection.
func (c *Client) TrySendRaw(b []byte) error {
	c.conn.SetWriteDeadline(time.Now().Add(c.patience()))
	_, err := c.conn.Write(b)
	return err
}

// NextID returns a packet identifier that this client has not used yet.
func (c *Client) NextID() uint16 {
	c.lastID++
	return c.lastID
}

// Next returns the next packet, or the reason why there is none: io.EOF if the broker closed the connection.
func (c *Client) Next() (packets.Packet, error) {
	if len(c.ahead) > 0 {
		p := c.ahead[0]
		c.ahead = c.ahead[1:]
		return p, nil
	}
	return c.receive()
}

func (c *Client) receive() (packets.Packet, error) {
	timer := time.NewTimer(c.patience())
	defer timer.Stop()
	select {
	case p, open := <-c.packets:
		if !open {
			return nil, c.ended
		}
		return p, nil
	case <-timer.C:
		return nil, fmt.Errorf("no packet within %v", c.patience())
	}
}

func (c *Client) patience() time.Duration {
	if c.Patience > 0 {
		return c.Patience
	}
	return Timeout
}

// Await returns the next packet that accept takes. Those before it stay for later calls, in their order.
func (c *Client) Await(what string, accept func(packets.Packet) bool) packets.Packet {
	c.t.Helper()
	for i, p := range c.ahead {
		if accept(p) {
			c.ahead = append(c.ahead[:i:i], c.ahead[i+1:]...)
			return p
		}
	}
	for {
		p, err := c.receive()
		if err != nil {
			c.t.Fatalf("waiting for %s: %v; unread: %s", what, err, describeAll(c.ahead))
		}
		if accept(p) {
			return p
		}
		c.ahead = append(c.ahead, p)
	}
}

// Expect fails the test unless the next packet equals want; an empty slice equals nil.
func (c *Client) Expect(want packets.Packet) {
	c.t.Helper()
	got, err := c.Next()
	if err != nil {
		c.t.Fatalf("expected %s: %v", Describe(want), err)
	}
	if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
		c.t.Fatalf("expected %s, got %s (-want +got):\n%s", Describe(want), Describe(got), diff)
	}
}

// Expect returns the next packet, which must be a P: Expect[*packets.Connack](c).
func Expect[P packets.Packet](c *Client) P {
	c.t.Helper()
	var want P
	got, err := c.Next()
	if err != nil {
		c.t.Fatalf("expected %s: %v", want.Type(), err)
	}
	p, ok := got.(P)
	if !ok {
		c.t.Fatalf("expected %s, got %s", want.Type(), Describe(got))
	}
	return p
}

// ExpectClosed fails the test unless the broker closes the connection next. It returns the reason of a DISCONNECT that
// came before the end, Success if there was none.
func (c *Client) ExpectClosed() packets.ReasonCode {
	c.t.Helper()
	p, err := c.Next()
	code := packets.Success
	if d, ok := p.(*packets.Disconnect); ok && err == nil {
		code = d.Code
		p, err = c.Next()
	}
	if err == nil {
		c.t.Fatalf("expected the end of the connection, got %s", Describe(p))
	}
	if !closed(err) {
		c.t.Fatalf("expected the end of the connection: %v", err)
	}
	return code
}

func closed(err error) bool {
	var op *net.OpError // reset by peer
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrClosedPipe) || errors.As(err, &op) && !op.Timeout()
}

// ExpectNothing fails the test if a packet has come. A PINGREQ there and back shows that the broker has
// handled what was sent before on this connection.
func (c *Client) ExpectNothing() {
	c.t.Helper()
	c.Send(&packets.Pingreq{})
	c.Expect(&packets.Pingresp{})
}

// Connect sends CONNECT for clientID and returns the CONNACK, which must say success. Without clean the session is kept:
// for 3.1.1 by CleanSession 0, for 5.0 by an expiry of an hour.
func (c *Client) Connect(clientID string, clean bool) *packets.Connack {
	c.t.Helper()
	connect := &packets.Connect{Version: c.Version, ClientID: clientID, CleanStart: clean}
	if !clean && c.Version == packets.V5 {
		connect.SessionExpiry = 3600
	}
	c.Send(connect)
	ack := Expect[*packets.Connack](c)
	if ack.Code != packets.Success {
		c.t.Fatalf("CONNECT %s: %s", clientID, ack.Code)
	}
	return ack
}

// Subscribe subscribes to filter and returns the code of the SUBACK. Other packets that come first stay unread.
func (c *Client) Subscribe(filter string, qos byte) packets.ReasonCode {
	c.t.Helper()
	id := c.NextID()
	c.Send(&packets.Subscribe{PacketID: id, Filters: []packets.Subscription{{Filter: filter, QoS: qos}}})
	ack := c.Await("SUBACK", func(p packets.Packet) bool {
		a, ok := p.(*packets.Suback)
		return ok && a.PacketID == id
	}).(*packets.Suback)
	if len(ack.Codes) != 1 {
		c.t.Fatalf("SUBACK for one filter has %d codes", len(ack.Codes))
	}
	return ack.Codes[0]
}

// Publish sends a message and, for QoS 1 and 2, carries the exchange to its end. It returns the code of the PUBACK
// or PUBREC. Other packets that come in between stay unread.
func (c *Client) Publish(p *packets.Publish) packets.ReasonCode {
	c.t.Helper()
	if p.QoS > 0 && p.PacketID == 0 {
		p.PacketID = c.NextID()
	}
	c.Send(p)
	switch p.QoS {
	case 1:
		return c.awaitAck(packets.TypePuback, p.PacketID).Code
	case 2:
		ack := c.awaitAck(packets.TypePubrec, p.PacketID)
		if !ack.Code.Failed() {
			c.Send(&packets.Pubrel{PacketID: p.PacketID})
			c.awaitAck(packets.TypePubcomp, p.PacketID)
		}
		return ack.Code
	}
	return packets.Success
}

// Acknowledge answers a received PUBLISH as its QoS asks and carries QoS 2 to its end.
func (c *Client) Acknowledge(p *packets.Publish) {
	c.t.Helper()
	switch p.QoS {
	case 1:
		c.Send(&packets.Puback{PacketID: p.PacketID})
	case 2:
		c.Send(&packets.Pubrec{PacketID: p.PacketID})
		c.awaitAck(packets.TypePubrel, p.PacketID)
		c.Send(&packets.Pubcomp{PacketID: p.PacketID})
	}
}

func (c *Client) awaitAck(t packets.Type, id uint16) packets.Ack {
	c.t.Helper()
	p := c.Await(t.String(), func(p packets.Packet) bool { return p.Type() == t && ack(p).PacketID == id })
	return ack(p)
}

// ack returns the fields of PUBACK, PUBREC, PUBREL and PUBCOMP.
func ack(p packets.Packet) packets.Ack {
	switch p := p.(type) {
	case *packets.Puback:
		return packets.Ack(*p)
	case *packets.Pubrec:
		return packets.Ack(*p)
	case *packets.Pubrel:
		return packets.Ack(*p)
	case *packets.Pubcomp:
		return packets.Ack(*p)
	}
	return packets.Ack{}
}
