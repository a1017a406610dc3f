package server

import (
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"edge/broker/packets"
)

// TraceOptions bound one trace.
type TraceOptions struct {
	Duration time.Duration // default 1 min, at most 10 min
	Packets  int           // default 1000, at most 10,000
	Payloads bool          // whether the first 256 bytes of payloads are kept; a password never is
}

// The bounds of traces. A line takes at most some 2 KiB.
const (
	maxTraces        = 4 // kept at one time, running or over
	maxTraceDuration = 10 * time.Minute
	maxTracePackets  = 10_000
	maxTraceTopics   = 4
	maxTraceText     = 256 // bytes of a topic, a payload, a note
)

// What StartTrace refuses.
var (
	ErrTraceClient = errors.New("no client can have this identifier")
	ErrTraces      = errors.New("as many traces as allowed are running")
)

// TraceDirection says who sent a packet.
type TraceDirection uint8

// Lines are packets that were read, packets that were appended to what is to be written, and what happened besides.
const (
	TraceNote TraceDirection = iota
	TraceIn
	TraceOut
)

// TraceLine is one packet or event. Longer texts are cut to maxTraceText bytes.
type TraceLine struct {
	Seq         uint64 // from 1
	At          time.Time
	Direction   TraceDirection
	Type        packets.Type // 0 for a note
	PacketID    uint16
	QoS         byte
	Dup, Retain bool
	Topics      []string // of PUBLISH, or the first filters of SUBSCRIBE and UNSUBSCRIBE
	Size        int      // bytes of the whole packet
	Codes       []packets.ReasonCode
	Note        string
	Payload     []byte // nil unless asked for
}

// TraceView is a trace as it is now.
type TraceView struct {
	TraceOptions
	Started time.Time
	Ended   time.Time // zero while it runs
	End     string    // why it ended
	Count   int       // of all lines
	Lines   []TraceLine
}

// StartTrace records what passes between the broker and a client, connected or not, CONNECT and its refusal included,
// until a bound of o is reached. A trace of the same client is replaced; what is over makes room for another.
func (s *Server) StartTrace(clientID string, o TraceOptions) error {
	if clientID == "" || len(clientID) > maxClientID {
		return ErrTraceClient
	}
	t := newTrace(o, s.now())
	if !s.traces.add(clientID, t) {
		return ErrTraces
	}
	s.mu.Lock()
	cl := s.clients[clientID]
	s.mu.Unlock()
	if cl == nil {
		return nil
	}
	cl.mu.Lock()
	defer cl.mu.Unlock()
	if cl.conn != nil {
		cl.conn.traced.Store(t)
	}
	return nil
}

// Trace returns the lines of a client's trace behind number after, at most limit; false: there is no trace.
func (s *Server) Trace(clientID string, after uint64, limit int) (TraceView, bool) {
	t := s.traces.of(clientID)
	if t == nil {
		return TraceView{}, false
	}
	return t.show(after, limit, s.now()), true
}

// StopTrace ends a trace and forgets it; false: there is none.
func (s *Server) StopTrace(clientID string) bool { return s.traces.remove(clientID, s.now()) }

// traces are the traces by client identifier. The zero value works.
type traces struct {
	some atomic.Bool // byID is not empty

	mu   sync.Mutex
	byID map[string]*trace
}

func (x *traces) add(id string, t *trace) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	now := t.view.Started
	if old := x.byID[id]; old != nil {
		old.stop(now)
	} else if len(x.byID) >= maxTraces && !x.evictLocked(now) {
		return false
	}
	if x.byID == nil {
		x.byID = make(map[string]*trace)
	}
	x.byID[id] = t
	x.some.Store(true)
	return true
}

// evictLocked forgets the trace that ended first.
func (x *traces) evictLocked(now time.Time) bool {
	oldest, at := "", now
	for id, t := range x.byID {
		if v := t.show(0, 0, now); !v.Ended.IsZero() && (oldest == "" || v.Ended.Before(at)) {
			oldest, at = id, v.Ended
		}
	}
	delete(x.byID, oldest)
	return oldest != ""
}

func (x *traces) of(id string) *trace {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.byID[id]
}

func (x *traces) remove(id string, now time.Time) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	t := x.byID[id]
	if t != nil {
		t.stop(now)
		delete(x.byID, id)
		x.some.Store(len(x.byID) > 0)
	}
	return t != nil
}

// trace records one client. Its lock is taken last: an outbox's may be held.
type trace struct {
	mu   sync.Mutex
	view TraceView // its Lines are those kept
}

func newTrace(o TraceOptions, now time.Time) *trace {
	if o.Duration <= 0 {
		o.Duration = time.Minute
	}
	if o.Packets <= 0 {
		o.Packets = 1000
	}
	o.Duration, o.Packets = min(o.Duration, maxTraceDuration), min(o.Packets, maxTracePackets)
	return &trace{view: TraceView{TraceOptions: o, Started: now}}
}

// add keeps a line; false: the trace is over.
func (t *trace) add(l TraceLine) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.overLocked(l.At) {
		return false
	}
	l.Seq = uint64(len(t.view.Lines)) + 1
	t.view.Lines = append(t.view.Lines, l)
	if len(t.view.Lines) >= t.view.Packets {
		t.view.Ended, t.view.End = l.At, "as many packets as asked for"
	}
	return true
}

func (t *trace) overLocked(now time.Time) bool {
	if until := t.view.Started.Add(t.view.Duration); t.view.Ended.IsZero() && !now.Before(until) {
		t.view.Ended, t.view.End = until, "its time is over"
	}
	return !t.view.Ended.IsZero()
}

func (t *trace) stop(now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.overLocked(now) {
		t.view.Ended, t.view.End = now, "stopped"
	}
}

func (t *trace) show(after uint64, limit int, now time.Time) TraceView {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.overLocked(now)
	v := t.view
	v.Count = len(v.Lines)
	v.Lines = v.Lines[min(after, uint64(len(v.Lines))):]
	v.Lines = slices.Clone(v.Lines[:min(limit, len(v.Lines))])
	return v
}
