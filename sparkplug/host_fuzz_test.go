package sparkplug

import (
	"encoding/json"
	"testing"
	"time"
)

// fuzzTopics are what a fuzzed step publishes on; the byte after the operation selects one.
var fuzzTopics = []string{"spBv1.0/G/NBIRTH/E", "spBv1.0/G/DBIRTH/E/D", "spBv1.0/G/NDATA/E", "spBv1.0/G/DDATA/E/D", "spBv1.0/G/DDEATH/E/D",
	"spBv1.0/G/NDEATH/E", "spBv1.0/G/NDATA/F", "spBv1.0/STATE/edge", "spBv1.0/G/NCMD/E", "spBv1.0/x", "a"}

// FuzzHost plays bytes as a conversation: operation, length, payload. Whatever comes, the host stays within its limits,
// its output is well-formed, and its views can be shown.
func FuzzHost(f *testing.F) {
	var all []byte
	for _, b := range goldenPayloads(f) {
		for op := range byte(6) {
			all = append(append(all, op, byte(len(b))), b[:min(len(b), 255)]...)
		}
	}
	f.Add(all)
	f.Add([]byte{100, 0, 101, 0, 102, 0, 103, 0})
	f.Fuzz(func(t *testing.T, script []byte) {
		h := NewHost(Options{HostID: "edge", MaxNodes: 1, MaxDevices: 1, MaxMetrics: 8, MaxValueBytes: 64, ReorderHeld: 4})
		h.StateBirth("", t0)
		now := t0
		for len(script) >= 2 {
			op, n := script[0], min(int(script[1]), len(script)-2)
			payload := script[2 : 2+n]
			script = script[2+n:]
			var in Input
			switch {
			case int(op) < len(fuzzTopics):
				in.Message = &Message{Topic: fuzzTopics[op], Payload: payload, ClientID: "c", Retain: n == 7}
			case op == 100:
				now = now.Add(time.Duration(n) * 100 * time.Millisecond)
			case op == 101:
				in.Session = &Session{ClientID: "c", Connected: true}
			case op == 102:
				in.Session = &Session{ClientID: "c", Reason: ReasonClean}
			case op == 103:
				in.Lost = &Lost{}
			default:
				in.Message = &Message{Topic: "spBv1.0/" + string(payload), Payload: payload}
			}
			checkOutput(t, h.Step(in, now))
			checkHost(t, h, now)
		}
	})
}

func checkOutput(t *testing.T, out Output) {
	for _, r := range out.Records {
		if (r.Sample == nil) == (r.Event == nil) {
			t.Fatalf("record %+v", r)
		}
	}
	for _, p := range out.Publish {
		if topic, err := ParseTopic(p.Topic); err != nil || topic.Type != NCMD && topic.Type != STATE {
			t.Fatalf("publish on %q", p.Topic)
		}
	}
}

func checkHost(t *testing.T, h *Host, now time.Time) {
	page, more := h.Metrics(MetricFilter{}, nil, 0)
	if st := h.Stats(); st.Nodes > 1 || st.Metrics > 8 || st.Metrics != len(page) || more {
		t.Fatalf("%+v, %d metrics shown", st, len(page))
	}
	bytes := 0
	for _, m := range page {
		if b := AppendJSON(nil, m.Value); !json.Valid(b) {
			t.Fatalf("%q", b)
		}
		bytes += len(m.Value.Bytes)
		n, ok := h.Node(m.Group, m.Node)
		if !ok || m.Quality == QualityGood && n.State != StateOnline {
			t.Fatalf("%+v of a node that is %s", m, n.State)
		}
	}
	if bytes > 64 || bytes != h.valueBytes {
		t.Fatalf("%d bytes of values, counted %d", bytes, h.valueBytes)
	}
	held := 0
	for _, n := range h.sorted {
		held += n.heldBytes
		if len(n.held) > 4 || len(n.warnings) > 16 || len(n.devices) > 1 {
			t.Fatalf("%d held, %d warnings", len(n.held), len(n.warnings))
		}
		if (len(n.held) > 0) != (!n.reorder.IsZero()) {
			t.Fatal("held without a timer, or a timer without held")
		}
	}
	if held != h.heldBytes {
		t.Fatalf("%d bytes held, counted %d", held, h.heldBytes)
	}
	if next := h.NextTick(); !next.IsZero() && next.Before(now) {
		t.Fatalf("overdue since %v at %v", next, now)
	}
}
