package main

import (
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"strconv"
	"strings"

	"edge/broker/brokertest"
	"edge/broker/packets"
)

// cycles is how often TestPromises kills the program: hundreds in .ci/long.
func cycles() int {
	switch n, err := strconv.Atoi(os.Getenv("EDGE_LONG")); {
	case err == nil && n > 1:
		return n
	case n == 1:
		return 500
	}
	return 20
}

// The packet identifiers of SUBSCRIBE and UNSUBSCRIBE, which messages do not use.
const (
	subscribeID = 65535
	toggleID    = 65534
)

// toggle is what a client knows of the subscription that it makes and removes all the time.
type toggle byte

const (
	off toggle = iota
	on
	unsure // the connection ended before the answer
)

// publish sends a message that everyone has to get (q), one of several (s), or that is retained (r).
func (p *plantClient) publish(kind string, qos byte) {
	p.nextID = p.nextID%60000 + 1
	p.n++
	s := &sending{n: p.n, Publish: packets.Publish{Topic: fmt.Sprintf("%s/%s/%d", kind, p.id, qos), QoS: qos, PacketID: p.nextID, Payload: fmt.Append(nil, p.n)}}
	if kind == "r" {
		s.Topic, s.Retain, s.QoS = "r/"+p.id, true, 1
		p.retained = p.n
	}
	p.out = append(p.out, s)
	p.send(&s.Publish)
}

// toggle subscribes or unsubscribes.
func (p *plantClient) toggle() {
	if p.toggling != nil {
		return
	}
	if p.rng.IntN(2) == 0 {
		p.toggling = &packets.Subscribe{PacketID: toggleID, Filters: []packets.Subscription{{Filter: "toggled/" + p.id, QoS: 1}}}
	} else {
		p.toggling = &packets.Unsubscribe{PacketID: toggleID, Filters: []string{"toggled/" + p.id}}
	}
	p.send(p.toggling)
}

// toggleAnswered notes an answer. UNSUBACK of 5.0 says whether there was a subscription.
func (p *plantClient) toggleAnswered(x packets.Packet) {
	switch x := x.(type) {
	case *packets.Suback:
		if x.PacketID == toggleID {
			p.toggled, p.toggling = on, nil
		}
	case *packets.Unsuback:
		want := map[toggle]packets.ReasonCode{off: packets.NoSubscriptionExisted, on: packets.Success, unsure: x.Codes[0]}[p.toggled]
		if x.Codes[0] != want {
			p.t.Errorf("%s: UNSUBACK %s, want %s", p.id, x.Codes[0], want)
		}
		p.toggled, p.toggling = off, nil
	}
}

func (p *plantClient) toggleLost() {
	if p.toggling != nil {
		p.toggled, p.toggling = unsure, nil
	}
}

// receiveShared notes a message that one of several has to get, of QoS 2 one once.
func (p *plantClient) receiveShared(key string, x *packets.Publish) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.sharedGot[key]++
	if p.sharedGot[key] > 1 && x.QoS == 2 {
		p.t.Errorf("%s: %s came %d times to those who share", p.id, key, p.sharedGot[key])
	}
}

// ghost connects a client that does not come back. Its will is due a second after its connection has ended, or at once if its session
// ends with it, whoever ends it, and however often the program is killed before: everyone gets it once.
func (a *promises) ghost(c *child, round int, rng *rand.Rand) net.Conn {
	a.t.Helper()
	conn, err := net.Dial("tcp", c.mqtt)
	if err != nil {
		a.t.Fatal(err)
	}
	id := fmt.Sprint("ghost", round)
	client := brokertest.NewClient(a.t, conn, packets.V5)
	client.Send(&packets.Connect{Version: packets.V5, ClientID: id, SessionExpiry: 3600 * uint32(round%2), Will: &packets.Will{Topic: "w/" + id, QoS: 2, Payload: []byte("1"), Delay: 1}})
	brokertest.Expect[*packets.Connack](client)
	client.Subscribe("nothing", 1) // answered when it is on disk, and the will with it
	a.mu.Lock()
	a.wills["w/"+id+" 1"] = true
	a.mu.Unlock()
	if rng.IntN(2) == 0 {
		conn.Close()
	}
	return conn
}

// checkRetained asks for what is retained: nothing older than what was acknowledged.
func (a *promises) checkRetained(c *child, plants []*plantClient) {
	conn, err := net.Dial("tcp", c.mqtt)
	if err != nil {
		a.t.Fatal(err)
	}
	client := brokertest.NewClient(a.t, conn, packets.V5)
	client.Connect("checker", true)
	client.Subscribe("r/#", 0)
	client.Send(&packets.Pingreq{})
	found := map[string]int{}
	for {
		x, err := client.Next()
		if err != nil {
			a.t.Fatal(err)
		}
		m, ok := x.(*packets.Publish)
		if !ok {
			break
		}
		n := 0
		fmt.Sscan(string(m.Payload), &n)
		found[strings.TrimPrefix(m.Topic, "r/")] = n
	}
	client.Close()
	for _, p := range plants {
		if n := found[p.id]; n < p.retainedSure || n > p.retained {
			a.t.Errorf("%s: %d is retained, want %d to %d", p.id, n, p.retainedSure, p.retained)
		}
	}
}
