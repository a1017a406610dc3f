package main

import (
	"fmt"
	"time"

	"edge/broker/packets"
	"edge/sparkplug"
)

// peerLoad is one row of the table. run sets up, has m measure what counts, and checks that nothing is missing.
type peerLoad struct {
	name string
	run  func(g *generator, m *gauge, scale int)
}

// peerLoads are bounded by messages; scale divides them.
var peerLoads = []peerLoad{
	{"fan-in, 50 to 1, QoS 0", func(g *generator, m *gauge, scale int) { fanIn(g, m, 0, 100_000/scale) }},
	{"fan-in, 50 to 1, QoS 1", func(g *generator, m *gauge, scale int) { fanIn(g, m, 1, 50_000/scale) }},
	{"fan-in, 50 to 1, QoS 2", func(g *generator, m *gauge, scale int) { fanIn(g, m, 2, 20_000/scale) }},
	{"fan-out, 1 to 100, QoS 0", func(g *generator, m *gauge, scale int) { fanOut(g, m, 0, 2000/scale) }},
	{"fan-out, 1 to 100, QoS 1", func(g *generator, m *gauge, scale int) { fanOut(g, m, 1, 1000/scale) }},
	{"50 pairs, one message a write, QoS 0", pairs},
	{"wildcard, 10,000 filters, 3 match", wildcard},
	{"paced at 1,000/s, QoS 0", func(g *generator, m *gauge, scale int) { paced(g, m, 1000, 1500/scale) }},
	{"paced at 2,000/s, QoS 0", func(g *generator, m *gauge, scale int) { paced(g, m, 2000, 3000/scale) }},
	{"Sparkplug NDATA at 10,000/s, 100 nodes", ndata},
	{"connect, subscribe, disconnect", storm},
	{"10,000 retained to a new subscriber, QoS 1", retained},
	{"QoS 1 to an absent session, 80 in flight", func(g *generator, m *gauge, scale int) { absent(g, m, 4, 0, 10_000/scale) }},
	{"the same, paced at 1,000/s", func(g *generator, m *gauge, scale int) { absent(g, m, 20, 1000, 1500/scale) }},
}

func fanIn(g *generator, m *gauge, qos byte, n int) {
	tr := &traffic{g: g}
	for i := range 50 {
		tr.from(fmt.Sprint("p", i), qos, n/50, 1, fmt.Sprintf("plant/in%d/temperature", i))
	}
	tr.to("s", true, qos, "plant/#")
	m.measure(tr.saturate)
	m.delivered(tr)
}

func fanOut(g *generator, m *gauge, qos byte, n int) {
	tr := &traffic{g: g}
	tr.from("p", qos, n, 100, "plant/out/temperature")
	for i := range 100 {
		tr.to(fmt.Sprint("s", i), true, qos, "plant/out/#")
	}
	m.measure(tr.saturate)
	m.delivered(tr)
}

func pairs(g *generator, m *gauge, scale int) {
	tr := &traffic{g: g}
	for i := range 50 {
		tr.from(fmt.Sprint("p", i), 0, 1000/scale, 1, fmt.Sprintf("plant/pair%d/temperature", i)).single = true
	}
	for i := range 50 {
		tr.to(fmt.Sprint("s", i), true, 0, fmt.Sprintf("plant/pair%d/+", i))
	}
	m.measure(tr.saturate)
	m.delivered(tr)
}

// wildcard has 30 subscribers; ten have the filters of one line each, ten those of one line in every area, ten those of an area, and all
// of them others that select nothing that is published. So each message goes to one of each ten.
func wildcard(g *generator, m *gauge, scale int) {
	const areas, lines, subscribers, filters = 10, 100, 30, 10_000
	tr := &traffic{g: g}
	for p := range 20 {
		var names []string
		for n := p * 50; n < (p+1)*50; n++ {
			names = append(names, fmt.Sprintf("w/area%d/line%d/temperature", n/lines, n%lines))
		}
		tr.from(fmt.Sprint("p", p), 0, 1000/scale, 3, names...)
	}
	var of [subscribers][]string
	for n := range areas * lines {
		of[n%10] = append(of[n%10], fmt.Sprintf("w/area%d/line%d/+", n/lines, n%lines))
	}
	for l := range lines {
		of[10+l%10] = append(of[10+l%10], fmt.Sprintf("w/+/line%d/temperature", l))
	}
	for a := range areas {
		of[20+a] = append(of[20+a], fmt.Sprintf("w/area%d/#", a))
	}
	for n := areas*lines + lines + areas; n < filters; n++ {
		f := fmt.Sprintf("w/area%d/+/pressure/%d", n%areas, n)
		if n%2 == 0 {
			f = fmt.Sprintf("w/+/line%d/humidity%d/#", n%lines, n)
		}
		of[n%subscribers] = append(of[n%subscribers], f)
	}
	for i, list := range of {
		tr.to(fmt.Sprint("s", i), true, 0, list...)
	}
	m.measure(tr.saturate)
	m.delivered(tr)
}

func paced(g *generator, m *gauge, perSecond, n int) {
	tr := &traffic{g: g}
	for i := range 20 {
		tr.from(fmt.Sprint("p", i), 0, n/20, 1, fmt.Sprintf("plant/paced%d/temperature", i))
	}
	tr.to("s", true, 0, "plant/#")
	m.measure(func() { tr.pace(perSecond) })
	m.delivered(tr)
	m.took = tr.took
}

// livingPlant has so many nodes born, and one host that listens to all of them.
func livingPlant(g *generator, nodes int) *plantLoad {
	host := g.login("scada", true, nil)
	plant := &plantLoad{g: g, sent: make([][]time.Duration, nodes), next: make([]uint64, nodes)}
	host.subscribe(0, []string{"spBv1.0/#"}, plant.receive)
	for i := range nodes {
		plant.born(i)
	}
	g.until("all births", func() bool { return plant.births == nodes })
	return plant
}

// ndata is a plant: 100 nodes that were born, and say four values each time; one host listens to all. Edge follows and records them too.
func ndata(g *generator, m *gauge, scale int) {
	const nodes, perSecond = 100, 10_000
	n := 15_000 / scale
	plant := livingPlant(g, nodes)
	m.measure(func() {
		turn := 0
		g.every(perSecond, func(ticks uint64) {
			for ; ticks > 0 && turn < n; ticks-- {
				plant.say(turn % nodes)
				turn++
			}
		})
		g.until("all NDATA", func() bool { return plant.got == n })
		g.every(0, nil)
	})
	m.messages, m.took = plant.got, plant.took
}

type plantLoad struct {
	g       *generator
	nodes   []*wire
	seq     []uint64
	next    []uint64          // that the host is to get
	sent    [][]time.Duration // and did not come yet
	took    []time.Duration
	births  int
	got     int
	payload sparkplug.Payload
	buf     []byte
}

func (l *plantLoad) born(i int) {
	ref := sparkplug.NodeRef{Group: "Load", Node: fmt.Sprintf("n%02d", i)}
	death := sparkplug.NodeDeath(ref, 0, time.Now())
	l.nodes = append(l.nodes, l.g.login("node-"+ref.Node, true, &packets.Will{Topic: death.Topic, Payload: death.Payload, QoS: 1}))
	l.seq = append(l.seq, 0)
	l.publish(i, "NBIRTH", []sparkplug.Metric{sparkplug.BdSeqMetric(0, time.Now()), value(0, 0, true), value(1, 0, true), value(2, 0, true), value(3, 0, true)})
}

// value is one metric, in a birth with its name.
func value(alias uint64, n int64, birth bool) sparkplug.Metric {
	at := sparkplug.Millis(time.Now())
	m := sparkplug.Metric{Alias: alias, HasAlias: true, Timestamp: at, HasTimestamp: true, Value: sparkplug.Int64Value(sparkplug.Int64, n)}
	if birth {
		m.Name, m.Type = fmt.Sprintf("Line/Drive %d/Speed", alias), sparkplug.Int64
	}
	return m
}

func (l *plantLoad) say(i int) {
	n := int64(l.seq[i])
	l.sent[i] = append(l.sent[i], l.g.now())
	l.publish(i, "NDATA", []sparkplug.Metric{value(0, n, false), value(1, n+1, false), value(2, n+2, false), value(3, n+3, false)})
	l.nodes[i].flush()
}

func (l *plantLoad) publish(i int, kind string, metrics []sparkplug.Metric) {
	p := sparkplug.Payload{Timestamp: sparkplug.Millis(time.Now()), HasTimestamp: true, Seq: l.seq[i], HasSeq: true, Metrics: metrics}
	l.seq[i] = (l.seq[i] + 1) % 256
	l.buf = sparkplug.AppendPayload(l.buf[:0], &p)
	m := packets.Publish{Topic: fmt.Sprintf("spBv1.0/Load/%s/n%02d", kind, i), Payload: l.buf}
	l.nodes[i].out = m.Append(l.nodes[i].out, packets.V4)
	l.nodes[i].mark()
}

// receive is the host's: it looks at the order of each node.
func (l *plantLoad) receive(frame []byte) {
	p, err := packets.Decode(packets.V4, frame)
	m, ok := p.(*packets.Publish)
	if err != nil || !ok {
		l.g.t.Fatalf("the host gets %v: %v", p, err)
	}
	var i int
	var kind string
	if n, _ := fmt.Sscanf(m.Topic, "spBv1.0/Load/%6s", &kind); n != 1 || kind[1] == 'D' && kind != "NDATA/" || kind == "NDEATH" {
		return // STATE of a host, or the end of a node of an earlier round
	}
	fmt.Sscanf(m.Topic[len(m.Topic)-2:], "%d", &i)
	if err := l.payload.Decode(m.Payload, sparkplug.Limits{}); err != nil || l.payload.Seq != l.next[i] {
		l.g.t.Fatalf("%s has seq %d, want %d: %v", m.Topic, l.payload.Seq, l.next[i], err)
	}
	l.next[i] = (l.next[i] + 1) % 256
	if kind == "NBIRTH" {
		l.births++
		return
	}
	l.got++
	l.took = append(l.took, l.g.now()-l.sent[i][0])
	l.sent[i] = l.sent[i][1:]
}

// storm opens connections, 64 at once, each with a subscription, until all have been served.
func storm(g *generator, m *gauge, scale int) {
	n := 3000 / scale
	begun, done := 0, 0
	subscribe := (&packets.Subscribe{PacketID: 1, Filters: []packets.Subscription{{Filter: "storm/#"}}}).Append(nil, packets.V4)
	var next func()
	next = func() {
		if begun == n {
			return
		}
		begun++
		c := g.dial()
		connect := packets.Connect{Version: packets.V4, ClientID: fmt.Sprint("storm", begun), CleanStart: true, KeepAlive: 60}
		c.send(connect.Append(nil, packets.V4))
		c.on = func(p []byte) {
			if packets.Type(p[0]>>4) == packets.TypeConnack {
				c.send(subscribe)
				return
			}
			c.send([]byte{byte(packets.TypeDisconnect) << 4, 0})
			c.ended = func() { done++; next() }
		}
	}
	m.measure(func() {
		for range 64 {
			next()
		}
		g.until("all connections", func() bool { return done == n })
	})
	m.messages = n
}

// retained stores messages, and measures what new subscribers take to get them.
func retained(g *generator, m *gauge, scale int) {
	const subscribers = 3
	n := 10_000 / scale
	store := &traffic{g: g}
	source := store.from("p", 1, n, 0, topics("retained/line%d/value", n)...)
	for i := range source.streams {
		source.streams[i].packet[0] |= 1
	}
	store.saturate()
	got := make([]map[string]bool, subscribers)
	whole := func() (sum int) {
		for _, names := range got {
			sum += len(names)
		}
		return sum
	}
	m.measure(func() {
		for i := range got {
			got[i] = make(map[string]bool, n)
			c := g.login(fmt.Sprint("s", i), true, nil)
			c.subscribe(1, []string{"retained/#"}, func(p []byte) {
				name := string(p[len(p)-payloadBytes-2-topicLength(p) : len(p)-payloadBytes-2])
				if p[0]&1 == 0 || got[i][name] {
					g.t.Fatalf("%s comes twice, or not as retained", name)
				}
				got[i][name] = true
				c.send([]byte{byte(packets.TypePuback) << 4, 2, p[len(p)-payloadBytes-2], p[len(p)-payloadBytes-1]})
			})
		}
		g.until("all retained messages", func() bool { return whole() == subscribers*n })
	})
	m.messages = whole()
}

// topicLength is that of a PUBLISH with a payload of payloadBytes and at least 127 bytes, so with two bytes of length.
func topicLength(p []byte) int { return int(p[3])<<8 | int(p[4]) }

// absent has publishers whose messages wait for a session that is away, paced or as fast as they are acknowledged. Then it comes for them.
func absent(g *generator, m *gauge, publishers, perSecond, n int) {
	g.login("away", true, nil) // nothing is left of an earlier round
	g.leave()
	away := g.login("away", false, nil)
	away.subscribe(1, []string{"absent/#"}, nil)
	g.leave()
	tr := &traffic{g: g}
	for i := range publishers {
		tr.from(fmt.Sprint("p", i), 1, n/publishers, 0, fmt.Sprintf("absent/line%d/value", i))
	}
	if perSecond > 0 {
		m.measure(func() { tr.pace(perSecond) })
		m.took = tr.took
	} else {
		m.measure(tr.saturate)
	}
	m.messages, tr.timed = tr.sent, false
	k := &sink{tr: tr, c: g.dial(), next: make([]uint32, len(tr.owner))}
	k.c.on = func(p []byte) {
		if packets.Type(p[0]>>4) != packets.TypeConnack {
			k.receive(p)
		}
	}
	k.c.send((&packets.Connect{Version: packets.V4, ClientID: "away", KeepAlive: 60}).Append(nil, packets.V4))
	g.until("what waited for the session", func() bool { return tr.got == tr.sent })
	g.leave()
	g.login("away", true, nil)
}
