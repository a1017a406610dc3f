package observe

import (
	"time"

	"edge/broker/packets"
	"edge/sparkplug"
)

// hostApp is what is known of a host application over all its connections.
type hostApp struct {
	open map[*Conn]bool
}

// hostSession is one connection of a host.
type hostSession struct {
	h         *hostApp
	id        string
	timestamp int64 // of the will, -1 none
	born      bool
	dead      bool      // it published its offline STATE
	denied    time.Time // its STATE was made offline by somebody else, and it has not answered; zero: not
}

const (
	hostWillIDs        = "host-topic-phid-death-required operational-behavior-host-application-connect-will payloads-state-will-message"
	hostWillTopicIDs   = "host-topic-phid-death-topic operational-behavior-host-application-connect-will-topic payloads-state-will-message"
	hostWillPayloadIDs = "host-topic-phid-death-payload operational-behavior-host-application-connect-will-payload payloads-state-will-message-payload"
	hostWillQoSIDs     = "host-topic-phid-death-qos operational-behavior-host-application-connect-will-qos payloads-state-will-message-qos"
	hostWillRetainIDs  = "host-topic-phid-death-retain operational-behavior-host-application-connect-will-retained payloads-state-will-message-retain"
	hostFirstIDs       = "host-topic-phid-birth-message principles-birth-certificates-order operational-behavior-host-application-connect-birth " +
		"operational-behavior-primary-application-state-with-multiple-servers-state"
	hostSubscribeIDs = "host-topic-phid-birth-sub-required message-flow-phid-sparkplug-subscription payloads-state-subscribe"
	hostBirthIDs     = "host-topic-phid-birth-required message-flow-phid-sparkplug-state-publish"
	hostTimestampIDs = "host-topic-phid-birth-payload-timestamp message-flow-phid-sparkplug-state-publish-payload-timestamp " +
		"operational-behavior-host-application-connect-birth-payload payloads-state-birth-payload message-flow-phid-sparkplug-state-publish-payload"
	hostRepeatIDs  = "message-flow-hid-sparkplug-state-message-delivered"
	hostGoodbyeIDs = "operational-behavior-host-application-termination"
	hostServersIDs = "operational-behavior-host-application-multi-server-timestamp"
)

// present is how far a timestamp may be from the moment that it should tell.
const present = 30 * time.Second

func isNow(ms int64, at time.Time) bool { return at.Sub(time.UnixMilli(ms)).Abs() < present }

// openHost begins a session of a host and judges its CONNECT.
func (c *Conn) openHost(id string, at time.Time) {
	h := c.w.hosts[id]
	if h == nil {
		if len(c.w.hosts) >= maxPeers {
			return
		}
		h = &hostApp{open: map[*Conn]bool{}}
		c.w.hosts[id] = h
	}
	s := &hostSession{h: h, id: id, timestamp: -1}
	c.host = s
	s.will(c, at)
	clean := "message-flow-phid-sparkplug-clean-session-311"
	if c.version == packets.V5 {
		clean = "message-flow-phid-sparkplug-clean-session-50"
	}
	c.check(at, "", c.connect.CleanStart && c.connect.SessionExpiry == 0, clean,
		"CONNECT with clean start %t, session expiry %d s", c.connect.CleanStart, c.connect.SessionExpiry)
	alone := true
	for other := range h.open {
		if other.server == c.server && other.connect.ClientID != c.connect.ClientID {
			alone = false
		}
	}
	c.check(at, "", alone, "operational-behavior-host-application-host-id", "two clients are host %.60q", id)
	h.open[c] = true
}

func (s *hostSession) will(c *Conn, at time.Time) {
	w := c.connect.Will
	if c.check(at, "", w != nil, hostWillIDs, "CONNECT without a will"); w == nil {
		return
	}
	want := sparkplug.StateTopic(s.id)
	c.check(at, w.Topic, w.Topic == want, hostWillTopicIDs, "the will's topic is %.100q, want %s", w.Topic, want)
	c.check(at, w.Topic, w.QoS == 1, hostWillQoSIDs, "the will has QoS %d, want 1", w.QoS)
	c.check(at, w.Topic, w.Retain, hostWillRetainIDs, "the will is not retained")
	st, err := sparkplug.ParseState(w.Payload)
	if c.check(at, w.Topic, err == nil && !st.Online, hostWillPayloadIDs, "the will's payload is %.60q", w.Payload); err != nil {
		return
	}
	c.check(at, w.Topic, isNow(st.Timestamp, at), "host-topic-phid-death-payload-timestamp-connect", "the will is of %d, CONNECT of %d",
		st.Timestamp, at.UnixMilli())
	s.timestamp = st.Timestamp
}

// subscribe judges that subscriptions come before the birth.
func (s *hostSession) subscribe(c *Conn, p *packets.Subscribe, at time.Time) {
	for _, f := range p.Filters {
		if matches(f.Filter, sparkplug.StateTopic(s.id)) {
			c.check(at, "", !s.born, hostSubscribeIDs, "%s is subscribed to after the STATE birth", f.Filter)
		}
	}
}

func (s *hostSession) publish(c *Conn, t sparkplug.Topic, p *packets.Publish, at time.Time) {
	own := t.Type == sparkplug.STATE && t.Host == s.id
	st, err := sparkplug.ParseState(p.Payload)
	if !c.published {
		c.check(at, p.Topic, own && err == nil && st.Online, hostFirstIDs, "the first PUBLISH is not its online STATE")
	}
	if !own || err != nil {
		return
	}
	if !st.Online {
		c.check(at, p.Topic, isNow(st.Timestamp, at) && st.Timestamp >= s.timestamp, "host-topic-phid-death-payload-timestamp-disconnect-clean "+
			stateDeathPayload, "the offline STATE is of %d, the will of %d, now is %d", st.Timestamp, s.timestamp, at.UnixMilli())
		s.dead, s.denied = true, time.Time{}
		return
	}
	if s.timestamp >= 0 {
		c.check(at, p.Topic, st.Timestamp == s.timestamp, hostTimestampIDs, "the online STATE is of %d, the will of %d", st.Timestamp, s.timestamp)
		if !s.denied.IsZero() {
			c.check(at, p.Topic, st.Timestamp == s.timestamp, hostRepeatIDs, "the STATE is online again with %d, the will's is %d", st.Timestamp, s.timestamp)
		}
	}
	s.denied = time.Time{}
	if !s.born {
		s.birth(c, p.Topic, st.Timestamp, at)
	}
	s.born = true
}

// birth judges what must have come before the first online STATE.
func (s *hostSession) birth(c *Conn, topic string, timestamp int64, at time.Time) {
	namespace := sparkplug.Topic{Type: sparkplug.NBIRTH, Group: "any", Node: "any"}.String()
	c.check(at, topic, c.hears(sparkplug.StateTopic(s.id)) >= 0, hostSubscribeIDs, "its own STATE is not subscribed to")
	c.check(at, topic, c.hears(sparkplug.StateTopic(s.id)) >= 0 && (c.hears(namespace) >= 0 || len(c.subscribed) > 1), hostBirthIDs,
		"the online STATE comes before the subscriptions are acknowledged")
	for other := range s.h.open {
		if o := other.host; other.server != c.server && o.born {
			c.check(at, topic, timestamp == s.timestamp && o.timestamp != s.timestamp, hostServersIDs, "one timestamp for two servers")
			c.check(at, topic, true, stateSubIDs, "")
		}
	}
}

func (s *hostSession) disconnect(c *Conn, at time.Time) {
	if !s.born {
		return
	}
	c.check(at, "", s.dead, hostGoodbyeIDs+" host-topic-phid-death-payload-timestamp-disconnect-clean", "DISCONNECT without an offline STATE before it")
	if s.dead {
		c.check(at, "", true, "operational-behavior-host-application-disconnect-intentional", "")
	}
}

func (s *hostSession) closed(c *Conn, at time.Time) {
	delete(s.h.open, c)
	if c.goodbye == nil && s.dead {
		c.check(at, "", true, "host-topic-phid-death-payload-timestamp-disconnect-with-no-disconnect-packet "+hostGoodbyeIDs, "")
	}
	if !s.denied.IsZero() && at.Sub(s.denied) > present && !s.dead {
		c.check(at, "", false, hostRepeatIDs, "its STATE was made offline, and it did not answer")
	}
}

// receive takes note of what the server sends: STATE, and the births that commands refer to.
func (s *hostSession) receive(c *Conn, t sparkplug.Topic, p *packets.Publish, at time.Time) {
	if t.Type != sparkplug.STATE {
		c.w.observer.Learn(Message{Topic: p.Topic, Payload: p.Payload, QoS: p.QoS, At: at})
		return
	}
	st, err := sparkplug.ParseState(p.Payload)
	if t.Host == s.id && err == nil && !st.Online && s.born && !s.dead {
		s.denied = at
	}
}
