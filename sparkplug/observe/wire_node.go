package observe

import (
	"fmt"
	"strings"
	"time"

	"edge/broker/packets"
	"edge/sparkplug"
)

// edgeNode is what is known of an edge node over all its connections.
type edgeNode struct {
	ref    sparkplug.NodeRef
	bdSeq  int              // of the last CONNECT, -1 none
	open   map[*Conn]bool   // with a CONNECT
	states map[string]int64 // timestamp of the primary host's last valid STATE, by server
	left   string           // the server that it left because its host is offline; empty: none
	before string           // the server of its last connection that had a birth
}

// nodeSession is one connection of an edge node.
type nodeSession struct {
	n       *edgeNode
	bdSeq   int // of the will, -1 none
	born    bool
	fresh   bool // no data since the NBIRTH
	dead    bool // it published its NDEATH
	asked   bool // for a rebirth, since the last NBIRTH
	reborn  bool // the last NBIRTH was asked for
	devices map[string]bool
	owed    map[string]bool  // devices that the present births must bring
	awaits  awaits           // the primary host
	besides map[*Conn]string // connections of the node that were open when it connected, and the ids that speak against them

	// What it was tempted with after its birth, and has not yet answered in one way or the other.
	oldOffline bool // its host offline, but in the past
	mustLeave  bool // its host offline
}

// awaits is what was heard of the primary host before a birth.
type awaits struct {
	online                bool
	at                    int64 // the timestamp of the STATE that says so, ms
	foreign, offline, old bool  // heard while not online: another host online, the own one offline, the own one online in the past
}

const (
	willIDs         = "message-flow-edge-node-birth-publish-will-message payloads-ndeath-will-message"
	willTopicIDs    = "message-flow-edge-node-birth-publish-will-message-topic topics-ndeath-topic"
	willPayloadIDs  = "message-flow-edge-node-birth-publish-will-message-payload"
	willBdSeqIDs    = "message-flow-edge-node-birth-publish-will-message-payload-bdSeq"
	willQoSIDs      = "message-flow-edge-node-birth-publish-will-message-qos payloads-ndeath-will-message-qos"
	willRetainIDs   = "message-flow-edge-node-birth-publish-will-message-will-retained payloads-ndeath-will-message-retain"
	bdSeqNextIDs    = "topics-nbirth-bdseq-increment " + willBdSeqIDs
	bdSeqMatchIDs   = "topics-nbirth-bdseq-matching payloads-nbirth-bdseq-repeat payloads-ndeath-bdseq message-flow-edge-node-birth-publish-nbirth-payload-bdSeq"
	singleServerIDs = "operational-behavior-primary-application-state-with-multiple-servers-single-server"
	stateSubIDs     = "operational-behavior-primary-application-state-with-multiple-servers-state-subs"
	leaveIDs        = "message-flow-edge-node-birth-publish-phid-offline operational-behavior-edge-node-termination-host-offline"
	walkIDs         = "operational-behavior-primary-application-state-with-multiple-servers-walk operational-behavior-edge-node-termination-host-offline-reconnect"
	oldOfflineIDs   = "operational-behavior-edge-node-termination-host-offline-timestamp"
	waitIDs         = "message-flow-edge-node-birth-publish-phid-wait"
	goodbyeIDs      = "operational-behavior-edge-node-intentional-disconnect-ndeath payloads-ndeath-will-message-publisher"
	caseIDs         = "case-sensitivity-sparkplug-ids"
	uniqueNodeIDs   = "intro-edge-node-id-uniqueness topic-structure-namespace-unique-edge-node-descriptor payloads-nbirth-edge-node-descriptor"
)

// openNode begins a session of an edge node and judges its CONNECT.
func (c *Conn) openNode(ref sparkplug.NodeRef, at time.Time) {
	n := c.w.nodes[ref]
	if n == nil {
		if len(c.w.nodes) >= maxPeers {
			return
		}
		n = &edgeNode{ref: ref, bdSeq: -1, open: map[*Conn]bool{}, states: map[string]int64{}}
		c.w.nodes[ref] = n
	}
	for other := range c.w.nodes {
		same := strings.EqualFold(other.Group, ref.Group) && strings.EqualFold(other.Node, ref.Node)
		c.check(at, "", other == ref || !same, caseIDs, "edge nodes %v and %v", other, ref)
	}
	s := &nodeSession{n: n, bdSeq: -1, devices: map[string]bool{}, owed: map[string]bool{}, besides: map[*Conn]string{}}
	c.node = s
	s.will(c, at)
	clean := "principles-persistence-clean-session-311"
	if c.version == packets.V5 {
		clean = "principles-persistence-clean-session-50"
	}
	c.check(at, "", c.connect.CleanStart && c.connect.SessionExpiry == 0, clean,
		"CONNECT with clean start %t, session expiry %d s", c.connect.CleanStart, c.connect.SessionExpiry)
	for other := range n.open {
		switch {
		case other.server != c.server:
			s.besides[other] = singleServerIDs
		case other.connect.ClientID != c.connect.ClientID: // somebody else of its name, or itself by another client
			s.besides[other] = uniqueNodeIDs
		default: // the same again, sooner than its server noticed
			c.check(at, "", true, uniqueNodeIDs, "")
		}
	}
	if len(n.open) == 0 {
		c.check(at, "", true, uniqueNodeIDs, "")
		if n.before != "" && n.before != c.server {
			c.check(at, "", true, singleServerIDs, "")
		}
	}
	if n.left != "" {
		c.check(at, "", n.left != c.server, walkIDs, "CONNECT at %s, where its host is offline", c.server)
		n.left = ""
	}
	n.open[c] = true
}

// besidesText says what is wrong with another connection.
func besidesText(c, other *Conn) string {
	return fmt.Sprintf("client %.40q at %s while client %.40q at %s", c.connect.ClientID, c.server, other.connect.ClientID, other.server)
}

// alone judges at a birth the connections that were open at its CONNECT. Till then their end may just not have been seen: what two
// connections bring has no order.
func (s *nodeSession) alone(c *Conn, at time.Time) {
	for other, ids := range s.besides {
		c.check(at, "", other.goodbye != nil, ids, "%s", besidesText(c, other))
	}
	clear(s.besides)
}

// crowded notes the connections that still are beside others, for a Tally of now.
func (w *Wire) crowded(t *Tally) {
	for _, n := range w.nodes {
		for c := range n.open {
			for other, ids := range c.node.besides {
				for id := range strings.FieldsSeq(ids) {
					t.Note("tck-id-"+id, other.goodbye != nil, Finding{Text: besidesText(c, other)})
				}
			}
		}
	}
}

// will judges the will of a CONNECT.
func (s *nodeSession) will(c *Conn, at time.Time) {
	w := c.connect.Will
	if c.check(at, "", w != nil, willIDs, "CONNECT without a will"); w == nil {
		return
	}
	want := sparkplug.Topic{Type: sparkplug.NDEATH, Group: s.n.ref.Group, Node: s.n.ref.Node}.String()
	c.check(at, w.Topic, w.Topic == want, willTopicIDs, "the will's topic is %.100q, want %s", w.Topic, want)
	c.check(at, w.Topic, w.QoS == 1, willQoSIDs, "the will has QoS %d, want 1", w.QoS)
	c.check(at, w.Topic, !w.Retain, willRetainIDs, "the will is retained")
	p, err := sparkplug.Decode(w.Payload, sparkplug.Limits{})
	if c.check(at, w.Topic, err == nil, willPayloadIDs, "the will's payload: %v", err); err != nil {
		return
	}
	c.check(at, w.Topic, !p.HasSeq, "topics-ndeath-seq payloads-ndeath-seq", "the will has seq %d", p.Seq)
	c.check(at, w.Topic, len(p.Metrics) == 1, "topics-ndeath-payload", "the will has %d metrics, want bdSeq alone", len(p.Metrics))
	o := c.w.observer
	o.m = Message{Topic: w.Topic, At: at}
	o.bdSeqMetric(p, "topics-ndeath-payload", willBdSeqIDs)
	if s.bdSeq = sparkplug.BdSeqOf(p); s.bdSeq >= 0 && s.n.bdSeq >= 0 {
		c.check(at, w.Topic, s.bdSeq == (s.n.bdSeq+1)%256, bdSeqNextIDs, "bdSeq %d after %d", s.bdSeq, s.n.bdSeq)
	}
	s.n.bdSeq = s.bdSeq
}

// publish judges what an Observer cannot: a message's place in the connection.
func (s *nodeSession) publish(c *Conn, t sparkplug.Topic, p *packets.Publish, at time.Time) {
	if !c.published {
		c.check(at, p.Topic, t.Type == sparkplug.NBIRTH, "principles-birth-certificates-order", "the first PUBLISH is %s", t.Type)
	}
	if t.Type.OfDevice() || t.Type != sparkplug.STATE {
		c.check(at, p.Topic, t.NodeRef() == s.n.ref, "message-flow-device-birth-publish-dbirth-match-edge-node-topic",
			"%s of %v on the connection of %v", t.Type, t.NodeRef(), s.n.ref)
	}
	switch t.Type {
	case sparkplug.NBIRTH:
		s.nodeBirth(c, p, at)
	case sparkplug.DBIRTH:
		c.check(at, p.Topic, s.born, "message-flow-device-birth-publish-nbirth-wait", "DBIRTH before the NBIRTH of its connection")
		c.check(at, p.Topic, c.hears(sparkplug.Topic{Type: sparkplug.DCMD, Group: t.Group, Node: t.Node, Device: t.Device}.String()) == 1,
			"message-flow-device-dcmd-subscribe", "the device's DCMD is not subscribed to at QoS 1")
		s.device(c, p.Topic, t.Device, at)
		delete(s.owed, t.Device)
	case sparkplug.NDATA, sparkplug.DDATA:
		s.data(c, t, at)
	case sparkplug.DDEATH:
		delete(s.devices, t.Device)
	case sparkplug.NDEATH:
		s.death(c, p, at)
	}
}

// device judges the name of a device that is born: two of one name would be born twice by one NBIRTH.
func (s *nodeSession) device(c *Conn, topic, device string, at time.Time) {
	c.check(at, topic, !s.fresh || !s.devices[device], "topic-structure-namespace-unique-device-id", "device %.60q is born twice", device)
	for other := range s.devices {
		c.check(at, topic, other == device || !strings.EqualFold(other, device), caseIDs, "devices %.60q and %.60q", other, device)
	}
	if len(s.devices) < maxDevices {
		s.devices[device] = true
	}
}

func (s *nodeSession) nodeBirth(c *Conn, p *packets.Publish, at time.Time) {
	c.check(at, p.Topic, c.accepted, "message-flow-edge-node-birth-publish-connect", "NBIRTH before the CONNACK")
	payload, err := sparkplug.Decode(p.Payload, sparkplug.Limits{})
	if err != nil {
		return // the Observer says so
	}
	c.check(at, p.Topic, sparkplug.BdSeqOf(payload) == s.bdSeq && s.bdSeq >= 0, bdSeqMatchIDs,
		"bdSeq %d, that of the will is %d", sparkplug.BdSeqOf(payload), s.bdSeq)
	if s.asked {
		c.check(at, p.Topic, true, "operational-behavior-data-commands-rebirth-action-1", "") // what came in between was judged
		c.check(at, p.Topic, sparkplug.BdSeqOf(payload) == s.bdSeq, "operational-behavior-data-commands-rebirth-action-3",
			"the rebirth has bdSeq %d, that of the will is %d", sparkplug.BdSeqOf(payload), s.bdSeq)
	}
	c.check(at, p.Topic, c.hears(sparkplug.Topic{Type: sparkplug.NCMD, Group: s.n.ref.Group, Node: s.n.ref.Node}.String()) == 1,
		"message-flow-edge-node-ncmd-subscribe", "the node's NCMD is not subscribed to at QoS 1")
	s.alone(c, at)
	s.awaited(c, p.Topic, at)
	s.reborn, s.asked = s.asked, false
	s.born, s.fresh, s.dead = true, true, false
	s.owed = s.devices
	s.devices = map[string]bool{}
	for _, d := range c.w.o.Devices {
		s.owed[d] = true
	}
	s.n.before = c.server
}

// awaited judges whether the birth waited for its primary host, and was not tempted by what is not its online STATE.
func (s *nodeSession) awaited(c *Conn, topic string, at time.Time) {
	host := c.w.o.PrimaryHost
	if host == "" {
		return
	}
	c.check(at, topic, c.hears(sparkplug.StateTopic(host)) >= 0, stateSubIDs, "the STATE of %s is not subscribed to", host)
	w := c.w.watched[c.server] // it may hear STATE on a connection of its own
	if w == nil {
		w = &awaits{}
	}
	online := s.awaits.online || w.online && w.at >= s.awaits.at
	c.check(at, topic, online, waitIDs, "a birth before %s is online", host)
	if s.n.before != "" && s.n.before != c.server {
		c.check(at, topic, online, "operational-behavior-edge-node-birth-sequence-wait", "a birth before %s is online at %s", host, c.server)
	}
	if c.hears(sparkplug.StateTopic(host+"x")) < 0 && c.hears(sparkplug.StateTopic(host)) >= 0 {
		c.check(at, topic, online, waitIDs+"-id", "a birth before %s is online", host) // the server compares the id
	}
	for _, tempted := range []struct {
		by bool
		id string
	}{{s.awaits.foreign || w.foreign, "-id"}, {s.awaits.offline || w.offline, "-online"}, {s.awaits.old || w.old, "-timestamp"}} {
		if tempted.by {
			c.check(at, topic, online, waitIDs+tempted.id, "a birth before %s is online, after another STATE", host)
		}
	}
	s.awaits, *w = awaits{online: online, at: s.awaits.at}, awaits{online: w.online, at: w.at}
}

func (s *nodeSession) data(c *Conn, t sparkplug.Topic, at time.Time) {
	topic := t.String()
	if s.asked {
		c.check(at, topic, false, "operational-behavior-data-commands-rebirth-action-1", "%s between the rebirth request and the NBIRTH", t.Type)
	}
	if s.fresh {
		ids := "payloads-dbirth-order payloads-" + lower(t.Type) + "-order"
		if s.reborn {
			ids += " operational-behavior-data-commands-rebirth-action-2"
		}
		c.check(at, topic, s.born && len(s.owed) == 0, ids, "%s before the births of %v", t.Type, s.owed)
		s.fresh = false
	}
	c.check(at, topic, s.born && !s.dead, "payloads-"+lower(t.Type)+"-order", "%s without a birth on its connection", t.Type)
	if s.oldOffline {
		c.check(at, topic, true, oldOfflineIDs, "")
		s.oldOffline = false
	}
}

func (s *nodeSession) death(c *Conn, p *packets.Publish, at time.Time) {
	if payload, err := sparkplug.Decode(p.Payload, sparkplug.Limits{}); err == nil {
		c.check(at, p.Topic, sparkplug.BdSeqOf(payload) == s.bdSeq, "payloads-ndeath-bdseq", "NDEATH with bdSeq %d, that of the will is %d",
			sparkplug.BdSeqOf(payload), s.bdSeq)
	}
	s.leaves(c, at)
	s.dead = true
}

// left notes that it leaves a server because its host is offline there.
func (s *nodeSession) left(c *Conn) {
	if s.mustLeave && c.w.o.Servers > 1 {
		s.n.left = c.server
	}
}

// leaves judges a deliberate end: NDEATH or DISCONNECT, whatever comes first.
func (s *nodeSession) leaves(c *Conn, at time.Time) {
	if s.oldOffline && !s.mustLeave {
		c.check(at, "", false, oldOfflineIDs, "it leaves for a STATE offline that is older than the last online")
	}
	s.oldOffline = false
	s.left(c)
}

func (s *nodeSession) disconnect(c *Conn, d *packets.Disconnect, at time.Time) {
	s.leaves(c, at)
	if c.version == packets.V5 {
		c.check(at, "", d.Code == packets.DisconnectWithWill, "payloads-ndeath-will-message-publisher-disconnect-mqtt50",
			"DISCONNECT with reason 0x%02x, want 0x04", byte(d.Code))
	}
	if !s.born {
		return // there was no life that an NDEATH could end
	}
	if c.version != packets.V5 {
		c.check(at, "", s.dead, "payloads-ndeath-will-message-publisher-disconnect-mqtt311", "DISCONNECT without an NDEATH before it")
	}
	c.check(at, "", s.dead, goodbyeIDs, "DISCONNECT without an NDEATH before it")
	if s.dead {
		c.check(at, "", true, "operational-behavior-edge-node-intentional-disconnect-packet", "")
	}
}

func (s *nodeSession) closed(c *Conn, at time.Time) {
	delete(s.n.open, c)
	for next := range s.n.open {
		if ids, beside := next.node.besides[c]; beside {
			next.check(at, "", true, ids, "")
			delete(next.node.besides, c)
		}
	}
	if s.mustLeave {
		c.check(at, "", s.dead, leaveIDs, "its host is offline, and it left without an NDEATH")
		if !s.dead && c.goodbye == nil { // else it is known where it went since
			s.left(c)
		}
	}
}

// receive takes note of what the server sends: STATE and commands.
func (s *nodeSession) receive(c *Conn, t sparkplug.Topic, p *packets.Publish) {
	switch {
	case t.Type == sparkplug.NCMD && t.NodeRef() == s.n.ref && s.born && !s.dead:
		if payload, err := sparkplug.Decode(p.Payload, sparkplug.Limits{}); err == nil && sparkplug.IsRebirthRequest(payload) {
			s.asked = true
		}
	case t.Type == sparkplug.STATE && c.w.o.PrimaryHost != "":
		s.state(c, t.Host, p.Payload)
	}
}

func (s *nodeSession) state(c *Conn, host string, payload []byte) {
	lived := s.lives()
	valid := s.awaits.take(c, s.n.states, host, payload, !s.born)
	if st, err := sparkplug.ParseState(payload); err != nil || host != c.w.o.PrimaryHost || st.Online || !lived {
		return
	}
	s.oldOffline = s.oldOffline || !valid
	s.mustLeave = s.mustLeave || valid
}

// lives tells whether it was born with its host online, and has not ended since.
func (s *nodeSession) lives() bool { return s.awaits.online && s.born && !s.dead }

// take notes a STATE; last holds the timestamps of those that counted, by server. It returns whether this one counts.
func (a *awaits) take(c *Conn, last map[string]int64, host string, payload []byte, waiting bool) bool {
	st, err := sparkplug.ParseState(payload)
	if err != nil {
		return false
	}
	waiting = waiting && !a.online
	if host != c.w.o.PrimaryHost {
		a.foreign = a.foreign || waiting && st.Online
		return false
	}
	if before, heard := last[c.server]; heard && st.Timestamp < before {
		a.old = a.old || waiting && st.Online
		return false
	}
	last[c.server] = st.Timestamp
	a.offline = a.offline || waiting && !st.Online
	a.online, a.at = st.Online, st.Timestamp
	return true
}
