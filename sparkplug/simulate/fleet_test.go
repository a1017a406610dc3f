package simulate

import (
	"slices"
	"testing"
	"time"

	"edge/sparkplug"
)

// bench is a node whose every look finds a change, with a knob.
func bench(name string) NodeSpec {
	tick := func(m Moment) float64 { return float64(m.At.UnixMilli()) }
	return NodeSpec{Group: "G", Node: name,
		Signals: []Signal{count(sparkplug.Int64, "Ticks", tick), {Name: "Level", Type: sparkplug.Double, Unit: "m", Low: 0, High: 1e15, Deadband: 0.5,
			Value: func(m Moment) sparkplug.Value { return numeric(sparkplug.Double, tick(m)) }}},
		Devices: []DeviceSpec{
			{Device: "D1", Signals: []Signal{count(sparkplug.UInt64, "Ticks", tick), knob(sparkplug.Double, "Setpoint", "°C", 0, 100, 20)}},
			{Device: "D2", Signals: []Signal{count(sparkplug.Int64, "Ticks", tick), lever("Light", false)}},
		}}
}

var protocols = []Protocol{V5, V311}

func TestHealthyPlantConforms(t *testing.T) {
	for _, protocol := range protocols {
		t.Run(protocol.String(), func(t *testing.T) {
			address := startBroker(t)
			r := record(t, address)
			from := time.Now().Add(-time.Hour)
			f, stop := start(t, Options{Broker: address, Nodes: Plant(), Protocol: protocol, History: time.Hour, HistoryRate: 20_000, Seed: 3})
			historyDone := func([]seen) bool {
				return !slices.ContainsFunc(f.Nodes(), func(s Status) bool { return !s.HistoryDone })
			}
			r.until(t, "the history's end", historyDone)
			r.until(t, "live data of all nodes", func(all []seen) bool {
				return !slices.ContainsFunc(f.Nodes(), func(s Status) bool { return s.Samples < 20 })
			})
			stop()
			all := r.until(t, "the deaths", atLeast(4, sparkplug.NDEATH))
			healthy(t, all)
			historical := map[string]int{}
			for _, s := range all {
				for _, m := range s.p.Metrics {
					at := time.UnixMilli(int64(m.Timestamp))
					switch {
					case m.Historical && (at.Before(from.Add(-time.Second)) || at.After(s.at)):
						t.Fatalf("historical sample of %v", at)
					case m.Historical:
						historical[s.topic.Node]++
					case s.at.Sub(at).Abs() > patience:
						t.Fatalf("live sample of %v", at)
					}
				}
			}
			for _, s := range f.Nodes() {
				if s.State != Stopped || s.Births != 1 || s.BdSeq != 0 || s.HistorySent == 0 || s.HistorySent != historical[s.Node] {
					t.Errorf("%+v; %d historical samples seen", s, historical[s.Node])
				}
			}
		})
	}
}

// [tck-id-payloads-ndeath-will-message] [tck-id-payloads-ndeath-bdseq]
func TestKillFiresTheWillAndReviveIsANewSession(t *testing.T) {
	for _, protocol := range protocols {
		t.Run(protocol.String(), func(t *testing.T) {
			address := startBroker(t)
			r := record(t, address)
			f, _ := start(t, Options{Broker: address, Nodes: []NodeSpec{bench("N"), bench("other")}, Protocol: protocol})
			r.until(t, "data", atLeast(4, sparkplug.DDATA))
			if err := f.Kill("N"); err != nil {
				t.Fatal(err)
			}
			all := r.until(t, "the will", atLeast(1, sparkplug.NDEATH))
			if last := all[len(all)-1]; last.topic.Type == sparkplug.NDEATH && last.topic.Node != "N" {
				t.Errorf("death of %s", last.topic.Node)
			}
			before := len(all)
			r.until(t, "the other node's data", func(all []seen) bool { return len(all) > before+20 })
			if s := f.Nodes()[0]; s.State != Killed {
				t.Errorf("state %s", s.State)
			}
			if err := f.Revive("G/N"); err != nil {
				t.Fatal(err)
			}
			all = r.until(t, "the new birth", atLeast(3, sparkplug.NBIRTH))
			for _, s := range all {
				if s.topic.Node == "N" && s.topic.Type == sparkplug.NBIRTH && sparkplug.BdSeqOf(s.p) > 1 {
					t.Errorf("bdSeq %d", sparkplug.BdSeqOf(s.p))
				}
			}
			all = r.until(t, "its data", func(all []seen) bool {
				return all[len(all)-1].topic.Node == "N" && all[len(all)-1].topic.Type == sparkplug.DDATA
			})
			healthy(t, all)
			if s := f.Nodes()[0]; s.BdSeq != 1 || s.Connects != 2 {
				t.Errorf("%+v", s)
			}
		})
	}
}

// [tck-id-operational-behavior-edge-node-intentional-disconnect-ndeath]
func TestStopSaysGoodbye(t *testing.T) {
	for _, protocol := range protocols {
		t.Run(protocol.String(), func(t *testing.T) {
			address := startBroker(t)
			r := record(t, address)
			f, _ := start(t, Options{Broker: address, Nodes: []NodeSpec{bench("N")}, Protocol: protocol})
			r.until(t, "data", atLeast(2, sparkplug.DDATA))
			if err := f.Stop("N"); err != nil {
				t.Fatal(err)
			}
			// 3.1.1: the farewell alone. 5.0: the farewell, and the Will that DISCONNECT 0x04 asks for.
			deaths := map[Protocol]int{V311: 1, V5: 2}[protocol]
			r.until(t, "the deaths", atLeast(deaths, sparkplug.NDEATH))
			if err := f.Revive("N"); err != nil {
				t.Fatal(err)
			}
			all := r.until(t, "a second birth", atLeast(2, sparkplug.NBIRTH))
			if got := kinds(all, sparkplug.NDEATH); got != deaths {
				t.Errorf("%d deaths", got)
			}
			healthy(t, all)
		})
	}
}

// [tck-id-operational-behavior-data-commands-rebirth-action-1] [tck-id-operational-behavior-data-commands-rebirth-action-2]
func TestRebirthOnRequest(t *testing.T) {
	address := startBroker(t)
	r := record(t, address)
	f, _ := start(t, Options{Broker: address, Nodes: []NodeSpec{bench("N")}})
	r.until(t, "data", atLeast(2, sparkplug.DDATA))
	for range 3 { // within a second they are one
		r.send(t, sparkplug.RebirthRequest(sparkplug.NodeRef{Group: "G", Node: "N"}, time.Now()))
	}
	all := r.until(t, "births of node and devices", atLeast(4, sparkplug.DBIRTH))
	if got := f.Nodes()[0]; got.Births != 2 || got.Rebirths != 1 || got.BdSeq != 0 || kinds(all, sparkplug.NDEATH) != 0 {
		t.Errorf("%+v, %d deaths", got, kinds(all, sparkplug.NDEATH))
	}
	healthy(t, all)
}

// command is a DCMD for one metric of device D1, by alias.
func command(alias uint64, v sparkplug.Value) sparkplug.Publish {
	now := time.Now()
	p := sparkplug.Payload{Timestamp: sparkplug.Millis(now), HasTimestamp: true, Metrics: []sparkplug.Metric{{
		Alias: alias, HasAlias: true, Timestamp: sparkplug.Millis(now), HasTimestamp: true, Value: v}}}
	return sparkplug.Publish{Topic: "spBv1.0/G/DCMD/N/D1", Payload: sparkplug.Encode(&p)}
}

func TestCommandIsAppliedAndReadBack(t *testing.T) {
	const setpointAlias = 4
	for _, c := range []struct {
		name     string
		alias    uint64
		value    sparkplug.Value
		want     float64 // read back
		readBack bool
		commands int
	}{
		{"within the limits", setpointAlias, numeric(sparkplug.Double, 42.5), 42.5, true, 1},
		{"above the limit", setpointAlias, numeric(sparkplug.Double, 101), 20, true, 0},
		{"null", setpointAlias, sparkplug.Value{Type: sparkplug.Double, Null: true}, 20, true, 0},
		{"of another type", setpointAlias, sparkplug.StringValue("hot"), 20, true, 0},
		{"unknown metric", 99, numeric(sparkplug.Double, 1), 0, false, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			address := startBroker(t)
			r := record(t, address)
			f, _ := start(t, Options{Broker: address, Nodes: []NodeSpec{bench("N")}})
			r.until(t, "births", atLeast(2, sparkplug.DBIRTH))
			r.send(t, command(c.alias, c.value))
			var got *sparkplug.Metric
			all := r.until(t, "the answer", func(all []seen) bool {
				for _, s := range all {
					if s.topic.Type != sparkplug.DDATA || s.topic.Device != "D1" {
						continue
					}
					for i, m := range s.p.Metrics {
						if m.HasAlias && m.Alias == setpointAlias {
							got = &s.p.Metrics[i]
							return true
						}
					}
				}
				return !c.readBack && f.Nodes()[0].Refused == 1
			})
			if c.readBack {
				if v, err := got.As(sparkplug.Double); err != nil || number(v) != c.want {
					t.Errorf("read back %v, %v", number(v), err)
				}
			}
			if s := f.Nodes()[0]; s.Commands != c.commands || s.Refused != 1-c.commands {
				t.Errorf("%+v", s)
			}
			healthy(t, all)
		})
	}
}

// [tck-id-message-flow-edge-node-birth-publish-phid-wait] [tck-id-message-flow-edge-node-birth-publish-phid-offline]
// [tck-id-operational-behavior-edge-node-termination-host-offline-timestamp]
func TestPrimaryHostRules(t *testing.T) {
	address := startBroker(t)
	r := record(t, address)
	waiting := make(chan struct{}, 16)
	f, _ := start(t, Options{Broker: address, Nodes: []NodeSpec{bench("N")}, PrimaryHost: "scada", OnState: func(s Status) {
		if s.State == Waiting {
			waiting <- struct{}{}
		}
	}})
	state := func(online bool, at int64) {
		r.send(t, sparkplug.StateMessage("scada", sparkplug.HostState{Online: online, Timestamp: at}))
	}
	<-waiting
	state(false, 1000)
	state(true, 2000)
	r.until(t, "data", atLeast(2, sparkplug.DDATA))
	state(false, 1999) // late: it does not count
	all := r.messages()
	n := kinds(all, sparkplug.DDATA)
	r.until(t, "more data", atLeast(n+6, sparkplug.DDATA))
	if s := f.Nodes()[0]; s.State != Online || s.Connects != 1 {
		t.Errorf("after a late offline: %+v", s)
	}
	state(false, 2000)
	r.until(t, "the death", atLeast(1, sparkplug.NDEATH))
	<-waiting
	if got := kinds(r.messages(), sparkplug.NBIRTH); got != 1 {
		t.Errorf("%d births while the host is away", got)
	}
	state(true, 3000)
	healthy(t, r.until(t, "the next birth", atLeast(2, sparkplug.NBIRTH)))
}

func TestNodeNames(t *testing.T) {
	a, b := bench("N"), bench("N")
	b.Group = "H"
	f, err := New(Options{Broker: "127.0.0.1:1", Nodes: []NodeSpec{a, b, bench("only")}})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		ok   bool
	}{{"only", true}, {"G/only", true}, {"G/N", true}, {"H/N", true}, {"N", false}, {"none", false}, {"H/only", false}} {
		if err := f.Kill(c.name); (err == nil) != c.ok {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

// A kill in the middle of the history loses at most what was on its way: after the next birth it goes on where it was,
// and no sample comes twice.
func TestHistoryGoesOnAfterAKill(t *testing.T) {
	address := startBroker(t)
	r := record(t, address)
	f, _ := start(t, Options{Broker: address, Nodes: []NodeSpec{oven()}, History: 3 * time.Hour, HistoryRate: 1000})
	r.until(t, "some history", func([]seen) bool { return f.Nodes()[0].HistorySent > 200 })
	if err := f.Kill("oven"); err != nil {
		t.Fatal(err)
	}
	r.until(t, "the will", atLeast(1, sparkplug.NDEATH))
	if s := f.Nodes()[0]; s.HistoryDone {
		t.Fatalf("the history was over before the kill: %+v", s)
	}
	if err := f.Revive("oven"); err != nil {
		t.Fatal(err)
	}
	all := r.until(t, "the rest of the history", func([]seen) bool { return f.Nodes()[0].HistoryDone })
	type point struct{ alias, at uint64 }
	points := map[point]bool{}
	born := false // the second time
	before, after := uint64(0), uint64(0)
	for i, s := range all {
		if s.topic.Type == sparkplug.NBIRTH && i > 0 {
			born = true
		}
		for _, m := range s.p.Metrics {
			if !m.Historical {
				continue
			}
			p := point{m.Alias, m.Timestamp}
			if points[p] {
				t.Fatalf("twice: alias %d at %d", m.Alias, m.Timestamp)
			}
			points[p] = true
			if !born {
				before = max(before, m.Timestamp)
			} else if after == 0 {
				after = m.Timestamp
			}
		}
	}
	if limit := before + uint64((30 * time.Minute).Milliseconds()); after == 0 || after > limit {
		t.Errorf("history until %d, then from %d", before, after)
	}
}
