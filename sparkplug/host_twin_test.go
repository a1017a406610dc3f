package sparkplug

import (
	"cmp"
	"slices"
	"time"
)

// twin is the simple model that the Host is held against: the rules of chapters 4 to 6 over plain lists, searched from one end to
// the other, with no index, no buffer and no shortcut.
type twin struct {
	now     time.Time
	turn    int
	silent  bool        // births of before a restart
	nodes   []*twinNode // by name
	pace    time.Time   // no request before
	records []twinRecord
	asked   []twinAsk
	late    uint64
	dropped uint64
	unknown uint64
	other   uint64
	kept    []twinKept // births for the next start, nodes first
}

type twinNode struct {
	name      string
	server    string
	state     State
	since     time.Time
	why       Cause
	bd, seq   int
	born      time.Time
	lastBirth time.Time
	lastDeath time.Time
	gaps      int
	asks      int
	dones     int
	causes    [RebirthCauses]int
	devices   []*twinDevice // the first is the node itself, ""
	held      []twinMsg
	until     time.Time
	doubt     int // the step of the last loss
	want      bool
	wantFor   RebirthCause
	wantAt    time.Time
	askedAt   time.Time
	awaiting  bool
	closing   bool
	tries     int
	unborn    RebirthCause
}

type twinDevice struct {
	name    string
	state   State
	since   time.Time
	why     Cause
	metrics []twinMetric // in the order of the birth
}

type twinMetric struct {
	name     string
	alias    int // -1: none
	v        float64
	null     bool
	missing  bool
	unfit    bool
	shared   bool // another of the device has its alias
	at       time.Time
	received time.Time
	turn     int // the step it came in
}

// twinMsg is a message; one with a place in the sequence may be held.
type twinMsg struct {
	kind    MessageType
	node    string
	server  string
	device  string
	seq     int       // -1: none
	bd      int       // NBIRTH, NDEATH; -1: none
	stamp   time.Time // the payload's; zero: none
	arrived time.Time
	metrics []twinValue
}

// twinValue is a metric of a message: name or alias or both in a birth.
type twinValue struct {
	name       string
	alias      int
	v          float64
	null       bool
	missing    bool
	text       bool // a value of another datatype
	historical bool
}

type twinRecord struct {
	kind         EventKind // 0: a sample
	node, device string
	at           time.Time
	bd           int
	metric       string
	v            float64
	null         bool
	historical   bool
	birth        bool
}

type twinAsk struct{ server, node string }

type twinKept struct {
	msg      twinMsg
	received time.Time
}

const (
	twinHeld  = 6               // Options.ReorderHeld of the test
	twinEvery = time.Second / 4 // its RebirthsPerSec
	twinWait  = 5 * time.Second
)

func (w *twin) node(name string) *twinNode {
	for _, n := range w.nodes {
		if n.name == name {
			return n
		}
	}
	return nil
}

func (w *twin) make(name string) *twinNode {
	if n := w.node(name); n != nil {
		return n
	}
	n := &twinNode{name: name, state: StateUnknown, since: w.now, why: CauseUnborn, bd: -1, seq: -1, unborn: AskNoBirth,
		devices: []*twinDevice{{state: StateUnknown, since: w.now, why: CauseUnborn}}}
	w.nodes = append(w.nodes, n)
	slices.SortFunc(w.nodes, func(a, b *twinNode) int { return cmp.Compare(a.name, b.name) })
	return n
}

func (n *twinNode) device(name string) *twinDevice {
	for _, d := range n.devices {
		if d.name == name {
			return d
		}
	}
	return nil
}

// step is one Step of the host: what is overdue first.
func (w *twin) step(now time.Time, m *twinMsg, lost *string) {
	w.now, w.records, w.asked = now, nil, nil
	w.turn++
	for _, n := range w.nodes {
		if !n.until.IsZero() && !n.until.After(now) {
			w.giveUp(n)
		}
	}
	w.askNext()
	if lost != nil {
		w.lost(*lost)
	}
	if m != nil {
		w.message(*m)
	}
}

func (w *twin) message(m twinMsg) {
	m.arrived = w.now
	switch {
	case m.kind == NDEATH:
		w.ndeath(m)
	case m.kind == NBIRTH:
		w.nbirth(m)
	default:
		w.ordered(m)
	}
}

func (w *twin) askNext() {
	if w.pace.After(w.now) {
		return
	}
	var first *twinNode
	for _, n := range w.nodes {
		if n.want && !n.wantAt.After(w.now) && (first == nil || n.wantAt.Before(first.wantAt)) {
			first = n
		}
	}
	if n := first; n != nil {
		w.pace = w.now.Add(twinEvery)
		n.want, n.askedAt, n.awaiting = false, w.now, true
		n.asks++
		n.causes[n.wantFor]++
		n.tries++
		w.asked = append(w.asked, twinAsk{n.server, n.name})
		w.event(RebirthAsked, n, "", w.now, n.bd)
	}
}

func (w *twin) rebirth(n *twinNode, why RebirthCause) {
	if n.want || n.closing || w.silent {
		return
	}
	n.want, n.wantFor, n.wantAt = true, why, w.now
	slowest := time.Minute
	if n.awaiting {
		slowest = 10 * time.Minute
	}
	every := twinWait
	for range n.tries - 1 {
		every = min(2*every, slowest)
	}
	switch {
	case n.askedAt.IsZero():
	case w.now.Sub(n.askedAt) >= 2*slowest:
		n.tries = 0
	case n.askedAt.Add(every).After(w.now):
		n.wantAt = n.askedAt.Add(every)
	}
	w.askNext()
}

func (w *twin) event(kind EventKind, n *twinNode, device string, at time.Time, bd int) {
	w.records = append(w.records, twinRecord{kind: kind, node: n.name, device: device, at: at, bd: bd})
}

func (w *twin) at(m *twinMsg) time.Time {
	if m.stamp.IsZero() {
		return m.arrived
	}
	return m.stamp
}

func (w *twin) nbirth(m twinMsg) {
	n := w.make(m.node)
	early := n.state != StateOnline
	if !early && m.server != n.server && !m.stamp.IsZero() && m.stamp.Before(n.born) {
		w.other++
		return
	}
	if !early && (m.bd != n.bd || m.server != n.server) {
		w.close(n)
		w.die(n, CauseNewSession)
	}
	at := w.at(&m)
	n.server, n.state, n.since, n.why, n.bd, n.seq = m.server, StateOnline, at, "", m.bd, m.seq
	n.born, n.unborn, n.lastBirth, n.doubt = m.stamp, AskNoBirth, at, 0
	for _, d := range n.devices[1:] {
		if d.state != StateOffline {
			d.state, d.since, d.why = StateOffline, at, CauseNotReborn
		}
	}
	w.event(NodeBorn, n, "", at, m.bd)
	if n.awaiting {
		n.dones++
		w.event(RebirthDone, n, "", w.now, n.bd)
	}
	n.awaiting, n.want = false, false
	w.declare(n, n.devices[0], &m)
	w.keep(m)
	if early {
		w.drain(n)
	}
	w.drop(n)
}

// declare makes a birth's metrics the device's.
func (w *twin) declare(n *twinNode, d *twinDevice, m *twinMsg) {
	at := w.at(m)
	before := d.metrics
	d.state, d.since, d.why, d.metrics = StateOnline, at, "", nil
	aliases := map[int]int{}
	for _, v := range m.metrics {
		aliases[v.alias]++
	}
	for _, v := range m.metrics {
		x := twinMetric{shared: v.alias >= 0 && aliases[v.alias] > 1, name: v.name, alias: v.alias, v: v.v, null: v.null || v.missing, missing: v.missing, at: at, received: m.arrived, turn: w.turn}
		if v.historical || v.text { // the value of before is kept, and is not this birth's
			x.v, x.null, x.at, x.received, x.turn, x.unfit = 0, false, time.Time{}, time.Time{}, 0, v.text
			for _, old := range before {
				if old.name == v.name {
					x.v, x.null, x.at, x.turn = old.v, old.null, old.at, old.turn
				}
			}
		}
		d.metrics = append(d.metrics, x)
		if v.text {
			w.rebirth(n, AskDatatype)
		} else if !v.missing && v.name != NameRebirth {
			w.records = append(w.records, twinRecord{node: n.name, device: d.name, metric: v.name, at: at, v: v.v, null: v.null, historical: v.historical, birth: true})
		}
	}
}

func (w *twin) keep(m twinMsg) {
	i := slices.IndexFunc(w.kept, func(k twinKept) bool { return k.msg.node == m.node && k.msg.device == m.device })
	if i < 0 {
		i = len(w.kept)
		w.kept = append(w.kept, twinKept{})
	}
	w.kept[i] = twinKept{m, w.now}
}

// restart is what a new host knows of the kept births.
func (w *twin) restart() *twin {
	next := &twin{now: w.now, kept: w.kept, silent: true}
	for _, devices := range []bool{false, true} {
		for _, k := range w.kept {
			if (k.msg.device != "") != devices {
				continue
			}
			next.now, k.msg.arrived = k.received, k.received
			n := next.make(k.msg.node)
			d := n.devices[0]
			if devices {
				d = &twinDevice{name: k.msg.device}
				n.devices = append(n.devices, d)
			} else {
				n.bd, n.lastBirth, n.unborn, n.why, n.since = k.msg.bd, next.at(&k.msg), AskRestart, CauseNotHeard, k.received
			}
			next.declare(n, d, &k.msg)
			d.state, d.since, d.why = StateUnknown, k.received, CauseNotHeard
		}
	}
	next.now, next.records, next.silent = w.now, nil, false
	return next
}

func (w *twin) ndeath(m twinMsg) {
	n := w.node(m.node)
	switch {
	case n == nil || n.state == StateOffline:
		return
	case m.bd >= 0 && n.bd >= 0 && m.bd != n.bd, n.state == StateOnline && m.server != n.server:
		w.late++
		return
	}
	w.close(n)
	w.die(n, CauseSomeDeath)
	n.want, n.awaiting = false, false
}

func (w *twin) die(n *twinNode, why Cause) {
	n.down(StateOffline, w.now, why)
	n.lastDeath = w.now
	w.event(NodeDied, n, "", w.now, n.bd)
}

func (n *twinNode) down(to State, at time.Time, why Cause) {
	n.state, n.since, n.why = to, at, why
	for _, d := range n.devices {
		if d.state == StateOnline || d.state == StateUnknown && to == StateOffline {
			d.state, d.since, d.why = to, at, why
		}
	}
}

func (w *twin) lost(server string) {
	for _, n := range w.nodes {
		if n.server == server {
			if n.state == StateOnline {
				n.down(StateUnknown, w.now, CauseServerLost)
				n.unborn = AskLost
			}
			w.drop(n)
			n.want = false
		}
	}
}

func (w *twin) ordered(m twinMsg) {
	n := w.make(m.node)
	if m.server != n.server {
		if n.state == StateOnline {
			w.other++
			return
		}
		n.server = m.server
	}
	if n.state == StateOnline && m.seq < 0 {
		w.apply(n, &m)
		return
	}
	if n.why == CauseNotHeard {
		for _, d := range n.devices {
			if d.why == CauseNotHeard {
				d.why = CauseUnborn
			}
		}
		n.why = CauseUnborn
	}
	m.seq = max(0, m.seq)
	if n.state == StateOnline && m.seq == (n.seq+1)%256 {
		n.seq = m.seq
		w.apply(n, &m)
		if len(n.held) > 0 {
			w.drain(n)
		}
		return
	}
	n.held = append(n.held, m)
	if n.until.IsZero() {
		n.until = w.now.Add(twinWait)
	}
	if len(n.held) >= twinHeld {
		w.giveUp(n)
	}
}

func (w *twin) apply(n *twinNode, m *twinMsg) {
	d := n.device(m.device)
	switch m.kind {
	case DBIRTH:
		if d == nil {
			d = &twinDevice{name: m.device}
			n.devices = append(n.devices, d)
		}
		w.event(DeviceBorn, n, d.name, w.at(m), -1)
		w.declare(n, d, m)
		w.keep(*m)
	case DDEATH:
		if d == nil {
			w.rebirth(n, AskNoDevice)
		} else if d.state == StateOnline {
			d.state, d.since, d.why = StateOffline, w.at(m), CauseDeviceDeath
			w.event(DeviceDied, n, d.name, w.at(m), -1)
		}
	default:
		if d == nil || m.kind == DDATA && d.state != StateOnline {
			w.unknown += uint64(len(m.metrics))
			w.rebirth(n, AskNoDevice)
			return
		}
		for _, v := range m.metrics {
			w.value(n, d, m, v)
		}
	}
}

func (w *twin) value(n *twinNode, d *twinDevice, m *twinMsg, v twinValue) {
	var x *twinMetric
	for i := range d.metrics {
		if o := &d.metrics[i]; v.alias >= 0 && o.alias == v.alias || v.alias < 0 && o.name == v.name {
			x = o // the last one of those that share an alias
		}
	}
	switch {
	case x == nil && v.alias >= 0:
		w.unknown++
		w.rebirth(n, AskAlias)
	case x == nil:
		w.unknown++
		w.rebirth(n, AskMetric)
	case v.text:
		x.unfit = x.unfit || !v.historical
		w.rebirth(n, AskDatatype)
	default:
		at := w.at(m)
		if !v.historical {
			x.v, x.null, x.at, x.received, x.unfit, x.missing = v.v, v.null, at, m.arrived, false, false
			x.turn = w.turn
		}
		w.records = append(w.records, twinRecord{node: n.name, device: d.name, metric: x.name, at: at, v: v.v, null: v.null, historical: v.historical})
	}
}

// quality of the i-th metric.
func (d *twinDevice) quality(n *twinNode, i int) Quality {
	x := &d.metrics[i]
	switch {
	case d.state != StateOnline:
		return QualityStale
	case x.unfit:
		return QualityUncertain
	case x.received.IsZero(), x.missing:
		return QualityNever
	case x.null:
		return QualityNull
	case x.shared, x.turn < n.doubt:
		return QualityUncertain
	}
	return QualityGood
}

func (w *twin) drain(n *twinNode) {
	for {
		i := slices.IndexFunc(n.held, func(m twinMsg) bool { return m.seq == (n.seq+1)%256 && m.server == n.server })
		if i < 0 {
			break
		}
		m := n.held[i]
		n.held = slices.Delete(slices.Clone(n.held), i, i+1)
		n.seq = m.seq
		w.apply(n, &m)
	}
	n.until = time.Time{}
	if len(n.held) > 0 {
		n.until = n.held[0].arrived.Add(twinWait)
	}
}

func (w *twin) giveUp(n *twinNode) {
	if n.state != StateOnline {
		w.drop(n)
		w.rebirth(n, n.unborn)
		return
	}
	w.flush(n)
	w.rebirth(n, AskGap)
}

// flush applies what is held by its distance from the number that was expected.
func (w *twin) flush(n *twinNode) {
	if len(n.held) == 0 {
		return
	}
	all, from := n.held, n.seq+1
	n.held, n.until = nil, time.Time{}
	n.gaps++
	n.doubt = w.turn
	w.event(SeqGap, n, "", w.now, n.bd)
	for d := range 256 {
		for _, m := range all {
			if (m.seq-from+512)%256 == d {
				n.seq = m.seq
				w.apply(n, &m)
			}
		}
	}
}

func (w *twin) close(n *twinNode) {
	if n.state == StateOnline {
		n.closing = true
		w.flush(n)
		n.closing = false
	}
	w.drop(n)
}

func (w *twin) drop(n *twinNode) {
	w.dropped += uint64(len(n.held))
	n.held, n.until = nil, time.Time{}
}
