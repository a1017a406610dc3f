package sparkplug

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// joins tells the host of a client with the node's death as its will.
func (p *plant) joins(client, addr string) Output {
	return p.step(Input{Session: &Session{ClientID: client, Address: addr, Connected: true, WillTopic: "spBv1.0/G/NDEATH/E"}})
}

func (p *plant) leaves(client, reason, detail string) Output {
	return p.step(Input{Session: &Session{ClientID: client, Reason: reason, Detail: detail}})
}

// alive is a node with a device whose client is C at 10.0.0.7.
func alive(t *testing.T, o Options) *plant {
	p := newPlant(t, o)
	p.client = "C"
	p.joins("C", "10.0.0.7:4711")
	p.nbirth(4, p.double("a", 1))
	p.dbirth("D1", 1, p.double("t", 20))
	return p
}

// What a chain says, and that each line but the first explains the one before it.
func TestWhyChains(t *testing.T) {
	clock := func(at time.Time) string { return at.Format(StampLayout) }
	start, later := clock(t0), clock(t0.Add(time.Minute))
	tests := []struct {
		name         string
		o            Options
		do           func(p *plant)
		device, of   string // "-": the node or device itself
		want         string
		kinds        []Cause
		sameForEvent bool // NodeView.Reason is the chain behind the first line
	}{
		{name: "the issue's", do: func(p *plant) {
			p.tick(time.Minute)
			p.leaves("C", "keep alive timeout", "")
			p.ndeath(4)
		}, device: "D1", of: "t", want: "device D1 dead since " + later + ": node E's will fired: keep-alive timeout of client C at 10.0.0.7",
			kinds: []Cause{CauseDown, CauseWill, CauseKeepAlive}, sameForEvent: true},
		{name: "the node", do: func(p *plant) {
			p.tick(time.Minute)
			p.leaves("C", "protocol error", "packet is longer than the limit")
			p.ndeath(4)
		}, want: "node E dead since " + later + ": its will fired: protocol error of client C at 10.0.0.7: packet is longer than the limit",
			kinds: []Cause{CauseDown, CauseWill, CauseProtocol}, sameForEvent: true},
		{name: "a time that differs is said", do: func(p *plant) {
			p.leaves("C", "connection lost", "")
			p.tick(time.Minute)
		}, want: "node E dead since " + later + ": its client is gone and no will came: lost connection of client C at 10.0.0.7 at " + start,
			kinds: []Cause{CauseDown, CauseNoWill, CauseLost}, sameForEvent: true},
		{name: "a reason that is not known", do: func(p *plant) {
			p.leaves("C", "struck by lightning", "")
			p.ndeath(4)
		}, want: "node E dead since " + start + ": its will fired: connection of client C at 10.0.0.7 ended: struck by lightning",
			kinds: []Cause{CauseDown, CauseWill, CauseEnded}, sameForEvent: true},
		{name: "well", do: func(*plant) {}, device: "D1", of: "t"},
		{name: "no birth, and our STATE is offline", o: Options{HostID: "edge"}, do: func(p *plant) {
			p.leaves("C", ReasonClean, "")
			p.tick(time.Minute)
			p.joins("C", "10.0.0.7:4712")
		}, want: "node E dead since " + start + ": its client left without NDEATH: clean disconnect of client C at 10.0.0.7; " +
			"client C at 10.0.0.7 is connected and has sent no NBIRTH since " + later +
			"; the STATE of this host is offline, which a node may wait for",
			kinds: []Cause{CauseDown, CauseNoDeath, CauseClean, CauseNoBirth, CauseHostOffline}},
		{name: "refused by the firewall", do: func(p *plant) {
			p.step(Input{Refused: &Refused{ClientID: "C", Address: "10.0.0.7:4711", Topic: "spBv1.0/G/NDATA/E", Reason: "not its own node"}})
			p.step(Input{Refused: &Refused{ClientID: "C", Address: "10.0.0.7:4711", Topic: "spBv1.0/G/NDATA/E", Reason: "not its own node"}})
		}, of: "a", want: "client C at 10.0.0.7 was refused: NDATA: not its own node, 2 times since " + start, kinds: []Cause{CauseRefused}},
		{name: "a stranger refused for a live node is no concern of its values", do: func(p *plant) {
			p.step(Input{Refused: &Refused{ClientID: "X", Address: "10.0.0.9:1", Topic: "spBv1.0/G/NDEATH/E", Reason: "not its own node"}})
		}, of: "a"},
		{name: "above the limit", o: Options{MaxMetrics: 4}, do: func(p *plant) {
			p.dbirth("D2", 2, p.double("x", 1), p.double("y", 2), p.double("z", 3))
		}, want: "node E has as many metrics as are taken, 4, and 2 more were not at " + start, kinds: []Cause{CauseLimit}},
		{name: "a metric above the limit", o: Options{MaxMetrics: 4}, do: func(p *plant) {
			p.dbirth("D2", 2, p.double("x", 1), p.double("y", 2))
		}, device: "D2", of: "y", want: "metric y is not in the birth of device D2 at " + start + ": node E has as many metrics as are taken, 4, and 1 more were not",
			kinds: []Cause{CauseNotInBirth, CauseLimit}},
		{name: "a device that never was", do: func(*plant) {}, device: "D9", of: "t", want: "device D9 was never born", kinds: []Cause{CauseUnknown}},
		{name: "server lost", do: func(p *plant) { p.step(Input{Lost: &Lost{}}) }, device: "D1", of: "t",
			want: "device D1 unknown since " + start + ": connection to the MQTT server lost; its last value came", kinds: []Cause{CauseDown, CauseServerLost, CauseNotHeard}},
		{name: "a name that would mislead", do: func(p *plant) {
			p.joins("C\nnode E online", "10.0.0.8:1")
		}, of: "a", want: `two clients speak for node E, client C at 10.0.0.7 and client "C\nnode E online" at 10.0.0.8 since ` + start, kinds: []Cause{CauseTwoClients}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := alive(t, tt.o)
			tt.do(p)
			chain := p.h.Why(MetricRef{"G", "E", tt.device, tt.of})
			if diff := cmp.Diff(tt.want, Explain(chain)); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
			var kinds []Cause
			for _, r := range chain {
				kinds = append(kinds, r.Kind)
			}
			if diff := cmp.Diff(tt.kinds, kinds); diff != "" {
				t.Errorf("kinds (-want +got)\n%s", diff)
			}
			if m, ok := p.h.Metric(MetricRef{"G", "E", tt.device, tt.of}); ok && m.Cause != tt.want {
				t.Errorf("the metric's cause is %q", m.Cause)
			}
			if n := p.node(); tt.sameForEvent && (!strings.HasSuffix(withoutTimes(Explain(n.Why)), n.Reason) || n.Reason != n.DeathReason) {
				t.Errorf("reason %q, death %q, why %q", n.Reason, n.DeathReason, Explain(n.Why))
			}
		})
	}
	if got := Explain(NewHost(Options{}).Why(MetricRef{Group: "G", Node: "E"})); got != "node E was never heard of" {
		t.Error(got)
	}
}

// withoutTimes leaves out the times of a chain's text, all of which are of one day.
func withoutTimes(s string) string {
	for _, word := range []string{" at ", " since "} {
		for {
			i := strings.Index(s, word+"2026-")
			if i < 0 {
				break
			}
			s = s[:i] + s[i+len(word)+len(StampLayout):]
		}
	}
	return s
}

// A node is tied to its client by the will, before any birth; each connection, end and refusal of a client that speaks for
// it is noted, the newest 20.
func TestSessionsOfANode(t *testing.T) {
	p := newPlant(t, Options{})
	p.joins("C", "10.0.0.7:1")
	if n := p.node(); n.State != StateUnknown || n.Client.ID != "C" || !n.Client.Connected || !n.Client.Since.Equal(t0) {
		t.Fatalf("by its will: %+v", n)
	}
	if len(p.out.Nodes) != 1 {
		t.Error("the node's view changed and is not reported")
	}
	for range 3 {
		p.tick(time.Second)
		p.step(Input{Refused: &Refused{ClientID: "C", Address: "10.0.0.7:9", Connect: true, Reason: "wrong user name or password"}})
	}
	p.leaves("C", "connection lost", "")
	p.joins("D", "10.0.0.8:1") // a node may come with another name each time
	want := []SessionNote{
		{Kind: CauseConnected, At: t0, Last: t0, ClientID: "C", Address: "10.0.0.7:1", Count: 1},
		{Kind: CauseRefused, At: t0.Add(time.Second), Last: t0.Add(3 * time.Second), ClientID: "C", Address: "10.0.0.7:9", Detail: "wrong user name or password", Count: 3},
		{Kind: CauseLost, At: p.now, Last: p.now, ClientID: "C", Address: "10.0.0.7:1", Count: 1},
		{Kind: CauseConnected, At: p.now, Last: p.now, ClientID: "D", Address: "10.0.0.8:1", Count: 1},
	}
	if diff := cmp.Diff(want, p.node().Sessions); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if c := p.node().Client; c.ID != "D" {
		t.Errorf("client %s, want D: the other is gone", c.ID)
	}
	for i := range 3 * maxNotes {
		p.joins(fmt.Sprint(i), "10.0.0.9:1")
	}
	n := p.h.nodes[NodeRef{"G", "E"}]
	if len(n.notes) != maxNotes || len(n.others) != maxOthers || n.notes[maxNotes-1].ClientID != fmt.Sprint(3*maxNotes-1) {
		t.Errorf("%d notes, %d others", len(n.notes), len(n.others))
	}
}

// A refusal is told at the nodes it concerns and at no others.
func TestRefusalsFindTheirNodes(t *testing.T) {
	tests := []struct {
		name string
		r    Refused
		gone bool // the node's client
		told bool
	}{
		{"its client", Refused{ClientID: "C", Connect: true}, false, true},
		{"its will", Refused{ClientID: "X", Connect: true, Topic: "spBv1.0/G/NDEATH/E"}, false, true},
		{"a will that is no death", Refused{ClientID: "X", Connect: true, Topic: "spBv1.0/G/NDATA/E"}, false, false},
		{"its messages", Refused{ClientID: "X", Topic: "spBv1.0/G/DDATA/E/D"}, false, true},
		{"another node's", Refused{ClientID: "X", Topic: "spBv1.0/G/NDATA/F"}, false, false},
		{"nobody at its address, while its client is gone", Refused{Address: "10.0.0.7:9", Connect: true}, true, true},
		{"nobody at its address, while its client is there", Refused{Address: "10.0.0.7:9", Connect: true}, false, false},
		{"nobody elsewhere", Refused{Address: "10.0.0.70:9", Connect: true}, true, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := alive(t, Options{})
			if tt.gone {
				p.leaves("C", ReasonClean, "")
			}
			before := len(p.node().Sessions)
			tt.r.Reason = "no"
			p.step(Input{Refused: &tt.r})
			if told := len(p.node().Sessions) > before; told != tt.told {
				t.Errorf("told %v, want %v", told, tt.told)
			}
		})
	}
}

func TestHostOf(t *testing.T) {
	for address, want := range map[string]string{
		"10.0.0.7:1883": "10.0.0.7", "[fe80::1]:1883": "fe80::1", "fe80::1": "fe80::1", "plant.example:1": "plant.example", "pipe": "pipe", "": "", "/run/edge.sock": "/run/edge.sock",
	} {
		if got := hostOf(address); got != want {
			t.Errorf("%q: %q, want %q", address, got, want)
		}
	}
}
