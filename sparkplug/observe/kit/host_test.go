package kit

import (
	"context"
	"errors"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"edge/broker/brokertest"
	"edge/broker/packets"
	"edge/sparkplug"
)

// clientHost is a small host application: a sparkplug.Host over one MQTT connection per server. Each of its flags is one bad habit.
type clientHost struct {
	t       *testing.T
	version packets.Version
	bad     string
	mute    bool          // it leaves without a DISCONNECT, as it may
	timeout time.Duration // for what is missing

	ctx    context.Context
	cancel func()
	wg     sync.WaitGroup

	mu    sync.Mutex // guards the rest
	host  *sparkplug.Host
	links map[string]*hostLink
	heard map[string]int // data of nodes, by topic
}

// reorderTimeout of a clientHost does not pass by itself: see overdue. One that is impatient waits for no message.
const (
	reorderTimeout = time.Hour
	impatience     = time.Millisecond
)

type hostLink struct {
	conn   net.Conn
	nextID uint16
	acks   map[uint16]chan struct{} // PUBACKs that are waited for
}

func newClientHost(t *testing.T, v packets.Version, bad string) *clientHost {
	h := &clientHost{t: t, version: v, bad: bad, links: map[string]*hostLink{}, heard: map[string]int{}}
	h.timeout = reorderTimeout
	if bad == "impatient" {
		h.timeout = impatience
	}
	h.host = sparkplug.NewHost(sparkplug.Options{HostID: "scada", ReorderTimeout: h.timeout})
	h.ctx, h.cancel = context.WithCancel(context.Background())
	t.Cleanup(h.stop)
	return h
}

func (h *clientHost) start(servers []string) {
	for _, s := range servers {
		h.wg.Go(func() {
			for h.ctx.Err() == nil {
				if err := h.session(s); err != nil && h.ctx.Err() == nil {
					h.t.Logf("host: %s: %v", s, err)
				}
			}
		})
	}
	h.wg.Go(h.tickLoop)
}

// tickLoop is the host's clock.
func (h *clientHost) tickLoop() {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-h.ctx.Done():
			return
		case <-tick.C:
			h.step(sparkplug.Input{}, time.Now())
		}
	}
}

// overdue tells, once, that a host would now have waited long enough for what is missing: all three messages of the kit's first node are
// here, whose order is wrong, and the one of the second, before which one is lost.
func (h *clientHost) overdue(topic string) bool {
	const a, b = "spBv1.0/kit/NDATA/A0", "spBv1.0/kit/NDATA/B0"
	h.mu.Lock()
	defer h.mu.Unlock()
	h.heard[topic]++
	return (topic == a || topic == b) && h.heard[a] == 3 && h.heard[b] == 1
}

func (h *clientHost) step(in sparkplug.Input, now time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, p := range h.host.Step(in, now).Publish {
		if h.bad == "no defence" && strings.Contains(p.Topic, "/STATE/") {
			continue
		}
		if p.Server == "" {
			p.Server = in.Message.Server
		}
		h.publishLocked(p)
	}
}

// publishLocked writes a message and returns what is closed by its PUBACK.
func (h *clientHost) publishLocked(p sparkplug.Publish) <-chan struct{} {
	l := h.links[p.Server]
	acked := make(chan struct{})
	if l == nil {
		close(acked)
		return acked
	}
	out := &packets.Publish{Topic: p.Topic, Payload: p.Payload, QoS: p.QoS, Retain: p.Retain}
	switch {
	case h.bad == "STATE QoS 0" && p.QoS > 0:
		out.QoS = 0
	case h.bad == "STATE not retained":
		out.Retain = false
	case h.bad == "rebirth with seq" && strings.Contains(p.Topic, "/NCMD/"):
		out.Payload = append(slices.Clone(p.Payload), 0x18, 0)
	}
	if out.QoS == 0 {
		close(acked)
	} else {
		l.nextID++
		out.PacketID = l.nextID
		l.acks[out.PacketID] = acked
	}
	_, _ = l.conn.Write(out.Append(nil, h.version))
	return acked
}

// session is one connection to a server, from CONNECT to its end.
func (h *clientHost) session(server string) error {
	conn, err := net.Dial("tcp", server)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	l := &hostLink{conn: conn, acks: map[uint16]chan struct{}{}}
	h.mu.Lock()
	will := h.host.StateWill(server, time.Now())[0]
	h.mu.Unlock()
	connect := &packets.Connect{Version: h.version, ClientID: "host", CleanStart: h.bad != "no clean session", KeepAlive: 60,
		Will: &packets.Will{Topic: will.Topic, Payload: will.Payload, QoS: 1, Retain: true}}
	if h.bad == "will not retained" {
		connect.Will.Retain = false
	}
	if h.bad == "no will" {
		connect.Will = nil
	}
	subscribe := &packets.Subscribe{PacketID: 1, Filters: []packets.Subscription{{Filter: "spBv1.0/#", QoS: 1}, {Filter: "spBv1.0/STATE/scada", QoS: 1}}}
	_, _ = conn.Write(connect.Append(nil, h.version))
	l.nextID = 1
	ended := make(chan struct{})
	defer close(ended)
	h.wg.Go(func() {
		select {
		case <-h.ctx.Done():
			h.bye(server, l)
		case <-ended:
		}
	})
	return h.read(server, l, subscribe)
}

func (h *clientHost) read(server string, l *hostLink, subscribe *packets.Subscribe) error {
	defer func() {
		h.mu.Lock()
		if h.links[server] == l {
			delete(h.links, server)
		}
		for id, acked := range l.acks {
			close(acked)
			delete(l.acks, id)
		}
		h.mu.Unlock()
		if h.bad != "keeps values without a server" {
			h.step(sparkplug.Input{Lost: &sparkplug.Lost{Server: server}}, time.Now())
		}
	}()
	var buf []byte
	chunk := make([]byte, 4096)
	for {
		n, complete, err := packets.FrameLength(buf, 0)
		if err != nil {
			return err
		}
		if !complete {
			n, err := l.conn.Read(chunk)
			if buf = append(buf, chunk[:n]...); err != nil && n == 0 {
				return err
			}
			continue
		}
		p, err := packets.Decode(h.version, slices.Clone(buf[:n]))
		if err != nil {
			return err
		}
		buf = buf[n:]
		h.take(server, l, p, subscribe)
	}
}

func (h *clientHost) take(server string, l *hostLink, p packets.Packet, subscribe *packets.Subscribe) {
	switch p := p.(type) {
	case *packets.Connack:
		if h.bad == "STATE before SUBACK" {
			h.online(server, l)
		}
		_, _ = l.conn.Write(subscribe.Append(nil, h.version))
	case *packets.Suback:
		if h.bad != "STATE before SUBACK" {
			h.online(server, l)
		}
	case *packets.Puback:
		h.mu.Lock()
		if acked := l.acks[p.PacketID]; acked != nil {
			close(acked)
			delete(l.acks, p.PacketID)
		}
		h.mu.Unlock()
	case *packets.Publish:
		if p.QoS == 1 {
			_, _ = l.conn.Write((&packets.Puback{PacketID: p.PacketID}).Append(nil, h.version))
		}
		h.step(sparkplug.Input{Message: &sparkplug.Message{Topic: p.Topic, Payload: p.Payload, Retain: p.Retain, Server: server}}, time.Now())
		if h.overdue(p.Topic) || h.bad == "impatient" {
			h.step(sparkplug.Input{}, time.Now().Add(h.timeout))
		}
	}
}

func (h *clientHost) online(server string, l *hostLink) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.links[server] = l
	for _, p := range h.host.StateBirth(server, time.Now()) {
		h.publishLocked(p)
	}
}

// bye ends a session: the offline STATE, its PUBACK, DISCONNECT.
func (h *clientHost) bye(server string, l *hostLink) {
	var acked <-chan struct{}
	h.mu.Lock()
	for _, p := range h.host.StateDeath(server, time.Now()) {
		if h.bad != "no farewell" {
			acked = h.publishLocked(p)
		}
	}
	h.mu.Unlock()
	if acked != nil {
		<-acked
	}
	code := packets.Success
	if h.bad == "no farewell" && h.version == packets.V5 {
		code = packets.DisconnectWithWill // else nobody would ever hear of its end
	}
	if !h.mute {
		_, _ = l.conn.Write((&packets.Disconnect{Code: code}).Append(nil, h.version))
	}
	_ = l.conn.(*net.TCPConn).CloseWrite() // what is unread would else take the last packets with it
}

func (h *clientHost) stop() {
	h.cancel()
	h.wg.Wait()
}

func (h *clientHost) view(group, name, device string) (v HostView) {
	h.mu.Lock()
	defer h.mu.Unlock()
	n, _ := h.host.Node(group, name)
	v.Node, v.NodeSince = n.State == sparkplug.StateOnline, n.Since
	for _, d := range n.Devices {
		if d.Device == device {
			v.Device, v.DeviceSince = d.State == sparkplug.StateOnline, d.Since
		}
	}
	own, _ := h.host.Metric(sparkplug.MetricRef{Group: group, Node: name, Name: NodeMetric})
	other, _ := h.host.Metric(sparkplug.MetricRef{Group: group, Node: name, Device: device, Name: DeviceMetric})
	v.NodeStale, v.DeviceStale = own.Quality != sparkplug.QualityGood, other.Quality != sparkplug.QualityGood
	return v
}

func (h *clientHost) write(group, node, device, metric string, x float64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	m, ok := h.host.Metric(sparkplug.MetricRef{Group: group, Node: node, Device: device, Name: metric})
	p, err := sparkplug.CommandMessage(m, sparkplug.DoubleValue(x), time.Now())
	if err = errors.Join(err); err != nil || !ok {
		h.t.Errorf("write: %v", err)
	}
	n, _ := h.host.Node(group, node)
	p.Server = n.Server
	h.publishLocked(p)
}

func (h *clientHost) asSubject() Host {
	return Host{ID: "scada", Start: h.start, Stop: h.stop, Reorders: true, Write: h.write, View: h.view}
}

// TestHostKit drives a host that is an MQTT client, with sparkplug.Host for a brain, over two servers, with both protocols. One of
// the two leaves without a DISCONNECT.
func TestHostKit(t *testing.T) {
	for name, v := range map[string]packets.Version{"3.1.1": packets.V4, "5": packets.V5} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newClientHost(t, v, "")
			h.mute = v == packets.V4
			r := RunHost(t, h.asSubject(), brokertest.StartMosquitto(t).Addr, brokertest.StartMosquitto(t).Addr)
			r.Healthy(t)
			r.Committed(t, "client-host-"+name, "host-application")
		})
	}
}

// TestHostKitFinds: each bad habit of a host breaks what the specification says against it, and nothing else.
func TestHostKitFinds(t *testing.T) {
	for _, tc := range []struct{ bad, want string }{
		{"no will", "host-topic-phid-death-required operational-behavior-host-application-connect-will payloads-state-will-message"},
		{"will not retained", "host-topic-phid-death-retain operational-behavior-host-application-connect-will-retained payloads-state-will-message-retain"},
		{"STATE QoS 0", `host-topic-phid-birth-qos host-topic-phid-death-qos operational-behavior-host-application-connect-birth-qos
			operational-behavior-host-application-death-qos payloads-state-birth`},
		{"STATE not retained", `host-topic-phid-birth-retain host-topic-phid-death-retain operational-behavior-host-application-connect-birth-retained
			operational-behavior-host-application-death-retained payloads-state-birth`},
		{"STATE before SUBACK", `host-topic-phid-birth-required host-topic-phid-birth-sub-required message-flow-phid-sparkplug-state-publish
			message-flow-phid-sparkplug-subscription payloads-state-subscribe`},
		{"no clean session", "message-flow-phid-sparkplug-clean-session-50"},
		{"rebirth with seq", "payloads-ncmd-seq"},
		{"impatient", "operational-behavior-host-reordering-success"},
		{"no farewell", "host-topic-phid-death-payload-timestamp-disconnect-clean operational-behavior-host-application-termination"},
	} {
		t.Run(tc.bad, func(t *testing.T) {
			t.Parallel()
			r := RunHost(t, newClientHost(t, packets.V5, tc.bad).asSubject(), brokertest.StartMosquitto(t).Addr)
			var got []string
			for _, id := range r.Broken() {
				got = append(got, strings.TrimPrefix(id, "tck-id-"))
			}
			if diff := cmp.Diff(strings.Fields(tc.want), got); diff != "" {
				t.Errorf("(-want +found):\n%s", diff)
			}
		})
	}
}
