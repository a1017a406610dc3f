package sparkplug

import (
	"slices"
	"strings"
	"sync"
	"time"
)

// Options are a Host's settings. The zero value works.
type Options struct {
	HostID         string        // publishes spBv1.0/STATE/<HostID>; empty: no STATE
	ExtraHostIDs   []string      // other hosts whose STATE we answer for
	LastState      int64         // ms; the newest STATE timestamp ever published, kept by the caller across restarts
	LegacyState    bool          // publish STATE/<id> too, in the form of Sparkplug 2.2
	ReorderTimeout time.Duration // how long a missing sequence number is waited for; default 5 s, negative: not at all
	ReorderHeld    int           // messages held per node meanwhile; default 256
	ReorderBytes   int           // their bytes per node; default 4 MiB; all nodes together hold at most 16 times as much

	NoRebirths      bool          // never ask nodes for births
	RebirthDebounce time.Duration // least time between two requests to one node; default 5 s; it grows while they do not help
	RebirthsPerSec  int           // to all nodes together, evenly spread; default 20
	WillWait        time.Duration // how long after a lost connection an NDEATH is waited for; default 5 s

	MaxNodes      int           // default 2,000
	MaxDevices    int           // of one node; default 1,000
	MaxMetrics    int           // of one node with its devices; default 50,000
	MaxBytes      int           // of all nodes, devices and metrics with their names, live values not counted; default 512 MiB
	MaxClients    int           // connected MQTT clients that are remembered; default 10,000
	MaxValueBytes int           // of all live values that are text, bytes or structures; default 256 MiB
	Limits        Limits        // of a payload
	Started       time.Time     // of the appliance, for what is said of nodes not heard of since
	FutureStamp   time.Duration // a time stamp further ahead of our clock is flagged; default 1 min
}

func (o Options) withDefaults() Options {
	duration := func(d *time.Duration, value time.Duration) {
		if *d == 0 {
			*d = value
		}
	}
	number := func(n *int, value int) {
		if *n <= 0 {
			*n = value
		}
	}
	duration(&o.ReorderTimeout, 5*time.Second)
	duration(&o.RebirthDebounce, 5*time.Second)
	duration(&o.WillWait, 5*time.Second)
	duration(&o.FutureStamp, time.Minute)
	number(&o.ReorderHeld, 256)
	number(&o.ReorderBytes, 4<<20)
	number(&o.RebirthsPerSec, 20)
	number(&o.MaxNodes, 2000)
	number(&o.MaxDevices, 1000)
	number(&o.MaxMetrics, 50_000)
	number(&o.MaxBytes, 512<<20)
	number(&o.MaxClients, 10_000)
	number(&o.MaxValueBytes, 256<<20)
	return o
}

// Host is a Sparkplug host application without its MQTT client: the state of every edge node and device it hears of.
// Not safe for concurrent use.
type Host struct {
	o       Options
	nodes   map[NodeRef]*node
	sorted  []*node // by group and node
	clients map[string]ClientView
	told    bool               // of clients at all, and of every one that is connected
	missed  bool               // a client had no room
	waiting map[*node]struct{} // nodes with a deadline
	due     time.Time          // not later than the earliest of them; zero: there was none
	asks    pace               // of rebirth requests
	state   ownState
	stats   Stats
	scratch Payload   // of the message being worked on
	step    step      // the present one
	lent    sync.Pool // *memory of outputs

	now        time.Time // of the newest step
	turn       uint64    // counts Step calls, so that a node or metric is reported once per step
	bytes      int       // see Options.MaxBytes
	valueBytes int
	files      Files[*metric] // that come in parts
	heldBytes  int            // of all nodes
}

// Stats are counters since the host was made.
type Stats struct {
	Nodes, Metrics, Clients int // now
	Online, Offline         int // of Nodes; of the others it is not known
	Messages                uint64
	Undecodable             uint64 // payloads that are none, or exceed a limit
	BadTopics               uint64 // topics in the namespace, but not of its form
	LateDeaths              uint64 // NDEATHs of another session than the present one, ignored
	OtherServer             uint64 // messages from another server than the one their node's session is on, ignored
	UnknownMetrics          uint64 // values dropped because no birth names their metric or device
	HeldDropped             uint64 // messages dropped because no birth came, or one came in between
	Refused                 uint64 // nodes, devices and metrics beyond the limits
	Evicted                 uint64 // nodes that were down and made room for others
	Gaps                    uint64
	Rebirths                [RebirthCauses]uint64 // asked
	RebirthsDone            uint64                // births that answered a request
	StateDefences           uint64                // own STATE offline seen while running, answered
	StateDuels              uint64                // seen more often than answered: another host uses our id
}

// NewHost returns a Host that has heard nothing.
func NewHost(o Options) *Host {
	o = o.withDefaults()
	return &Host{
		o:       o,
		nodes:   map[NodeRef]*node{},
		clients: map[string]ClientView{},
		waiting: map[*node]struct{}{},
		asks:    pace{every: time.Second / time.Duration(o.RebirthsPerSec)},
		state:   newOwnState(o),
		scratch: Payload{Names: NewNames()},
	}
}

// Step takes one message, session event, loss or tick, and returns what is to be done about it. What is overdue by
// the clock comes first. The output's samples and events share the message's payload, which must not change. Its memory may be given
// back with Done.
func (h *Host) Step(in Input, now time.Time) Output {
	s := h.begin(now)
	s.expire()
	switch {
	case in.Message != nil:
		s.message(in.Message)
	case in.Session != nil:
		s.session(in.Session)
	case in.Refused != nil:
		s.refused(in.Refused)
	case in.Lost != nil:
		s.lost(in.Lost)
	}
	if in.Message != nil {
		h.scratch.release(len(in.Message.Payload))
	}
	return s.end()
}

// step is the work of one Step: the output as it grows.
type step struct {
	h       *Host
	now     time.Time
	arrived time.Time // when the message came that is applied: now, unless it was held
	from    string    // its publisher; empty when not known
	out     Output
	memory  *memory  // of out
	samples []Sample // backing of the output's samples; never grown beyond its capacity, so pointers stay valid
	silent  bool     // Seed: nothing is reported

	completing *completion // of templates; nil until there is one
	completes  *node       // whose definitions it has read
}

func (h *Host) begin(now time.Time) *step {
	h.turn++
	h.now = now
	h.step = step{h: h, now: now, arrived: now}
	return &h.step
}

// message sends one message to the function for its type.
func (s *step) message(m *Message) {
	s.h.stats.Messages++
	if id, ok := strings.CutPrefix(m.Topic, LegacyState); ok {
		s.stateSeen(id, m, true)
		return
	}
	t, err := ParseTopic(m.Topic)
	if err != nil {
		if err != ErrForeign {
			s.h.stats.BadTopics++
		}
		return
	}
	switch t.Type {
	case STATE:
		s.stateSeen(t.Host, m, false)
		return
	case NCMD, DCMD: // of other hosts, or our own coming back
		return
	}
	s.from = m.ClientID
	p := &s.h.scratch
	if err := p.Decode(m.Payload, s.h.o.Limits); err != nil {
		s.undecodable(t, m, err)
		return
	}
	if t.Type == NDEATH {
		s.nodeDeath(t, m, p)
		return
	}
	n := s.node(t.NodeRef())
	if n == nil {
		return
	}
	s.judge(n, m, p)
	if t.Type == NBIRTH {
		s.nodeBirth(n, m, p)
		return
	}
	s.inOrder(n, t, m, p)
}

// undecodable keeps a garbled payload from passing silently: the births are asked for again.
func (s *step) undecodable(t Topic, m *Message, err error) {
	s.h.stats.Undecodable++
	if t.Type == NDEATH {
		return
	}
	if n := s.node(t.NodeRef()); n != nil && !s.elsewhere(n, m) {
		text := t.Type.String() + " cannot be decoded: " + err.Error()
		s.warn(n, text)
		s.heard(n)
		if n.state == StateOnline {
			s.doubtful(n, CauseUndecodable, text)
		}
		s.wantRebirth(n, AskGarbled, text)
	}
}

// node returns a node, made if it is new. When there are too many, one that is not online makes room; nil when all are.
func (s *step) node(ref NodeRef) *node {
	h := s.h
	if n := h.nodes[ref]; n != nil {
		return n
	}
	cost := nodeCost + len(ref.Group) + len(ref.Node)
	if (len(h.nodes) >= h.o.MaxNodes || h.full(cost)) && !s.evictNode() {
		h.stats.Refused++
		return nil
	}
	h.bytes += cost
	n := newNode(NodeRef{strings.Clone(ref.Group), strings.Clone(ref.Node)}, s.now)
	at, _ := slices.BinarySearchFunc(h.sorted, n.ref, func(n *node, ref NodeRef) int { return compareNodes(n.ref, ref) })
	h.sorted = slices.Insert(h.sorted, at, n)
	h.nodes[n.ref] = n
	for _, other := range h.sorted {
		if other != n && strings.EqualFold(other.ref.Node, n.ref.Node) && strings.EqualFold(other.ref.Group, n.ref.Group) {
			s.warn(n, "another edge node's name differs only in case [tck-id-case-sensitivity-sparkplug-ids]")
		}
	}
	s.touch(n)
	return n
}

// evictNode forgets a node that is not online: one that was never born, else the one that is down for longest.
func (s *step) evictNode() bool {
	h := s.h
	var out *node
	for _, n := range h.sorted {
		if n.state != StateOnline && (out == nil || n.lessWorth(out)) {
			out = n
		}
	}
	if out == nil {
		return false
	}
	s.dropHeld(out)
	for _, d := range out.sorted {
		s.forget(d)
	}
	s.undefineAll(out)
	h.bytes -= nodeCost + len(out.ref.Group) + len(out.ref.Node)
	s.touch(out)
	delete(h.waiting, out)
	delete(h.nodes, out.ref)
	h.sorted = slices.DeleteFunc(h.sorted, func(n *node) bool { return n == out })
	h.stats.Evicted++
	return true
}

// What a node, a device and a metric take in memory beside their names, about: warnings, map entries and all.
const (
	nodeCost   = 4096
	deviceCost = 512
	metricCost = 448
)

// full tells whether there is no room for so many bytes more.
func (h *Host) full(bytes int) bool { return h.bytes+bytes > h.o.MaxBytes }

func (n *node) lessWorth(other *node) bool {
	if never := n.lastBirth.IsZero(); never != other.lastBirth.IsZero() {
		return never
	}
	return n.heard.Before(other.heard)
}

func compareNodes(a, b NodeRef) int {
	if c := strings.Compare(a.Group, b.Group); c != 0 {
		return c
	}
	return strings.Compare(a.Node, b.Node)
}

// touch reports that a node's view changed.
func (s *step) touch(n *node) {
	if !s.silent && n.touched != s.h.turn {
		n.touched = s.h.turn
		s.out.Nodes = append(s.out.Nodes, n.ref)
	}
}

// changed reports that a metric's view changed.
func (s *step) changed(m *metric) {
	if !s.silent && m.touched != s.h.turn {
		m.touched = s.h.turn
		s.remember()
		s.out.Changed = append(s.out.Changed, m.ref())
	}
}

func (s *step) event(e Event) {
	if !s.silent {
		s.remember()
		s.out.Records = append(s.out.Records, Record{Event: &e})
	}
}

// record appends a sample; more is how many may still follow.
func (s *step) record(x Sample, more int) {
	if s.silent {
		return
	}
	s.remember()
	if len(s.samples) == cap(s.samples) {
		s.samples = make([]Sample, 0, max(more, 1))
		s.out.Records = slices.Grow(s.out.Records, more)
	}
	s.samples = append(s.samples, x)
	s.out.Records = append(s.out.Records, Record{Sample: &s.samples[len(s.samples)-1]})
}
