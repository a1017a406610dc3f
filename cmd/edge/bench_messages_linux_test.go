package main

import (
	"encoding/binary"
	"fmt"
	"time"

	"edge/broker/packets"
)

// payloadBytes is the payload of every plain message: stream, sequence number, time, and zeros.
const payloadBytes = 128

// inWindow is how many messages of a publisher may be on their way: a broker that queues is not faster than one that sends.
const inWindow = 20

// traffic is publishers, their messages, and what came of them. It fails the test if a message is lost, comes twice or out of order.
type traffic struct {
	g       *generator
	sources []*feeder
	sinks   []*sink
	owner   []*feeder // by stream
	sent    int
	got     int
	want    int
	took    []time.Duration // of single messages
	timed   bool            // fill took
}

// feeder is a publisher of one or several streams, which are topics.
type feeder struct {
	c         *wire
	qos       byte
	streams   []stream
	next      int
	left      int // to send
	sent      int
	acked     int
	delivered int // by all subscribers together
	fan       int // subscribers of each message; 0: nobody listens now
	single    bool
	id        uint16
	at        []time.Duration // of messages not acknowledged, if they are timed
}

type stream struct {
	packet []byte // a whole PUBLISH
	seq    uint32
}

// sink is a subscriber.
type sink struct {
	tr   *traffic
	c    *wire
	next []uint32 // by stream
}

// from adds a publisher of n messages to topics in turn.
func (tr *traffic) from(id string, qos byte, n, fan int, topics ...string) *feeder {
	s := &feeder{c: tr.g.login(id, true, nil), qos: qos, left: n, fan: fan}
	for _, name := range topics {
		p := packets.Publish{Topic: name, QoS: qos, PacketID: 1, Payload: make([]byte, payloadBytes)}
		if qos == 0 {
			p.PacketID = 0
		}
		binary.BigEndian.PutUint32(p.Payload, uint32(len(tr.owner)))
		s.streams = append(s.streams, stream{packet: p.Append(nil, packets.V4)})
		tr.owner = append(tr.owner, s)
	}
	s.c.on = func(p []byte) { tr.answered(s, p) }
	tr.sources = append(tr.sources, s)
	tr.want += n * max(fan, 1)
	return s
}

// to adds a subscriber. Publishers come before it: it knows their streams.
func (tr *traffic) to(id string, clean bool, qos byte, filters ...string) *sink {
	k := &sink{tr: tr, c: tr.g.login(id, clean, nil), next: make([]uint32, len(tr.owner))}
	k.c.subscribe(qos, filters, k.receive)
	tr.sinks = append(tr.sinks, k)
	return k
}

// send sends the next message of s.
func (tr *traffic) send(s *feeder) {
	st := &s.streams[s.next]
	s.next = (s.next + 1) % len(s.streams)
	s.id = max(1, s.id+1)
	p := st.packet
	payload := p[len(p)-payloadBytes:]
	if s.qos > 0 {
		binary.BigEndian.PutUint16(p[len(p)-payloadBytes-2:], s.id)
	}
	binary.BigEndian.PutUint32(payload[4:], st.seq)
	now := tr.g.now()
	binary.BigEndian.PutUint64(payload[8:], uint64(now))
	if tr.timed && s.fan == 0 {
		s.at = append(s.at, now)
	}
	st.seq++
	s.sent++
	s.left--
	tr.sent++
	s.c.send(p)
	if s.single {
		s.c.flush()
	}
}

// answered takes what the broker says to a publisher.
func (tr *traffic) answered(s *feeder, p []byte) {
	switch t := packets.Type(p[0] >> 4); t {
	case packets.TypePubrec:
		s.c.send([]byte{byte(packets.TypePubrel)<<4 | 2, 2, p[2], p[3]})
	case packets.TypePuback, packets.TypePubcomp:
		s.acked++
		if len(s.at) > 0 {
			tr.took = append(tr.took, tr.g.now()-s.at[0])
			s.at = s.at[1:]
		}
	default:
		tr.g.t.Fatalf("a publisher gets %v", t)
	}
}

// receive takes a packet for a subscriber.
func (k *sink) receive(p []byte) {
	switch t := packets.Type(p[0] >> 4); t {
	case packets.TypePubrel:
		k.c.send([]byte{byte(packets.TypePubcomp) << 4, 2, p[2], p[3]})
		return
	case packets.TypePublish:
	default:
		k.tr.g.t.Fatalf("a subscriber gets %v", t)
	}
	if len(p) < payloadBytes+4 {
		k.tr.g.t.Fatalf("a message of %d bytes", len(p))
	}
	payload, id := p[len(p)-payloadBytes:], p[len(p)-payloadBytes-2:]
	if qos := p[0] >> 1 & 3; qos > 0 {
		answer := packets.TypePuback
		if qos == 2 {
			answer = packets.TypePubrec
		}
		k.c.send([]byte{byte(answer) << 4, 2, id[0], id[1]})
	}
	k.count(int(binary.BigEndian.Uint32(payload)), binary.BigEndian.Uint32(payload[4:]), time.Duration(binary.BigEndian.Uint64(payload[8:])))
}

func (k *sink) count(stream int, seq uint32, at time.Duration) {
	tr := k.tr
	if stream >= len(k.next) {
		tr.g.t.Fatalf("message of stream %d of %d", stream, len(k.next))
	}
	if seq != k.next[stream] {
		tr.g.t.Fatalf("stream %d: message %d comes where %d should: lost, twice or out of order", stream, seq, k.next[stream])
	}
	k.next[stream]++
	tr.got++
	tr.owner[stream].delivered++
	if tr.timed {
		tr.took = append(tr.took, tr.g.now()-at)
	}
}

// fill has each publisher send what its window takes.
func (tr *traffic) fill() {
	for _, s := range tr.sources {
		for s.left > 0 && (s.qos == 0 || s.sent-s.acked < inWindow) && (s.fan == 0 || s.sent*s.fan-s.delivered < inWindow*s.fan) {
			tr.send(s)
		}
	}
}

// saturate sends everything as fast as it is taken.
func (tr *traffic) saturate() {
	tr.g.until("all messages", func() bool {
		tr.fill()
		tr.g.flush()
		return tr.complete()
	})
}

// pace sends so many messages a second, one by one, each publisher in its turn.
func (tr *traffic) pace(perSecond int) {
	turn := 0
	tr.timed = true
	tr.g.every(perSecond, func(n uint64) {
		for ; n > 0; n-- {
			s := tr.sources[turn%len(tr.sources)]
			turn++
			if s.left > 0 {
				tr.send(s)
				s.c.flush()
			}
		}
	})
	tr.g.until("all messages", tr.complete)
	tr.g.every(0, nil)
}

// complete: everything is sent, acknowledged, and delivered to who listens.
func (tr *traffic) complete() bool {
	for _, s := range tr.sources {
		if s.left > 0 || s.qos > 0 && s.acked < s.sent || s.delivered < s.sent*s.fan {
			return false
		}
	}
	return true
}

func topics(format string, n int) (list []string) {
	for i := range n {
		list = append(list, fmt.Sprintf(format, i))
	}
	return list
}
