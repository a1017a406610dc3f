package sparkplug

import "time"

// Options are a Host's settings. The zero value works.
type Options struct {
	HostID         string        // publishes spBv1.0/STATE/<HostID>; empty: no STATE
	ExtraHostIDs   []string      // other hosts whose STATE we answer for
	LastState      int64         // ms; the newest STATE timestamp ever published, kept by the caller across restarts
	ReorderTimeout time.Duration // how long a missing sequence number is waited for; default 5 s, negative: not at all
	ReorderHeld    int           // messages held per node meanwhile; default 256
	ReorderBytes   int           // their bytes per node; default 4 MiB

	NoRebirths      bool          // never ask nodes for births
	RebirthDebounce time.Duration // least time between two requests to one node; default 5 s
	RebirthsPerSec  int           // to all nodes together; default 20

	MaxNodes      int           // default 2,000
	MaxDevices    int           // of one node; default 1,000
	MaxMetrics    int           // of one node with its devices; default 50,000
	MaxValueBytes int           // of all live values that are text, bytes or structures; default 256 MiB
	Limits        Limits        // of a payload
	FutureStamp   time.Duration // a time stamp further ahead of our clock is flagged; default 1 min
}

// Host is a Sparkplug host application without its MQTT client: the state of every edge node and device it hears of.
// Not safe for concurrent use.
type Host struct{ o Options }

// NewHost returns a Host that has heard nothing.
func NewHost(o Options) *Host { return &Host{o: o} }

// Step takes one message, session event, loss or tick, and returns what is to be done about it. The output shares
// no memory with the host, but its values share the message's payload.
func (h *Host) Step(in Input, now time.Time) Output { return Output{} }

// NextTick returns when Step wants to be called without input at the latest; zero: it is waiting for nothing.
func (h *Host) NextTick() time.Time { return time.Time{} }

// RequestRebirth asks a node for its births on behalf of an operator. The debounce and the global cap hold here too:
// the request may go out at a later tick. ok is false for an unknown node.
func (h *Host) RequestRebirth(n NodeRef, reason string, now time.Time) (out Output, ok bool) {
	return Output{}, false
}

// StateBirth returns the online STATE of every host id, and from then on defends it: see Step. Each birth of a
// session takes the same time as the session's will, so a caller with a will passes StateWill's now.
func (h *Host) StateBirth(now time.Time) []Publish { return nil }

// StateDeath returns the offline STATE of every host id, and ends their defence.
func (h *Host) StateDeath(now time.Time) []Publish { return nil }

// StateTimestamp returns the newest STATE timestamp used, for Options.LastState after a restart.
func (h *Host) StateTimestamp() int64 { return 0 }

// Seed restores one birth from before a restart: its node is StateUnknown and its metrics are stale until an
// NBIRTH arrives. A node's NBIRTH comes before its DBIRTHs. It returns an error for what is no birth.
func (h *Host) Seed(topic string, payload []byte, received time.Time) error { return nil }

// Nodes returns every node, sorted by group and node.
func (h *Host) Nodes() []NodeView { return nil }

// Node returns one node.
func (h *Host) Node(group, node string) (NodeView, bool) { return NodeView{}, false }

// Metric returns one metric.
func (h *Host) Metric(ref MetricRef) (MetricView, bool) { return MetricView{}, false }

// MetricFilter selects metrics; an empty field selects all.
type MetricFilter struct {
	Group, Node string
	Device      *string // pointer to "": metrics of the node itself
	Contains    string  // in the metric's name, case folded
	Quality     Quality
}

// Metrics returns at most limit (0 or more than 1,000: 1,000) metrics after the given one (nil: from the first), sorted by group, node, device
// and name, and whether there are more.
func (h *Host) Metrics(f MetricFilter, after *MetricRef, limit int) (page []MetricView, more bool) {
	return nil, false
}
