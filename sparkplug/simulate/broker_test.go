package simulate

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"
	"go.uber.org/goleak"

	"edge/broker/brokertest"
	"edge/sparkplug"
	"edge/sparkplug/observe"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is how long a test waits for what must come.
const patience = 90 * time.Second

// startBroker runs a mosquitto for this test, which from here on runs beside others, and returns its address.
func startBroker(t *testing.T) string {
	t.Helper()
	t.Parallel()
	return brokertest.StartMosquitto(t).Addr
}

// seen is one message as a subscriber of everything got it.
type seen struct {
	topic   sparkplug.Topic
	payload []byte
	qos     byte
	retain  bool
	p       *sparkplug.Payload // nil if it does not decode
	at      time.Time
}

// recorder is that subscriber.
type recorder struct {
	client mqtt.Client

	mu   sync.Mutex
	all  []seen        // guarded by mu
	more chan struct{} // capacity 1: all has grown
}

func record(t *testing.T, address string) *recorder {
	t.Helper()
	r := &recorder{more: make(chan struct{}, 1)}
	r.client = mqtt.NewClient(mqtt.NewClientOptions().AddBroker("tcp://" + address).SetClientID("recorder").SetProtocolVersion(4))
	wait(t, r.client.Connect())
	wait(t, r.client.Subscribe("spBv1.0/#", 1, func(_ mqtt.Client, m mqtt.Message) { r.take(m) }))
	t.Cleanup(func() { r.client.Disconnect(100) })
	return r
}

func wait(t *testing.T, token mqtt.Token) {
	t.Helper()
	if !token.WaitTimeout(patience) || token.Error() != nil {
		t.Fatalf("mqtt: %v", token.Error())
	}
}

func (r *recorder) take(m mqtt.Message) {
	topic, err := sparkplug.ParseTopic(m.Topic())
	if err != nil {
		return
	}
	s := seen{topic: topic, payload: m.Payload(), qos: m.Qos(), retain: m.Retained(), at: time.Now()}
	if topic.Type != sparkplug.STATE {
		s.p, _ = sparkplug.Decode(m.Payload(), sparkplug.Limits{})
	}
	r.mu.Lock()
	r.all = append(r.all, s)
	r.mu.Unlock()
	select {
	case r.more <- struct{}{}:
	default:
	}
}

func (r *recorder) messages() []seen {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.all)
}

// until waits for a recording of which ok is true.
func (r *recorder) until(t *testing.T, what string, ok func([]seen) bool) []seen {
	t.Helper()
	deadline := time.After(patience)
	for {
		all := r.messages()
		if ok(all) {
			return all
		}
		select {
		case <-r.more:
		case <-deadline:
			t.Fatalf("not seen: %s; got %s", what, story(all))
		}
	}
}

// kinds is how many messages of a type are there.
func kinds(all []seen, kind sparkplug.MessageType) (n int) {
	for _, s := range all {
		if s.topic.Type == kind {
			n++
		}
	}
	return n
}

func atLeast(n int, kind sparkplug.MessageType) func([]seen) bool {
	return func(all []seen) bool { return kinds(all, kind) >= n }
}

// story is a recording in a line, for failures.
func story(all []seen) string {
	var b strings.Builder
	for _, s := range all[max(0, len(all)-40):] {
		fmt.Fprintf(&b, " %s/%s", s.topic.Type, s.topic.Node)
		if s.p != nil && s.p.HasSeq {
			fmt.Fprintf(&b, ":%d", s.p.Seq)
		}
	}
	return b.String()
}

// send publishes as a host would.
func (r *recorder) send(t *testing.T, p sparkplug.Publish) {
	t.Helper()
	wait(t, r.client.Publish(p.Topic, p.QoS, p.Retain, p.Payload))
}

// start runs a fleet until the test ends. The stop function ends it early and waits.
func start(t *testing.T, opt Options) (f *Fleet, stop func()) {
	t.Helper()
	if opt.Interval == 0 {
		opt.Interval = 20 * time.Millisecond
	}
	if opt.BackoffMin == 0 {
		opt.BackoffMin = 20 * time.Millisecond
	}
	f, err := New(opt)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if err := f.Run(ctx); err != nil {
			t.Errorf("run: %v", err)
		}
	}()
	stop = sync.OnceFunc(func() { cancel(); <-ended })
	t.Cleanup(stop)
	return f, stop
}

// conform checks what a healthy node promises on the wire: births first, one seq without a gap, bdSeq of the births and
// deaths equal, DATA by alias of a birth.
func conform(all []seen) (problems []string) {
	type state struct {
		born    bool
		next    uint64
		bdSeq   int
		aliases map[uint64]string
		devices map[string]bool
	}
	nodes := map[string]*state{}
	note := func(s seen, format string, args ...any) {
		problems = append(problems, s.topic.String()+": "+fmt.Sprintf(format, args...))
	}
	for _, s := range all {
		switch s.topic.Type {
		case sparkplug.STATE, sparkplug.NCMD, sparkplug.DCMD:
			continue
		}
		if s.p == nil {
			note(s, "does not decode")
			continue
		}
		for _, p := range s.p.Problems {
			note(s, "%s", p)
		}
		n := nodes[s.topic.Node]
		if n == nil {
			n = &state{}
			nodes[s.topic.Node] = n
		}
		switch s.topic.Type {
		case sparkplug.NDEATH:
			if s.p.HasSeq || len(s.p.Metrics) != 1 || sparkplug.BdSeqOf(s.p) != n.bdSeq {
				note(s, "bdSeq %d, born with %d", sparkplug.BdSeqOf(s.p), n.bdSeq)
			}
			n.born = false
			continue
		case sparkplug.NBIRTH:
			*n = state{born: true, bdSeq: sparkplug.BdSeqOf(s.p), aliases: map[uint64]string{}, devices: map[string]bool{}}
		}
		if !n.born {
			note(s, "before the birth")
			continue
		}
		if s.p.Seq != n.next {
			note(s, "seq %d, want %d", s.p.Seq, n.next)
		}
		n.next = (s.p.Seq + 1) % 256
		birth := s.topic.Type == sparkplug.NBIRTH || s.topic.Type == sparkplug.DBIRTH
		if s.topic.Device != "" && s.topic.Type != sparkplug.DDATA {
			n.devices[s.topic.Device] = s.topic.Type == sparkplug.DBIRTH
		}
		for _, m := range s.p.Metrics {
			switch {
			case !m.HasTimestamp:
				note(s, "%s without timestamp", m.Name)
			case birth && (m.Name == "" || m.Type == 0):
				note(s, "metric without name or datatype")
			case birth && m.HasAlias && n.aliases[m.Alias] != "" && n.aliases[m.Alias] != m.Name:
				note(s, "alias %d twice", m.Alias)
			case birth && m.HasAlias:
				n.aliases[m.Alias] = m.Name
			case !birth && (m.Name != "" || m.Type != 0 || n.aliases[m.Alias] == ""):
				note(s, "data with name %q, datatype %d, alias %d", m.Name, m.Type, m.Alias)
			case !birth && s.topic.Device != "" && !n.devices[s.topic.Device]:
				note(s, "data of a device without birth")
			}
		}
	}
	return problems
}

// findings is what an observer of the specification's assertions says of a recording.
func findings(all []seen) (out []observe.Finding) {
	o := observe.New(observe.Options{})
	for _, s := range all {
		out = append(out, o.Message(observe.Message{Topic: s.topic.String(), Payload: s.payload, QoS: s.qos, Retain: s.retain, At: s.at})...)
	}
	return out
}

// healthy fails the test for whatever one of the two judges finds.
func healthy(t *testing.T, all []seen) {
	t.Helper()
	for _, problem := range conform(all) {
		t.Error(problem)
	}
	for _, f := range findings(all) {
		if strings.Contains(f.Topic, "/DCMD/") {
			continue // said by the test as host
		}
		t.Errorf("%s: %s: %s", f.Topic, f.ID, f.Text)
	}
}
