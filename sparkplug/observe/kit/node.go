package kit

import (
	"testing"
	"time"

	"edge/broker/brokertest"
	"edge/broker/packets"
	"edge/sparkplug"
	"edge/sparkplug/observe"
)

// Node is an edge node under test. It has at least one metric of its own and one device with one; Set changes them. Functions
// may return before what they ask for has happened.
type Node struct {
	Group, Node, Device string

	PrimaryHost string // that it is configured with; empty: none
	// Start lets it connect to the first of the servers, "127.0.0.1:port", or another of them.
	Start func(servers []string)
	Stop  func() // ends it cleanly
	// Set changes the value of one metric of the device, or of the node if device is empty; nothing else may change.
	Set func(device string, v float64)

	// What it may not have; nil or empty leaves out what needs it.
	Setpoint   string            // a metric of the device, Double, that a DCMD sets
	DeviceDown func()            // the device is lost
	DeviceUp   func()            // and back
	Listen     []string          // addresses for the taps; default free ports on loopback
	Login      *packets.Connect  // user name and password for the kit's own clients
	After      func(step string) // is told each step that is done
}

// nodeRun is the scenario of an edge node.
type nodeRun struct {
	run
	n     Node
	ref   sparkplug.NodeRef
	taps  []*observe.Tap
	hosts []*brokertest.Client // one per server, who is the primary host there, and hears all
	value float64
	from  int64 // ms: STATE timestamps count from here
}

// RunNode drives an edge node through its life, with each of the brokers behind a tap: it waits for its primary host, is born,
// reports, is asked for births, is commanded, loses its device, sees its host leave, walks to the next server, loses
// its connection, and stops.
func RunNode(t testing.TB, n Node, brokers ...string) *Report {
	t.Helper()
	r := &nodeRun{run: run{t: t}, n: n, ref: sparkplug.NodeRef{Group: n.Group, Node: n.Node}, from: time.Now().UnixMilli()}
	r.wire = observe.NewWire(observe.WireOptions{PrimaryHost: n.PrimaryHost, Servers: len(brokers), Devices: []string{n.Device}})
	var servers []string
	for i, broker := range brokers {
		listen := "127.0.0.1:0"
		if i < len(n.Listen) {
			listen = n.Listen[i]
		}
		tap := r.tap(broker, listen, broker)
		r.taps, servers = append(r.taps, tap), append(servers, tap.Addr())
		host := dial(t, broker, "kit-host", packets.V4)
		host.Subscribe("spBv1.0/"+n.Group+"/NDEATH/#", 1)
		r.hosts = append(r.hosts, host)
	}
	r.waits(servers)
	r.reports()
	r.rebirth()
	if n.Setpoint != "" {
		r.commanded()
	}
	if n.DeviceDown != nil && n.DeviceUp != nil {
		r.losesDevice()
	}
	r.wraps()
	if n.PrimaryHost != "" {
		r.hostLeaves()
	}
	r.losesConnection()
	r.stops()
	return &Report{Tally: r.wire.Tally()}
}

// state publishes the STATE of a host, so long after the run began, on every server.
func (r *nodeRun) state(host string, online bool, after int64) {
	for _, c := range r.hosts {
		say(c, sparkplug.StateMessage(host, sparkplug.HostState{Online: online, Timestamp: r.from + after}))
	}
}

// waits starts the node. If it has a primary host, everything that is not that host's online STATE comes first.
func (r *nodeRun) waits(servers []string) {
	host := r.n.PrimaryHost
	if host == "" {
		r.n.Start(servers)
		r.births()
		return
	}
	topic := sparkplug.StateTopic(host)
	r.state("kit-other-host", true, 0)
	r.state(host, false, 1000)
	r.n.Start(servers)
	r.await("the retained STATE", given(topic))
	r.state(host, true, 500)
	r.await("a STATE of the past", given(topic))
	r.state(host, true, 2000)
	r.births()
}

// births waits for NBIRTH and DBIRTH.
func (r *nodeRun) births() {
	r.t.Helper()
	r.await("NBIRTH", sent(sparkplug.NBIRTH, r.ref, ""))
	r.await("DBIRTH", sent(sparkplug.DBIRTH, r.ref, r.n.Device))
}

// set changes a value and waits for the message that reports it.
func (r *nodeRun) set(device string) *sparkplug.Payload {
	r.t.Helper()
	typ := sparkplug.NDATA
	if device != "" {
		typ = sparkplug.DDATA
	}
	r.value++
	r.n.Set(device, r.value)
	return payloadOf(r.t, r.await(typ.String(), sent(typ, r.ref, device)))
}

// reports changes one metric at a time: nothing else may be reported with it.
func (r *nodeRun) reports() {
	r.t.Helper()
	for range 2 {
		p := r.set("")
		r.wire.Note(len(p.Metrics) == 1, "operational-behavior-data-publish-nbirth-change principles-rbe-recommended topics-ndata-payload",
			"%d metrics in the NDATA after one has changed", len(p.Metrics))
		p = r.set(r.n.Device)
		r.wire.Note(len(p.Metrics) == 1, "operational-behavior-data-publish-dbirth-change principles-rbe-recommended topics-ddata-payload",
			"%d metrics in the DDATA after one has changed", len(p.Metrics))
	}
}

// rebirth asks for births and sees data go on after them. What a command behind the request brings about must not come
// before the births.
func (r *nodeRun) rebirth() {
	r.t.Helper()
	request := sparkplug.RebirthRequest(r.ref, time.Now())
	here := r.hosts[r.here()]
	say(here, request)
	if r.n.Setpoint != "" {
		say(here, r.command(41))
	}
	r.await("the rebirth request", given(request.Topic))
	r.births()
	r.set("")
	r.set(r.n.Device)
}

// commanded writes the setpoint and sees it reported.
func (r *nodeRun) commanded() {
	r.t.Helper()
	command := r.command(42)
	say(r.hosts[r.here()], command)
	r.await("DCMD", given(command.Topic))
	r.await("the setpoint's DDATA", sent(sparkplug.DDATA, r.ref, r.n.Device))
}

// command is the DCMD that writes the setpoint of the last DBIRTH.
func (r *nodeRun) command(v float64) sparkplug.Publish {
	r.t.Helper()
	var birth *sparkplug.Payload
	for _, e := range r.wire.Log() {
		if sent(sparkplug.DBIRTH, r.ref, r.n.Device)(e) {
			birth = payloadOf(r.t, e)
		}
	}
	for i := range birth.Metrics {
		m := &birth.Metrics[i]
		if m.Name != r.n.Setpoint {
			continue
		}
		view := sparkplug.MetricView{Group: r.n.Group, Node: r.n.Node, Device: r.n.Device, Name: m.Name, Alias: m.Alias, HasAlias: m.HasAlias, Type: m.Type}
		command, err := sparkplug.CommandMessage(view, sparkplug.DoubleValue(v), time.Now())
		if err != nil {
			r.t.Fatal(err)
		}
		return command
	}
	r.t.Fatalf("no metric %q in the DBIRTH", r.n.Setpoint)
	return sparkplug.Publish{}
}

func (r *nodeRun) losesDevice() {
	r.n.DeviceDown()
	r.await("DDEATH", sent(sparkplug.DDEATH, r.ref, r.n.Device))
	r.n.DeviceUp()
	r.await("DBIRTH", sent(sparkplug.DBIRTH, r.ref, r.n.Device))
	r.set(r.n.Device)
}

// wraps sends more messages than there are sequence numbers.
func (r *nodeRun) wraps() {
	r.t.Helper()
	for range 130 {
		r.set("")
		r.set(r.n.Device)
	}
}

// hostLeaves: an offline STATE of the past is none; a new one sends the node away, to the next server.
func (r *nodeRun) hostLeaves() {
	host, topic := r.n.PrimaryHost, sparkplug.StateTopic(r.n.PrimaryHost)
	r.state(host, false, 1500)
	r.await("an offline STATE of the past", given(topic))
	r.set("")
	here := r.here()
	say(r.hosts[here], sparkplug.StateMessage(host, sparkplug.HostState{Online: false, Timestamp: r.from + 3000}))
	r.await("an offline STATE", given(topic))
	r.leaves()
	if len(r.hosts) > 1 {
		for i, c := range r.hosts {
			if i != here {
				say(c, sparkplug.StateMessage(host, sparkplug.HostState{Online: true, Timestamp: r.from + 3500}))
			}
		}
		r.births() // before its host is back on the server that it left
		r.state(host, true, 4000)
	} else {
		r.await("STATE after the next CONNECT", given(topic))
		r.state(host, true, 2500)
		r.await("an online STATE from before it left", given(topic))
		r.state(host, true, 4000)
		r.births()
	}
	r.set("")
	r.set(r.n.Device)
	r.hostFlaps()
}

// hostFlaps: the host is back before the node can have done anything about its STATE offline. It has to leave all the same.
// [tck-id-operational-behavior-edge-node-termination-host-offline]
func (r *nodeRun) hostFlaps() {
	r.t.Helper()
	here := r.hosts[r.here()]
	for i, online := range []bool{false, true} {
		say(here, sparkplug.StateMessage(r.n.PrimaryHost, sparkplug.HostState{Online: online, Timestamp: r.from + 5000 + int64(i)}))
	}
	r.leaves()
	r.births()
	r.set("")
	r.set(r.n.Device)
}

// here is the index of the server where the node was born last. It may have other connections, of a watcher of STATE say, which come
// and go as they like.
func (r *nodeRun) here() int {
	log := r.wire.Log()
	for i := len(log) - 1; i >= 0; i-- {
		if !sent(sparkplug.NBIRTH, r.ref, "")(log[i]) {
			continue
		}
		for k, c := range r.taps {
			if c.Name() == log[i].Server {
				return k
			}
		}
	}
	r.t.Fatal("the node was nowhere")
	return 0
}

// losesConnection cuts the line: the server publishes the will, and the node comes back with the next bdSeq.
func (r *nodeRun) losesConnection() {
	r.t.Helper()
	for range 2 {
		here := r.here()
		r.taps[here].Cut()
		r.willCame(here)
		r.births()
		r.set("")
		r.set(r.n.Device)
	}
}

// willCame waits until a server has published the will of the last session.
func (r *nodeRun) willCame(server int) {
	r.t.Helper()
	var will *packets.Will
	for _, e := range r.wire.Log() {
		if c, ok := e.Packet.(*packets.Connect); ok && c.Will != nil {
			will = c.Will
		}
	}
	if will == nil {
		return
	}
	want, err := sparkplug.Decode(will.Payload, sparkplug.Limits{})
	if err != nil {
		r.t.Fatal(err)
	}
	for seq := -2; seq != sparkplug.BdSeqOf(want); {
		p, err := sparkplug.Decode(hear(r.hosts[server], will.Topic).Payload, sparkplug.Limits{})
		if err != nil {
			r.t.Fatal(err)
		}
		seq = sparkplug.BdSeqOf(p)
	}
}

func (r *nodeRun) stops() {
	r.t.Helper()
	r.n.Stop()
	r.leaves()
}

// leaves waits for NDEATH and the end of its connection. What the node says on its next one may be seen before that end.
func (r *nodeRun) leaves() {
	r.t.Helper()
	death := r.await("NDEATH", sent(sparkplug.NDEATH, r.ref, ""))
	at := r.at
	r.await("the end of the connection that NDEATH was on", func(e observe.Entry) bool { return e.Packet == nil && e.Conn == death.Conn })
	r.at = at
}
