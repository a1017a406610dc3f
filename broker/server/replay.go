package server

import (
	"slices"
	"time"

	"edge/broker/auth"
	"edge/broker/packets"
	"edge/broker/session"
	"edge/broker/topic"
)

// replay is the retained messages that one new subscription has to get [MQTT-3.3.1-9]. They are sent as the client
// takes them, not through its queue, so there may be more than the queue holds.
type replay struct {
	filter topic.Filter // as subscribed
	names  []topic.Name // still to be sent
	begun  bool         // names is set
	from   topic.Name   // where to go on when a connection ended in between
}

// addReplayLocked begins the replay for a filter, anew if one is under way [MQTT-3.8.4-4].
func (c *client) addReplayLocked(f topic.Filter) {
	for i := range c.replays {
		if c.replays[i].filter == f {
			c.replays[i] = replay{filter: f}
			return
		}
	}
	c.replays = append(c.replays, replay{filter: f})
}

// pauseReplaysLocked keeps what a session that outlives its connection still has to get, in few bytes.
func (c *client) pauseReplaysLocked() {
	if c.session == nil {
		c.replays = nil
		return
	}
	for i := range c.replays {
		if r := &c.replays[i]; r.begun && len(r.names) > 0 {
			r.from, r.names, r.begun = r.names[0], nil, false
		}
	}
}

// replayLocked sends retained messages while there is room. Each is looked up when its turn comes, under the lock
// that live messages take too: so an older one never follows a newer one.
func (c *client) replayLocked(now time.Time, t *turn) {
	if len(c.replays) == 0 || !c.server.isDurable(c.replayAt) {
		return
	}
	for len(c.replays) > 0 {
		r := &c.replays[0]
		sub, subscribed := c.session.Subscription(r.filter)
		_, inner := splitShare(r.filter, c.session.Protocol())
		if !r.begun {
			r.names, r.begun = c.server.router.RetainedNames(inner), true
			at, _ := slices.BinarySearch(r.names, r.from)
			r.names = r.names[at:]
		}
		for subscribed && len(r.names) > 0 {
			if !c.hasRoomLocked() {
				return
			}
			if !c.replayOneLocked(r.names[0], sub, now, t) {
				return // the window is full: the next acknowledgement goes on
			}
			r.names = r.names[1:]
		}
		c.replays = c.replays[1:]
	}
	c.replays = nil
}

// replayOneLocked sends the message retained on a topic now, with RETAIN 1 [v3 MQTT-3.3.1-8]. False: not now.
func (c *client) replayOneLocked(name topic.Name, sub session.Subscription, now time.Time, t *turn) bool {
	m := c.server.router.Retained(name, now)
	if m == nil || !c.server.stillAllowed(m.User, m.From, name) {
		return true
	}
	d := session.Delivery{Message: m, QoS: min(m.QoS, sub.QoS), Retain: true}
	if sub.ID != 0 {
		d.IDs = []uint32{sub.ID}
	}
	if d.QoS == 0 {
		shared := packets.Share(c.conn.version, string(m.Topic), m.Properties, m.Payload)
		p := packets.Delivery{Retain: true, SubscriptionIDs: d.IDs, Expiry: expiryLeft(m, now)}
		if c.conn.sendPublish(&shared, &p, true, t) == tooLarge {
			c.server.counters.drop(session.DropTooLarge, 1)
		}
		return true
	}
	if !c.session.WindowOpen() {
		return false
	}
	c.out.Reset()
	c.session.Deliver(d, true, &c.out)
	_, err := c.carryLocked(now, t)
	return err == nil
}

// stillAllowed asks whether whoever published a retained message still may: what someone left who has lost the right
// is not handed out.
func (s *Server) stillAllowed(user, clientID string, name topic.Name) bool {
	if name.Reserved() || clientID == "" || clientID[0] == '$' {
		return true // our own
	}
	return s.rules().MayPublish(auth.Identity{User: user, ClientID: clientID, Anonymous: user == ""}, name)
}
