package kit

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"edge/broker/brokertest"
	"edge/broker/packets"
	"edge/sparkplug"
	"edge/sparkplug/observe"
)

// Host is a host application under test. Functions may return before what they ask for has happened.
type Host struct {
	ID string

	// Start lets it connect to all of the servers, "127.0.0.1:port". Nil for a host that is part of its server and runs: then
	// there is nothing to tap, and what only a connection shows is not seen.
	Start func(servers []string)
	Stop  func() // ends it cleanly
	// Reorders: it waits for a missing sequence number for a while, and then asks for a rebirth.
	Reorders bool

	// What it may not have; nil leaves out what needs it.
	Write func(group, node, device, metric string, v float64) // a command to a metric, Double
	View  func(group, node, device string) HostView

	Listen []string // addresses for the taps; default free ports on loopback
}

// HostView is what a host shows of a node and one of its devices, whose metrics are called as in Plant.
type HostView struct {
	Node, Device           bool      // online
	NodeSince, DeviceSince time.Time // since when
	NodeStale, DeviceStale bool      // their metrics, all of them
}

// Metrics of the kit's plant nodes.
const (
	NodeMetric   = "Count"
	DeviceMetric = "Speed"
)

// hostRun is the scenario of a host.
type hostRun struct {
	run
	h         Host
	taps      []*observe.Tap
	observers []*brokertest.Client // one per server; hears STATE and commands
	judge     *observe.Observer    // of a host without a tap: judges what the observers hear
	brokers   []string
	group     string
	states    []sparkplug.HostState // last heard, by server
	asked     map[string]int        // rebirth requests heard, by node
}

// RunHost drives a host through its life: it connects to every broker, sees plant nodes come, stumble and die, has its STATE denied,
// writes to a device, loses one server, and stops.
func RunHost(t testing.TB, h Host, brokers ...string) *Report {
	t.Helper()
	r := &hostRun{run: run{t: t, wire: observe.NewWire(observe.WireOptions{})}, h: h, brokers: brokers, group: "kit", asked: map[string]int{}}
	if h.Start == nil {
		r.judge = observe.New(observe.Options{AsPublished: true, Tally: observe.NewTally()})
	}
	var servers []string
	for i, broker := range brokers {
		listen := "127.0.0.1:0"
		if i < len(h.Listen) {
			listen = h.Listen[i]
		}
		if h.Start != nil {
			tap := r.tap(broker, listen, broker)
			r.taps, servers = append(r.taps, tap), append(servers, tap.Addr())
		}
		o := dial(t, broker, fmt.Sprint("kit-observer-", i), packets.V5)
		id := o.NextID()
		o.Send(&packets.Subscribe{PacketID: id, Filters: []packets.Subscription{{Filter: "spBv1.0/#", QoS: 1, RetainAsPublished: true}}})
		o.Await("SUBACK", func(p packets.Packet) bool { return p.Type() == packets.TypeSuback })
		r.observers, r.states = append(r.observers, o), append(r.states, sparkplug.HostState{})
	}
	r.starts(servers)
	r.reorders()
	r.denied()
	r.writes()
	r.deaths()
	if r.judge == nil {
		r.losesServer()
	}
	r.stops()
	tally := r.wire.Tally()
	if r.judge != nil {
		tally.Add(r.judge.Tally())
	}
	return &Report{Tally: tally}
}

// hears returns the next message of the host at a server: STATE with its id, or a command.
func (r *hostRun) hears(server int) (sparkplug.Topic, *packets.Publish) {
	r.t.Helper()
	c := r.observers[server]
	for {
		p := c.Await("a message of the host", func(p packets.Packet) bool { _, ok := p.(*packets.Publish); return ok }).(*packets.Publish)
		if p.QoS == 1 { // a server that is stopping with its host may have closed
			_ = c.TrySendRaw((&packets.Puback{PacketID: p.PacketID}).Append(nil, packets.V5))
		}
		topic, err := sparkplug.ParseTopic(p.Topic)
		if err != nil {
			continue
		}
		switch topic.Type {
		case sparkplug.NCMD, sparkplug.DCMD, sparkplug.STATE:
		default:
			if r.judge != nil {
				r.judge.Learn(observe.Message{Topic: p.Topic, Payload: p.Payload, QoS: p.QoS})
			}
			continue
		}
		if topic.Type == sparkplug.STATE && topic.Host != r.h.ID {
			continue
		}
		return topic, p
	}
}

// next is hears, judged if that is not done elsewhere. denial is the STATE that the kit has published itself.
func (r *hostRun) next(server int, denial int64) (sparkplug.Topic, *packets.Publish) {
	r.t.Helper()
	topic, p := r.hears(server)
	st, err := sparkplug.ParseState(p.Payload)
	if topic.Type == sparkplug.STATE && err == nil {
		r.states[server] = st
	}
	if r.judge != nil && !(topic.Type == sparkplug.STATE && err == nil && st.Timestamp == denial) {
		r.judge.Message(observe.Message{Topic: p.Topic, Payload: p.Payload, QoS: p.QoS, Retain: p.Retain, At: time.Now()})
	}
	if topic.Type == sparkplug.NCMD {
		if payload, err := sparkplug.Decode(p.Payload, sparkplug.Limits{}); err == nil && sparkplug.IsRebirthRequest(payload) {
			r.asked[topic.Node]++
		}
	}
	return topic, p
}

// online waits for the host's STATE.
func (r *hostRun) online(server int, online bool, denial int64) sparkplug.HostState {
	r.t.Helper()
	for {
		topic, _ := r.next(server, denial)
		if topic.Type == sparkplug.STATE && r.states[server].Online == online && r.states[server].Timestamp != denial {
			return r.states[server]
		}
	}
}

func (r *hostRun) starts(servers []string) {
	r.t.Helper()
	if r.h.Start != nil {
		r.h.Start(servers)
	}
	for i, broker := range r.brokers {
		r.online(i, true, -1)
		if r.h.Start != nil {
			r.subscribed(broker)
		}
	}
}

// subscribed waits until a broker has taken the host's subscription to nodes: one that says too early that it is online would not hear
// the first births.
func (r *hostRun) subscribed(broker string) {
	r.t.Helper()
	asked := map[[2]int]bool{} // by connection and packet identifier
	r.at = 0
	r.await("the SUBACK of the host's nodes", func(e observe.Entry) bool {
		switch p := e.Packet.(type) {
		case *packets.Subscribe:
			asked[[2]int{e.Conn, int(p.PacketID)}] = e.Server == broker && slices.ContainsFunc(p.Filters, func(s packets.Subscription) bool {
				return !strings.Contains(s.Filter, "/STATE/")
			})
		case *packets.Suback:
			return asked[[2]int{e.Conn, int(p.PacketID)}]
		}
		return false
	})
}

// node is a plant node of the kit, with one device D.
type node struct {
	r      *hostRun
	ref    sparkplug.NodeRef
	client *brokertest.Client
	seq    uint64
}

// plant connects a node to a server and has it born, with its device.
func (r *hostRun) plant(server int, name string, bdSeq uint8) *node {
	r.t.Helper()
	n := &node{r: r, ref: sparkplug.NodeRef{Group: r.group, Node: name}}
	will := sparkplug.NodeDeath(n.ref, bdSeq, time.Now())
	n.client = dialBare(r.t, r.brokers[server], packets.V4)
	n.client.Send(&packets.Connect{Version: packets.V4, ClientID: "kit-" + name, CleanStart: true, KeepAlive: 60,
		Will: &packets.Will{Topic: will.Topic, Payload: will.Payload, QoS: 1}})
	if ack := brokertest.Expect[*packets.Connack](n.client); ack.Code.Failed() {
		r.t.Fatalf("CONNECT of a plant node: %v", ack.Code)
	}
	rebirth := n.metric(sparkplug.NameRebirth, 0, sparkplug.BoolValue(false))
	rebirth.HasAlias = false
	n.send(sparkplug.NBIRTH, sparkplug.BdSeqMetric(bdSeq, time.Now()), rebirth, n.metric(NodeMetric, 1, sparkplug.DoubleValue(0)))
	n.send(sparkplug.DBIRTH, n.metric(DeviceMetric, 2, sparkplug.DoubleValue(0)))
	return n
}

func (n *node) metric(name string, alias uint64, v sparkplug.Value) sparkplug.Metric {
	return sparkplug.Metric{Name: name, Alias: alias, HasAlias: true, Type: v.Type, Value: v, Timestamp: sparkplug.Millis(time.Now()), HasTimestamp: true}
}

// send publishes with the next sequence number.
func (n *node) send(typ sparkplug.MessageType, ms ...sparkplug.Metric) {
	if typ == sparkplug.NBIRTH {
		n.seq = 0
	}
	n.sendAs(typ, n.seq, ms...)
	n.seq++
}

func (n *node) sendAs(typ sparkplug.MessageType, seq uint64, ms ...sparkplug.Metric) time.Time {
	at := time.Now()
	say(n.client, n.message(typ, seq, at, ms...))
	return time.UnixMilli(at.UnixMilli())
}

func (n *node) message(typ sparkplug.MessageType, seq uint64, at time.Time, ms ...sparkplug.Metric) sparkplug.Publish {
	p := sparkplug.Payload{Timestamp: sparkplug.Millis(at), HasTimestamp: true, HasSeq: true, Seq: seq, Metrics: ms}
	topic := sparkplug.Topic{Type: typ, Group: n.ref.Group, Node: n.ref.Node}
	if typ.OfDevice() {
		topic.Device = "D"
	}
	return sparkplug.Publish{Topic: topic.String(), Payload: sparkplug.Encode(&p)}
}

// data is the node's metric by its alias, as NDATA carries it.
func (n *node) data(v float64) sparkplug.Metric {
	m := n.metric("", 1, sparkplug.DoubleValue(v))
	m.Type = sparkplug.Unknown
	return m
}

// shows waits until the host's view is as wanted.
func (r *hostRun) shows(what string, n *node, want func(HostView) bool) (HostView, bool) {
	r.t.Helper()
	if r.h.View == nil {
		return HostView{}, false
	}
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(patience); ; <-tick.C {
		v := r.h.View(n.ref.Group, n.ref.Node, "D")
		if want(v) {
			return v, true
		}
		if time.Now().After(deadline) {
			r.t.Fatalf("the host does not show it: %s; %+v", what, v)
		}
	}
}

func born(v HostView) bool { return v.Node && v.Device && !v.NodeStale && !v.DeviceStale }

// reorderTries is how often a host may ask for a rebirth of who only changed the order: a machine that stood still for longer than the
// host waits is no fault of the host's.
const reorderTries = 8

func (r *hostRun) reorders() {
	r.t.Helper()
	good := false
	for try := 0; !good && try < reorderTries; try++ {
		good = r.reorder(fmt.Sprint("A", try), fmt.Sprint("B", try))
		if !r.h.Reorders {
			return
		}
	}
	r.note(good, "operational-behavior-host-reordering-success", "a rebirth was asked for although nothing was missing")
	r.note(true, "operational-behavior-host-reordering-start operational-behavior-host-reordering-rebirth operational-behavior-host-reordering-param", "")
}

// reorder: the messages of one node change places, one of another node's is lost for good. It returns whether only the other was asked
// for a rebirth.
func (r *hostRun) reorder(changes, loses string) bool {
	r.t.Helper()
	a, b := r.plant(0, changes, 0), r.plant(0, loses, 0)
	r.shows("a node is born", a, born)
	if !r.h.Reorders {
		return true
	}
	var swapped []packets.Packet // in one write: no time passes between them
	for _, seq := range []uint64{3, 2, 4} {
		p := a.message(sparkplug.NDATA, seq, time.Now(), a.data(float64(seq)))
		swapped = append(swapped, &packets.Publish{Topic: p.Topic, Payload: p.Payload})
	}
	a.client.Send(swapped...)
	a.client.ExpectNothing() // the broker has a's messages before b's: whoever asks of both asks of a first
	b.sendAs(sparkplug.NDATA, 3, b.data(3))
	for r.asked[loses] == 0 {
		r.next(0, -1)
	}
	for _, n := range []*node{a, b} { // who is not asked may say it as well
		n.send(sparkplug.NBIRTH, sparkplug.BdSeqMetric(0, time.Now()), n.metric(NodeMetric, 1, sparkplug.DoubleValue(0)))
	}
	return r.asked[changes] == 0
}

func (r *hostRun) note(ok bool, ids, format string, args ...any) {
	r.wire.Note(ok, ids, format, args...)
}

// denied: somebody else says that the host is offline.
func (r *hostRun) denied() {
	r.t.Helper()
	for i := range r.brokers {
		before := r.states[i]
		denial := sparkplug.HostState{Timestamp: before.Timestamp - 1}
		say(dial(r.t, r.brokers[i], fmt.Sprint("kit-liar-", i), packets.V4), sparkplug.StateMessage(r.h.ID, denial))
		after := r.online(i, true, denial.Timestamp)
		r.note(after == before, "message-flow-hid-sparkplug-state-message-delivered", "after a denial the STATE is %+v, it was %+v", after, before)
	}
}

// writes sends a command to the node and one to its device.
func (r *hostRun) writes() {
	r.t.Helper()
	if r.h.Write == nil {
		return
	}
	n := r.plant(0, "W", 0)
	r.shows("W is born", n, born)
	for _, w := range []struct {
		typ            sparkplug.MessageType
		device, metric string
	}{{sparkplug.NCMD, "", NodeMetric}, {sparkplug.DCMD, "D", DeviceMetric}} {
		r.h.Write(n.ref.Group, n.ref.Node, w.device, w.metric, 5)
		for {
			if topic, _ := r.next(0, -1); topic.Type == w.typ && topic.Node == "W" {
				break
			}
		}
	}
}

// deaths: of a device, whose time is in the message; then of its node, whose time is the host's.
func (r *hostRun) deaths() {
	r.t.Helper()
	n := r.plant(0, "C", 7)
	r.shows("C is born", n, born)
	at := n.sendAs(sparkplug.DDEATH, 2)
	n.seq = 3
	if v, ok := r.shows("the device's death", n, func(v HostView) bool { return !v.Device && v.DeviceStale }); ok {
		const id = "operational-behavior-edge-node-termination-host-action-ddeath-devices-"
		r.note(v.Node && !v.NodeStale, id+"offline", "the node is dead too: %+v", v)
		r.note(v.DeviceSince.Equal(at), id+"offline "+id+"tags-stale", "dead since %v, DDEATH is of %v", v.DeviceSince, at)
	}
	n.send(sparkplug.DBIRTH, n.metric(DeviceMetric, 2, sparkplug.DoubleValue(0)))
	r.shows("the device is back", n, born)
	before := time.Now()
	n.client.Close() // the server publishes the will
	if v, ok := r.shows("the node's death", n, func(v HostView) bool { return !v.Node && v.NodeStale && !v.Device && v.DeviceStale }); ok {
		const id = "operational-behavior-edge-node-termination-host-action-ndeath-"
		on := !v.NodeSince.Before(before.Truncate(time.Millisecond)) && !v.NodeSince.After(time.Now())
		r.note(on, id+"node-offline "+id+"node-tags-stale "+id+"devices-offline "+id+"devices-tags-stale",
			"dead since %v, killed after %v", v.NodeSince, before)
	}
}

// losesServer cuts the connection to the first server: what was born there is stale at once, and nothing else is.
func (r *hostRun) losesServer() {
	r.t.Helper()
	here := r.plant(0, "H", 0)
	r.shows("H is born", here, born)
	var there *node
	if len(r.brokers) > 1 {
		there = r.plant(1, "T", 0)
		r.shows("T is born", there, born)
	}
	before := r.states[0]
	r.taps[0].Cut()
	if _, ok := r.shows("H is stale", here, func(v HostView) bool { return v.NodeStale && v.DeviceStale }); ok {
		ok := true
		if there != nil {
			ok = born(r.h.View(there.ref.Group, there.ref.Node, "D"))
		}
		r.rule(RuleServerLost, ok, "a node of another server is stale too")
	}
	if r.hasWill() {
		r.online(0, false, -1)
	}
	after := r.online(0, true, -1)
	r.note(after.Timestamp > before.Timestamp, "operational-behavior-host-application-multi-server-timestamp",
		"the new session's STATE is of %d, the last was of %d", after.Timestamp, before.Timestamp)
}

// hasWill tells whether the host's CONNECTs carry one.
func (r *hostRun) hasWill() bool {
	for _, e := range r.wire.Log() {
		if c, ok := e.Packet.(*packets.Connect); ok && c.Will == nil {
			return false
		}
	}
	return true
}

func (r *hostRun) rule(id string, ok bool, text string) { r.wire.NoteRule(id, ok, text) }

func (r *hostRun) stops() {
	r.t.Helper()
	before := r.states[0]
	r.h.Stop()
	for i := range r.brokers {
		st := r.online(i, false, -1)
		if r.judge != nil {
			r.note(st.Timestamp > before.Timestamp && time.Since(time.UnixMilli(st.Timestamp)).Abs() < patience,
				"host-topic-phid-death-payload-timestamp-disconnect-clean operational-behavior-host-application-termination",
				"the farewell is of %d, the birth was of %d", st.Timestamp, before.Timestamp)
		}
	}
}
