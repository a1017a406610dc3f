package simulate

import (
	"errors"
	"net"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"edge/sparkplug"
	"edge/sparkplug/observe"
)

// Each fault is seen on the wire, by whoever listens.
func TestFaultsAreSeen(t *testing.T) {
	problem := func(word string) func([]seen) bool {
		return func(all []seen) bool {
			return slices.ContainsFunc(conform(all), func(p string) bool { return strings.Contains(p, word) })
		}
	}
	metric := func(kinds []sparkplug.MessageType, ok func(seen, sparkplug.Metric) bool) func([]seen) bool {
		return func(all []seen) bool {
			return slices.ContainsFunc(all, func(s seen) bool {
				return s.p != nil && slices.Contains(kinds, s.topic.Type) &&
					slices.ContainsFunc(s.p.Metrics, func(m sparkplug.Metric) bool { return ok(s, m) })
			})
		}
	}
	finding := func(id string) func([]seen) bool {
		return func(all []seen) bool {
			return slices.ContainsFunc(findings(all), func(f observe.Finding) bool { return f.ID == id })
		}
	}
	data := []sparkplug.MessageType{sparkplug.NDATA, sparkplug.DDATA}
	births := []sparkplug.MessageType{sparkplug.NBIRTH}
	for _, c := range []struct {
		name   string
		faults []Fault
		seen   []func([]seen) bool
	}{
		{"clock-skew", []Fault{ClockSkew}, []func([]seen) bool{metric(data, func(s seen, m sparkplug.Metric) bool {
			return time.UnixMilli(int64(m.Timestamp)).Sub(s.at) > 90*time.Minute
		})}},
		{"seq-gap", []Fault{SeqGap}, []func([]seen) bool{problem(": seq "), finding("tck-id-payloads-sequence-num-incrementing")}},
		{"lost-birth", []Fault{LostBirth}, []func([]seen) bool{problem("before the birth")}},
		{"alias-reuse", []Fault{AliasReuse}, []func([]seen) bool{problem("alias 1 twice"), finding("tck-id-payloads-alias-uniqueness")}},
		{"type-change", []Fault{TypeChange}, []func([]seen) bool{
			finding("tck-id-payloads-metric-datatype-not-req"),
			metric(data, func(_ seen, m sparkplug.Metric) bool { return m.Alias == 2 && m.Type == sparkplug.String }),
			metric(births, func(_ seen, m sparkplug.Metric) bool { return m.Name == "Level" && m.Type == sparkplug.String }),
			metric(data, func(_ seen, m sparkplug.Metric) bool {
				return m.Alias == 2 && m.Type == 0 && m.Field == sparkplug.FieldString
			}),
		}},
		{"flapping", []Fault{Flapping}, []func([]seen) bool{atLeast(3, sparkplug.NBIRTH), atLeast(2, sparkplug.NDEATH)}},
		{"bdseq-stuck", []Fault{BdSeqStuck, Flapping}, []func([]seen) bool{finding("tck-id-topics-nbirth-bdseq-increment"), atLeast(3, sparkplug.NBIRTH),
			func(all []seen) bool {
				return !slices.ContainsFunc(all, func(s seen) bool { return s.topic.Type == sparkplug.NBIRTH && sparkplug.BdSeqOf(s.p) != 0 })
			}}},
		{"duplicate-id", []Fault{DuplicateID}, []func([]seen) bool{atLeast(3, sparkplug.NBIRTH), atLeast(2, sparkplug.NDEATH)}},
		{"huge-birth", []Fault{HugeBirth}, []func([]seen) bool{func(all []seen) bool {
			return slices.ContainsFunc(all, func(s seen) bool { return s.topic.Type == sparkplug.NBIRTH && len(s.p.Metrics) > hugeExtra })
		}}},
		{"garbage", []Fault{Garbage}, []func([]seen) bool{problem("does not decode"), finding("tck-id-payloads-metric-datatype-value-type")}},
		{"slow-link", []Fault{SlowLink}, []func([]seen) bool{atLeast(2, sparkplug.DBIRTH)}},
		{"device-loss", []Fault{DeviceLoss}, []func([]seen) bool{atLeast(1, sparkplug.DDEATH), func(all []seen) bool {
			return kinds(all, sparkplug.DBIRTH) > 2 && kinds(all, sparkplug.NBIRTH) == 1 && len(conform(all)) == 0 && len(findings(all)) == 0
		}}},
		{"backlog", []Fault{Backlog}, []func([]seen) bool{atLeast(2, sparkplug.NBIRTH),
			metric(data, func(_ seen, m sparkplug.Metric) bool { return m.Historical })}},
	} {
		t.Run(c.name, func(t *testing.T) {
			address := startBroker(t)
			r := record(t, address)
			start(t, Options{Broker: address, Nodes: []NodeSpec{bench("N")}, Faults: c.faults})
			for i, ok := range c.seen {
				r.until(t, c.name+" "+string(rune('1'+i)), ok)
			}
		})
	}
}

// Faults come and go while a node runs, each time with a new session; a twin comes and goes with duplicate-id.
func TestSetFaults(t *testing.T) {
	address := startBroker(t)
	r := record(t, address)
	f, _ := start(t, Options{Broker: address, Nodes: []NodeSpec{bench("N")}})
	r.until(t, "a birth", atLeast(1, sparkplug.NBIRTH))
	set := func(faults ...Fault) {
		t.Helper()
		if err := f.SetFaults("N", faults); err != nil {
			t.Fatal(err)
		}
	}
	set(HugeBirth)
	all := r.until(t, "a huge birth", func(all []seen) bool {
		return slices.ContainsFunc(all, func(s seen) bool {
			return s.topic.Type == sparkplug.NBIRTH && s.p != nil && len(s.p.Metrics) > hugeExtra
		})
	})
	healthy(t, all)
	set(DuplicateID)
	r.until(t, "births of two that throw each other out", atLeast(5, sparkplug.NBIRTH))
	set()
	healed := func() bool {
		s := f.Nodes()[0]
		return s.State == Online && len(s.Faults) == 0
	}
	r.until(t, "the node without faults", func([]seen) bool { return healed() })
	sessions := f.Nodes()[0].Connects
	from := f.Nodes()[0].Samples
	r.until(t, "data", func([]seen) bool { return f.Nodes()[0].Samples > from+20 })
	if now := f.Nodes()[0].Connects; now != sessions {
		t.Errorf("%d connections after the twin had gone", now-sessions)
	}
	if err := f.SetFaults("nobody", nil); !errors.Is(err, ErrNoNode) {
		t.Errorf("faults of a node that is not there: %v", err)
	}
}

// Every fault says what it shows, and its name can be given on the command line.
func TestFaultsAreNamed(t *testing.T) {
	for _, f := range Faults() {
		if got, err := ParseFaults(string(f)); f.Shows() == "" || err != nil || !slices.Equal(got, []Fault{f}) {
			t.Errorf("%s: shows %q, parsed as %v, %v", f, f.Shows(), got, err)
		}
	}
	if s := Fault("none").Shows(); s != "" {
		t.Errorf("a fault that is none shows %q", s)
	}
}

// A node without Will goes in silence: the death of a node killed after it is there, its own is not.
func TestNoWill(t *testing.T) {
	address := startBroker(t)
	r := record(t, address)
	silent := bench("silent")
	silent.Faults = []Fault{NoWill}
	f, _ := start(t, Options{Broker: address, Nodes: []NodeSpec{silent, bench("loud")}})
	r.until(t, "data of both", func([]seen) bool { s := f.Nodes(); return s[0].Samples > 0 && s[1].Samples > 0 })
	for _, name := range []string{"silent", "loud"} {
		if err := f.Kill(name); err != nil {
			t.Fatal(err)
		}
	}
	r.until(t, "a death", atLeast(1, sparkplug.NDEATH))
	r.send(t, sparkplug.StateMessage("marker", sparkplug.HostState{}))
	all := r.until(t, "the marker", atLeast(1, sparkplug.STATE))
	for _, s := range all {
		if s.topic.Type == sparkplug.NDEATH && s.topic.Node == "silent" {
			t.Error("a death of the node without Will")
		}
	}
}

// A lost birth is found again when a host asks for it.
func TestLostBirthComesOnRequest(t *testing.T) {
	address := startBroker(t)
	r := record(t, address)
	start(t, Options{Broker: address, Nodes: []NodeSpec{bench("N")}, Faults: []Fault{LostBirth}})
	r.until(t, "data", atLeast(1, sparkplug.DDATA))
	r.send(t, sparkplug.RebirthRequest(sparkplug.NodeRef{Group: "G", Node: "N"}, time.Now()))
	r.until(t, "the birth", atLeast(1, sparkplug.NBIRTH))
}

// What a backlog sends is the time of the cut: between the last data before it and the birth after it.
func TestBacklogIsTheTimeOfTheCut(t *testing.T) {
	address := startBroker(t)
	r := record(t, address)
	f, _ := start(t, Options{Broker: address, Nodes: []NodeSpec{bench("N")}, Faults: []Fault{Backlog}})
	all := r.until(t, "the backlog", func([]seen) bool { return f.Nodes()[0].HistorySent >= backlogOff/2 })
	var lastLive, birth uint64
	for _, s := range all {
		if s.p == nil || len(s.p.Metrics) == 0 {
			continue
		}
		if s.topic.Type == sparkplug.NBIRTH {
			birth = s.p.Timestamp
		}
		for _, m := range s.p.Metrics {
			switch {
			case m.Historical && (m.Timestamp < lastLive || m.Timestamp > birth):
				t.Fatalf("historical sample of %d; cut at %d, birth at %d", m.Timestamp, lastLive, birth)
			case !m.Historical && s.topic.Type == sparkplug.DDATA && kinds(all, sparkplug.NBIRTH) == 1:
				lastLive = m.Timestamp
			}
		}
	}
}

func TestSlowWire(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		w := &wire{Conn: near, slow: true, closed: make(chan struct{})}
		began := time.Now()
		go func() { _, _ = w.Write(make([]byte, slowRate)) }()
		if _, err := far.Read(make([]byte, slowRate)); err != nil {
			t.Fatal(err)
		}
		if got := time.Since(began); got != slowLatency+time.Second {
			t.Errorf("%d bytes took %v", slowRate, got)
		}
		began = time.Now()
		failed := make(chan error, 1)
		go func() { _, err := w.Write(make([]byte, slowRate)); failed <- err }()
		synctest.Wait()
		_ = w.Close()
		if err := <-failed; err != errCut || time.Since(began) != 0 {
			t.Errorf("a write that is cut: %v after %v", err, time.Since(began))
		}
		_ = far.Close()
	})
}
