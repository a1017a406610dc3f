package server

import (
	"math"

	"edge/broker/packets"
)

// topicAliases are the topics that one client knows by a number, at most as many as it announced [MQTT-3.1.2-26] [MQTT-3.1.2-27].
// The first topics sent get one and keep it until the connection ends: a table that gave numbers away again would, with more topics
// than numbers sent in turn, as plants do, name every topic anew and save nothing.
type topicAliases struct {
	max   int // 0: none, as for nearly all clients
	room  int // bytes of topics that may still get one
	known map[string]uint16
}

// newTopicAliases returns a table for a client that announced so many.
func newTopicAliases(announced int, l *Limits) topicAliases {
	a := topicAliases{max: min(announced, l.TopicAlias), room: l.AliasBytes}
	if a.room == 0 {
		a.room = math.MaxInt
	}
	return a
}

// aliasBytes is what an alias takes in a packet: a shorter topic is sent as it is.
const aliasBytes = 3

// use puts an alias into d: one that the client knows in place of the topic, or a new one beside it, which learn makes known.
func (a *topicAliases) use(topic string, d *packets.Delivery) (isNew bool) {
	if a.max == 0 || len(topic) <= aliasBytes {
		return false
	}
	if n, ok := a.known[topic]; ok {
		d.TopicAlias, d.OmitTopic = n, true
		return false
	}
	if len(a.known) == a.max || len(topic) > a.room {
		return false
	}
	d.TopicAlias = uint16(len(a.known) + 1)
	return true
}

// learn is called when the packet that names topic by n is in the outbox: those behind it may leave the topic out.
func (a *topicAliases) learn(topic string, n uint16) {
	if a.known == nil {
		a.known = make(map[string]uint16)
	}
	a.known[topic] = n
	a.room -= len(topic)
}

// sendPublish appends a PUBLISH, as short as the client's aliases make it; it is called with the client's lock held, which orders
// the packets that say what an alias stands for before those that use it. d is written to. A packet that the client does not take,
// for its size or the outbox's, teaches no alias.
func (c *conn) sendPublish(shared *packets.Shared, d *packets.Delivery, must bool, t *turn) outcome {
	isNew := c.known.use(shared.Topic(), d)
	size := shared.Size(d)
	if isNew && c.above(size) { // what is too large with a new alias may be sent without
		d.TopicAlias, isNew = 0, false
		size = shared.Size(d)
	}
	if c.above(size) {
		c.traceMessage(shared, d, size, tooLarge)
		return tooLarge
	}
	result := c.sendShared(shared, d, size, must, t)
	if isNew && result == taken {
		c.known.learn(shared.Topic(), d.TopicAlias)
	}
	return result
}

// above tells whether a packet of that size is longer than the client takes [MQTT-3.1.2-24] or than packets can be.
func (c *conn) above(size int) bool {
	return size > packets.MaxPacketSize || c.maxPacket > 0 && size > c.maxPacket
}
