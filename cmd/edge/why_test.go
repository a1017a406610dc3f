package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"io"
	"math/big"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"edge/broker/brokertest"
	"edge/broker/packets"
	"edge/sparkplug"
)

// patient is one edge node of a fault's test, with a node metric V, a device D1 with a metric T, and what its client does wrong.
type patient struct {
	*testing.T
	app  *testApp
	name string // of the node
}

const faultGroup = "F"

func (p *patient) ref() sparkplug.NodeRef { return sparkplug.NodeRef{Group: faultGroup, Node: p.name} }

// said is what the interface says of the metric, device or node that ref names, without times.
func (p *patient) said(ref sparkplug.MetricRef) (quality, cause string) {
	p.Helper()
	if ref.Name == "" {
		return p.saidOfNode(ref.Device)
	}
	var all struct{ Metrics []metricState }
	p.app.get(p.T, "api/v1/metrics?group="+faultGroup+"&node="+url.QueryEscape(p.name), &all)
	for _, m := range all.Metrics {
		if m.Name == ref.Name && m.Device == ref.Device {
			return m.Quality, withoutTimes(m.Cause)
		}
	}
	return "none", ""
}

func (p *patient) saidOfNode(device string) (state, why string) {
	p.Helper()
	type line struct{ Text string }
	var all []struct {
		Node, State string
		Why         []line
		Devices     []struct {
			Device, State string
			Why           []line
		}
	}
	p.app.get(p.T, "api/v1/nodes", &all)
	join := func(lines []line) string {
		texts := make([]string, len(lines))
		for i, l := range lines {
			texts[i] = withoutTimes(l.Text)
		}
		return strings.Join(texts, " | ")
	}
	for _, n := range all {
		if n.Node != p.name {
			continue
		}
		if device == "" {
			return n.State, join(n.Why)
		}
		for _, d := range n.Devices {
			if d.Device == device {
				return d.State, join(d.Why)
			}
		}
	}
	return "none", ""
}

var stamps = regexp.MustCompile(` (at|since) \d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ`)

func withoutTimes(s string) string { return stamps.ReplaceAllString(s, "") }

// shows waits until the interface says want of ref; {N} in it stands for the node's name, … at its end for what a decoder says.
func (p *patient) shows(ref sparkplug.MetricRef, quality, want string) {
	p.Helper()
	want = strings.ReplaceAll(want, "{N}", p.name)
	head, open := strings.CutSuffix(want, "…")
	var q, cause string
	late := time.Now().Add(patience)
	for tick := time.NewTicker(20 * time.Millisecond); ; <-tick.C {
		if q, cause = p.said(ref); q == quality && (cause == want || open && strings.HasPrefix(cause, head)) {
			tick.Stop()
			return
		}
		if time.Now().After(late) {
			p.Fatalf("%s/%s/%s is\n %s: %s\nwant\n %s: %s", p.name, ref.Device, ref.Name, q, cause, quality, want)
		}
	}
}

// speaker is an MQTT client that speaks for the patient.
type speaker struct {
	*brokertest.Client
	p     *patient
	conn  net.Conn
	bdSeq uint8
	seq   uint64
	clock time.Duration // ahead of ours
}

// joins connects a client with the node's death as its will.
func (p *patient) joins(id string, change ...func(*packets.Connect)) *speaker {
	p.Helper()
	s := p.dials(p.app.MQTTAddr())
	s.connect(id, change...)
	if ack := brokertest.Expect[*packets.Connack](s.Client); ack.Code != packets.Success {
		p.Fatalf("CONNECT %s: %v", id, ack.Code)
	}
	return s
}

func (p *patient) dials(addr string) *speaker {
	p.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		p.Fatal(err)
	}
	return &speaker{Client: brokertest.NewClient(p.T, conn, packets.V5), p: p, conn: conn}
}

func (s *speaker) connect(id string, change ...func(*packets.Connect)) {
	s.p.Helper()
	death := sparkplug.NodeDeath(s.p.ref(), s.bdSeq, time.Now())
	c := &packets.Connect{Version: packets.V5, ClientID: id, CleanStart: true, Will: &packets.Will{Topic: death.Topic, Payload: death.Payload, QoS: 1}}
	for _, f := range change {
		f(c)
	}
	s.Send(c)
}

// lives connects a client and sends the births of the node and its device; it returns when they are shown.
func (p *patient) lives(id string, change ...func(*packets.Connect)) *speaker {
	p.Helper()
	s := p.joins(id, change...)
	s.born()
	return s
}

func (s *speaker) born() {
	s.p.Helper()
	s.nbirth()
	s.says(sparkplug.DBIRTH, "D1", double("T", 20))
	s.p.shows(metricT, "good", "")
}

var (
	metricV = sparkplug.MetricRef{Name: "V"}
	metricT = sparkplug.MetricRef{Device: "D1", Name: "T"}
	theNode = sparkplug.MetricRef{}
)

func double(name string, f float64) sparkplug.Metric {
	now := time.Now()
	return sparkplug.Metric{Name: name, Type: sparkplug.Double, Value: sparkplug.DoubleValue(f), Timestamp: sparkplug.Millis(now), HasTimestamp: true}
}

// nbirth sends the NBIRTH, with more metrics than V if any are given.
func (s *speaker) nbirth(more ...sparkplug.Metric) {
	s.seq = 0
	now := time.Now()
	s.says(sparkplug.NBIRTH, "", append([]sparkplug.Metric{sparkplug.BdSeqMetric(s.bdSeq, now),
		{Name: sparkplug.NameRebirth, Type: sparkplug.Boolean, Value: sparkplug.BoolValue(false), Timestamp: sparkplug.Millis(now), HasTimestamp: true},
		double("V", 1)}, more...)...)
}

// says publishes the next message of the node's sequence.
func (s *speaker) says(kind sparkplug.MessageType, device string, ms ...sparkplug.Metric) {
	now := time.Now().Add(s.clock)
	for i := range ms {
		if ms[i].HasTimestamp {
			ms[i].Timestamp = sparkplug.Millis(now)
		}
	}
	s.raw(kind, device, sparkplug.Encode(&sparkplug.Payload{Timestamp: sparkplug.Millis(now), HasTimestamp: true, Seq: s.seq & 255, HasSeq: true, Metrics: ms}))
	s.seq++
}

func (s *speaker) raw(kind sparkplug.MessageType, device string, payload []byte) {
	t := sparkplug.Topic{Type: kind, Group: faultGroup, Node: s.p.name, Device: device}
	s.Send(&packets.Publish{Topic: t.String(), Payload: payload})
}

// dies publishes the node's own death.
func (s *speaker) dies() {
	s.raw(sparkplug.NDEATH, "", sparkplug.NodeDeath(s.p.ref(), s.bdSeq, time.Now()).Payload)
}

func (s *speaker) reset() {
	s.conn.(*net.TCPConn).SetLinger(0)
	s.Close()
}

// After a restart values are shown with what is known of them, and the shutdown is what the deaths before it came from.
func TestRestartTellsWhy(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	app := startApp(t, dir, appOptions{})
	p := &patient{t, app, "n"}
	p.lives("c", func(c *packets.Connect) { c.KeepAlive = 30 })
	var one struct {
		Client   clientRef
		Sessions []sessionNote
	}
	app.get(t, "api/v1/nodes/F/n", &one)
	if c := one.Client; c.ID != "c" || c.Protocol != "5.0" || c.KeepAlive != 30 || c.WillTopic != "spBv1.0/F/NDEATH/n" || !c.Connected || c.Since.IsZero() {
		t.Errorf("client %+v", c)
	}
	if s := one.Sessions; len(s) != 1 || s[0].Kind != "connected" || s[0].Client != "c" {
		t.Errorf("sessions %+v", s)
	}
	if err := app.stop(); err != nil {
		t.Fatal(err)
	}
	p.app = startApp(t, dir, appOptions{})
	p.shows(metricT, "stale", "device D1 not heard of since the appliance started; its last value came")
	p.shows(metricV, "stale", "node {N} not heard of since the appliance started; its last value came")
	const want = "will fired: shutdown of the appliance, which disconnected client c at 127.0.0.1"
	eventually(t, patience, "the death is in the event log: "+want, func() bool {
		var log struct{ Events []struct{ Reason string } }
		p.app.get(t, "api/v1/events?kind=node_death", &log)
		return len(log.Events) == 1 && log.Events[0].Reason == want
	})
	p.lives("c")
}

// clientRef and sessionNote are what GET /api/v1/nodes/{group}/{node} says of the client and its connections.
type (
	clientRef struct {
		ID, User, Certificate, Protocol string
		KeepAlive                       float64 `json:"keep_alive"`
		WillTopic                       string  `json:"will_topic"`
		Connected                       bool
		Since                           time.Time
	}
	sessionNote struct {
		Kind, Client, Detail string
		Count                int
	}
)

// A client whose certificate has expired never says its name; it is told at the nodes whose client was at its address.
func TestExpiredCertificateTellsWhy(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	cert, key := certificate(t, dir, "server")
	ca := newAuthority(t, "plant")
	file := filepath.Join(dir, "ca.pem")
	if err := os.WriteFile(file, ca.pem, 0o600); err != nil {
		t.Fatal(err)
	}
	app := startApp(t, filepath.Join(dir, "data"), appOptions{}, func(c *Config) {
		c.Broker.Listeners = append(c.Broker.Listeners, ListenerConfig{Name: "secure", Address: "127.0.0.1:0", Transport: "tcp",
			TLS: TLSConfig{Cert: cert, Key: key, ClientCA: file, ClientAuth: "require"}})
	})
	p := &patient{t, app, "n"}
	p.lives("c").Close()
	p.shows(metricT, "stale", "device D1 dead: node n's will fired: lost connection of client c at 127.0.0.1")
	old := ca.expired(t)
	for range 2 {
		conn, err := tls.Dial("tcp", app.mqtt[1].Addr().String(), &tls.Config{InsecureSkipVerify: true, Certificates: []tls.Certificate{old}})
		if err == nil { // with TLS 1.3 the refusal comes after the client's last word
			io.Copy(io.Discard, conn)
			conn.Close()
		}
	}
	want := regexp.MustCompile(`lost connection of client c at 127\.0\.0\.1; a client that gave no name at 127\.0\.0\.1 was refused: ` +
		`TLS handshake failed: the certificate of CN=old is good only from \S+ to \S+, 2 times`)
	var cause string
	eventually(t, patience, "the cause tells of the certificate", func() bool {
		var all struct{ Metrics []metricState }
		app.get(t, "api/v1/metrics?node=n&device=D1", &all)
		cause = all.Metrics[0].Cause
		return strings.Contains(cause, "2 times")
	})
	if !want.MatchString(cause) {
		t.Errorf("cause %q, want %s", cause, want)
	}
}

// expired issues a certificate that was good until an hour ago.
func (a *authority) expired(t *testing.T) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "old"}, NotBefore: time.Now().Add(-2 * time.Hour),
		NotAfter: time.Now().Add(-time.Hour), ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, key.Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// While the journal takes nothing, a node's values are shown and it is said that they are not recorded.
func TestNotRecordedIsTold(t *testing.T) {
	now := time.Date(2026, 8, 6, 14, 0, 0, 0, time.UTC)
	p := &plant{host: sparkplug.NewHost(sparkplug.Options{})}
	for _, node := range []string{"lost", "kept"} {
		birth := sparkplug.Encode(&sparkplug.Payload{Timestamp: sparkplug.Millis(now), HasTimestamp: true, HasSeq: true})
		p.host.Step(sparkplug.Input{Message: &sparkplug.Message{Topic: "spBv1.0/F/NBIRTH/" + node, Payload: birth}}, now)
	}
	p.rec.lose(sparkplug.NodeRef{Group: "F", Node: "lost"}, now, 1)
	for _, n := range p.Nodes() {
		want := ""
		if n.Node == "lost" {
			want = "its values are not recorded, the journal takes nothing since 2026-08-06T14:00:00Z"
		}
		one, _ := p.Node("F", n.Node)
		if got := sparkplug.Explain(n.Why); got != want || sparkplug.Explain(one.Why) != want {
			t.Errorf("node %s: %q, want %q", n.Node, got, want)
		}
	}
}
