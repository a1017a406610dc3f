package server

import (
	"slices"
	"time"

	"edge/broker/auth"
	"edge/broker/packets"
	"edge/broker/router"
	"edge/broker/session"
	"edge/broker/topic"
)

// replay is the retained messages that one new subscription has to get [MQTT-3.3.1-9]. They are sent as the client
// takes them, not through its queue, so there may be more than the queue holds. The session remembers how far that has come, on disk if
// it is: who got SUBACK for QoS 1 or 2 gets the rest after a crash.
type replay struct {
	session.Replay
	names []topic.Name // still to be looked at
	begun bool         // names is set
}

// addReplayLocked begins the replay for a subscription, anew if one is under way [MQTT-3.8.4-4].
func (c *client) addReplayLocked(sub *session.Subscription) {
	c.endReplayLocked(sub.Filter)
	if !c.server.router.HasRetained(sub.Filter) { // what comes from now on is delivered
		return
	}
	c.replays = append(c.replays, replay{Replay: session.Replay{Filter: sub.Filter}})
	if sub.QoS > 0 {
		c.session.BeginReplay(sub.Filter, &c.out)
	}
}

func (c *client) endReplayLocked(f topic.Filter) {
	c.replays = slices.DeleteFunc(c.replays, func(r replay) bool { return r.Filter == f })
	c.session.EndReplay(f, &c.out)
}

// pauseReplaysLocked keeps what a session that outlives its connection still has to get, in few bytes.
func (c *client) pauseReplaysLocked() {
	if c.session == nil {
		c.replays = nil
		return
	}
	for i := range c.replays {
		c.replays[i].names, c.replays[i].begun = nil, false
	}
}

// restoreReplays goes on where the session was when the program ended.
func (c *client) restoreReplays() {
	for _, r := range c.session.Replays() {
		c.replays = append(c.replays, replay{Replay: r})
	}
}

// replayLocked sends retained messages while there is room. Each is looked up when its turn comes, under the lock
// that live messages take too: so an older one never follows a newer one.
func (c *client) replayLocked(now time.Time, t *turn) {
	if len(c.replays) == 0 || !c.server.isDurable(c.replayAt) {
		return
	}
	slice := replaySlice
	for len(c.replays) > 0 {
		r := &c.replays[0]
		sub, subscribed := c.session.Subscription(r.Filter)
		if !r.begun {
			r.begin(c.server.router)
		}
		for subscribed && len(r.names) > 0 {
			if slice--; slice <= 0 && c.conn.wire.yield() {
				c.setBlockedLocked(true, now) // so that roomAgain goes on
				return
			}
			if topic.Match(r.Filter, r.names[0]) {
				if !c.hasRoomLocked() {
					return
				}
				if !c.replayOneLocked(r.names[0], sub, now, t) {
					return // the window is full: the next acknowledgement goes on
				}
			}
			r.After, r.names = r.names[0], r.names[1:]
		}
		c.out.Reset()
		c.endReplayLocked(r.Filter)
		if _, err := c.carryLocked(now, t); err != nil {
			return
		}
	}
	c.replays = nil
}

// replaySlice is how many topics are looked at before other connections of an event loop have their turn.
const replaySlice = 256

// begin finds where to look. Shared subscriptions have no replay, so the filter is one as it stands.
func (r *replay) begin(from *router.Router) {
	r.names, r.begun = from.RetainedNames(r.Filter), true
	at, found := slices.BinarySearch(r.names, r.After)
	if found {
		at++
	}
	r.names = r.names[at:]
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
	if c.session.Deliver(d, true, &c.out) > 0 {
		c.session.ReplayedTo(sub.Filter, name, &c.out)
	}
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
