package kit

import (
	"context"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"edge/broker/brokertest"
	"edge/broker/packets"
	"edge/sparkplug"
	"edge/sparkplug/observe"
)

// patience is how long a run waits for what must come. It costs nothing when it comes.
const patience = 90 * time.Second

// run is what every run has: a Wire, and how far its scenario has read the Wire's log.
type run struct {
	t    testing.TB
	wire *observe.Wire
	at   int
}

// tap puts a proxy before a broker until the test ends.
func (r *run) tap(name, listen, broker string) *observe.Tap {
	r.t.Helper()
	tap, err := r.wire.Tap(name, listen, broker)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(tap.Close)
	return tap
}

// await returns the next entry of the log that accept takes. What came before it is passed over.
func (r *run) await(what string, accept func(observe.Entry) bool) observe.Entry {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	var found observe.Entry
	next := r.at
	err := r.wire.Wait(ctx, func(log []observe.Entry) bool {
		for ; next < len(log); next++ {
			if accept(log[next]) {
				found = log[next]
				next++
				return true
			}
		}
		return false
	})
	if err != nil {
		r.t.Fatalf("did not come: %s; after %s", what, story(r.wire.Log()))
	}
	r.at = next
	return found
}

// story is the end of a log in a line, for failures.
func story(log []observe.Entry) string {
	var b strings.Builder
	for _, e := range log[max(0, len(log)-25):] {
		arrow := "<"
		if e.ToServer {
			arrow = ">"
		}
		if e.Packet == nil {
			fmt.Fprintf(&b, " %d:END", e.Conn)
			continue
		}
		fmt.Fprintf(&b, " %d%s%s", e.Conn, arrow, e.Packet.Type())
		if p, ok := e.Packet.(*packets.Publish); ok {
			b.WriteString(" " + p.Topic)
		}
	}
	return b.String()
}

// sent accepts a message of a type from the client.
func sent(typ sparkplug.MessageType, ref sparkplug.NodeRef, device string) func(observe.Entry) bool {
	want := sparkplug.Topic{Type: typ, Group: ref.Group, Node: ref.Node, Device: device}.String()
	return func(e observe.Entry) bool {
		p, ok := e.Packet.(*packets.Publish)
		return ok && e.ToServer && p.Topic == want
	}
}

// given accepts a message to the client.
func given(topic string) func(observe.Entry) bool {
	return func(e observe.Entry) bool {
		p, ok := e.Packet.(*packets.Publish)
		return ok && !e.ToServer && p.Topic == topic
	}
}

// dial connects a client of the kit's own to a broker.
func dial(t testing.TB, broker, id string, v packets.Version) *brokertest.Client {
	t.Helper()
	c := dialBare(t, broker, v)
	c.Connect(id, true)
	return c
}

// dialBare does not send CONNECT.
func dialBare(t testing.TB, broker string, v packets.Version) *brokertest.Client {
	t.Helper()
	c, err := net.Dial("tcp", broker)
	if err != nil {
		t.Fatal(err)
	}
	client := brokertest.NewClient(t, c, v)
	client.Patience = patience
	return client
}

// say publishes what a host or a node would, at QoS 1 or 2 until it is acknowledged.
func say(c *brokertest.Client, p sparkplug.Publish) {
	c.Publish(&packets.Publish{Topic: p.Topic, Payload: p.Payload, QoS: p.QoS, Retain: p.Retain})
}

// hear waits for a message on a topic, acknowledges it and returns it. Others that came before it stay unread.
func hear(c *brokertest.Client, topic string) *packets.Publish {
	p := c.Await("PUBLISH "+topic, func(p packets.Packet) bool {
		pub, ok := p.(*packets.Publish)
		return ok && pub.Topic == topic
	}).(*packets.Publish)
	c.Acknowledge(p)
	return p
}

func payloadOf(t testing.TB, e observe.Entry) *sparkplug.Payload {
	t.Helper()
	p, err := sparkplug.Decode(e.Packet.(*packets.Publish).Payload, sparkplug.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	return p
}
