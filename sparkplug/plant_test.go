package sparkplug

import (
	"strings"
	"testing"
	"time"
)

// t0 is when every host test begins.
var t0 = time.Date(2026, 8, 6, 7, 0, 0, 0, time.UTC)

// plant drives a Host as a broker would, with one node G/E by default.
type plant struct {
	t      testing.TB
	h      *Host
	now    time.Time
	out    Output // of the last step
	client string // publishes
}

func newPlant(t testing.TB, o Options) *plant {
	return &plant{t: t, h: NewHost(o), now: t0}
}

func (p *plant) step(in Input) Output {
	p.out = p.h.Step(in, p.now)
	p.recordedAsShown()
	return p.out
}

// recordedAsShown holds the quality of each live metric's newest sample against what is shown: the history says the same.
func (p *plant) recordedAsShown() {
	newest := map[MetricRef]*Sample{}
	for _, r := range p.out.Records {
		if x := r.Sample; x != nil && !x.Historical {
			newest[MetricRef{x.Group, x.Node, x.Device, x.Metric}] = x
		}
	}
	codes := map[uint16]Quality{QualityCodeBad: QualityBad, QualityCodeGood: QualityGood, QualityCodeStale: QualityStale}
	for ref, x := range newest {
		m := p.h.metric(ref)
		if m == nil || m.device.state != StateOnline || m.tooLarge || m.unfit || x.Value.Null {
			continue
		}
		said, ok := codes[x.Quality]
		if !ok {
			said = QualityUncertain
		}
		if shown, _ := m.quality(); said != shown {
			p.t.Errorf("%v is shown as %s and recorded as %s (%d)", ref, shown, said, x.Quality)
		}
	}
}

func (p *plant) send(topic string, pl Payload) Output {
	return p.step(Input{Message: &Message{Topic: topic, Payload: Encode(&pl), ClientID: p.client}})
}

func (p *plant) tick(d time.Duration) Output {
	p.now = p.now.Add(d)
	return p.step(Input{})
}

// nbirth sends an NBIRTH of G/E with the given metrics behind bdSeq and Rebirth.
func (p *plant) nbirth(bdSeq uint8, metrics ...Metric) Output {
	ms := append([]Metric{BdSeqMetric(bdSeq, p.now), {Name: NameRebirth, Type: Boolean, Value: BoolValue(false),
		Timestamp: Millis(p.now), HasTimestamp: true}}, metrics...)
	return p.send("spBv1.0/G/NBIRTH/E", p.payload(0, ms...))
}

// payload is a payload as of now; seq -1: none.
func (p *plant) payload(seq int, metrics ...Metric) Payload {
	pl := Payload{Timestamp: Millis(p.now), HasTimestamp: true, Metrics: metrics}
	if seq >= 0 {
		pl.Seq, pl.HasSeq = uint64(seq), true
	}
	return pl
}

func (p *plant) dbirth(device string, seq int, metrics ...Metric) Output {
	return p.send("spBv1.0/G/DBIRTH/E/"+device, p.payload(seq, metrics...))
}

func (p *plant) ndata(seq int, metrics ...Metric) Output {
	return p.send("spBv1.0/G/NDATA/E", p.payload(seq, metrics...))
}

func (p *plant) ddata(device string, seq int, metrics ...Metric) Output {
	return p.send("spBv1.0/G/DDATA/E/"+device, p.payload(seq, metrics...))
}

func (p *plant) ndeath(bdSeq uint8) Output {
	return p.step(Input{Message: &Message{Topic: "spBv1.0/G/NDEATH/E", Payload: NodeDeath(NodeRef{"G", "E"}, bdSeq, p.now).Payload, ClientID: p.client}})
}

func (p *plant) session(client string, connected bool, reason string) Output {
	return p.step(Input{Session: &Session{ClientID: client, Address: "10.0.0.7:4711", Connected: connected, Reason: reason}})
}

// double is a metric as a birth declares it, by name, with the time now.
func (p *plant) double(name string, f float64) Metric {
	return Metric{Name: name, Type: Double, Value: DoubleValue(f), Timestamp: Millis(p.now), HasTimestamp: true}
}

func (p *plant) aliased(name string, alias uint64, f float64) Metric {
	m := p.double(name, f)
	m.Alias, m.HasAlias = alias, true
	return m
}

// byAlias is a metric as data carries it.
func (p *plant) byAlias(alias uint64, f float64) Metric {
	return Metric{Alias: alias, HasAlias: true, Value: DoubleValue(f), Timestamp: Millis(p.now), HasTimestamp: true}
}

func (p *plant) node() NodeView {
	p.t.Helper()
	n, ok := p.h.Node("G", "E")
	if !ok {
		p.t.Fatal("node G/E is not known")
	}
	return n
}

// value returns what a metric of the node (device "") or a device shows: "185.5 good".
func (p *plant) value(device, name string) string {
	p.t.Helper()
	m, ok := p.h.Metric(MetricRef{"G", "E", device, name})
	if !ok {
		return "none"
	}
	return string(AppendJSON(nil, m.Value)) + " " + string(m.Quality)
}

// want checks a step's records, one a line: events as "node born", samples as "metric=value".
func (p *plant) want(lines ...string) {
	p.t.Helper()
	var got []string
	for _, r := range p.out.Records {
		if (r.Sample == nil) == (r.Event == nil) {
			p.t.Fatalf("record with both or neither: %+v", r)
		}
		if e := r.Event; e != nil {
			got = append(got, strings.TrimSpace(eventNames[e.Kind]+" "+e.Device+" "+e.Reason))
			continue
		}
		x := r.Sample
		line := strings.TrimPrefix(x.Device+"/"+x.Metric, "/") + "=" + string(AppendJSON(nil, x.Value))
		if x.Birth {
			line += " birth"
		}
		if x.Historical {
			line += " historical"
		}
		got = append(got, line)
	}
	for i, line := range lines {
		lines[i] = strings.Join(strings.Fields(line), " ")
	}
	for i := range got {
		got[i] = strings.Join(strings.Fields(got[i]), " ")
	}
	if strings.Join(got, "\n") != strings.Join(lines, "\n") {
		p.t.Fatalf("records:\n  %s\nwant:\n  %s", strings.Join(got, "\n  "), strings.Join(lines, "\n  "))
	}
}

var eventNames = map[EventKind]string{NodeBorn: "node born", NodeDied: "node died", DeviceBorn: "device born", DeviceDied: "device died",
	SeqGap: "gap", RebirthAsked: "rebirth asked", RebirthDone: "rebirth done"}

// asks returns how many rebirth requests the last step published.
func (p *plant) asks() int {
	n := 0
	for _, pub := range p.out.Publish {
		pl := mustDecode(p.t, pub.Payload)
		if pub.Topic == "spBv1.0/G/NCMD/E" && IsRebirthRequest(pl) && !pl.HasSeq && pub.QoS == 0 && !pub.Retain {
			n++
		}
	}
	return n
}

func (p *plant) wantWarning(text string) {
	p.t.Helper()
	if !strings.Contains(strings.Join(p.node().Warnings, "\n"), text) {
		p.t.Errorf("no warning with %q in %q", text, p.node().Warnings)
	}
}
