package sparkplug

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// twin is the simple model of one node that the Host is held against: chapter 5's rules as plain lists and maps.
type twin struct {
	now     time.Time
	state   State
	bd      int
	seq     int
	next    int
	gaps    int
	asks    int
	dones   int
	late    uint64
	dropped uint64
	alias   map[uint64]string  // to "device/name"
	value   map[string]float64 // by "device/name"
	heard   map[string]time.Time
	device  map[string]State // "" is the node itself
	held    []twinMsg
	until   time.Time
	doubt   time.Time
	want    bool
	wantAt  time.Time
	askedAt time.Time
	waiting bool
	tries   int
	closing bool
}

// twinMsg is a message with a place in the sequence.
type twinMsg struct {
	kind  MessageType
	seq   int
	dev   string
	alias uint64
	v     float64
	at    time.Time
}

const twinHeld = 6 // Options.ReorderHeld of the test

func newTwin() *twin {
	return &twin{now: t0, state: StateUnknown, bd: -1, seq: -1, alias: map[uint64]string{}, value: map[string]float64{},
		heard: map[string]time.Time{}, device: map[string]State{}}
}

func (w *twin) clock(now time.Time) {
	w.now = now
	if !w.until.IsZero() && !w.until.After(now) {
		w.giveUp()
	}
	w.tryAsk()
}

func (w *twin) tryAsk() {
	if w.want && !w.wantAt.After(w.now) {
		w.want, w.askedAt, w.waiting = false, w.now, true
		w.asks++
		w.tries++
	}
}

func (w *twin) rebirth() {
	if w.want || w.closing {
		return
	}
	w.want, w.wantAt = true, w.now
	if !w.askedAt.IsZero() {
		slowest := time.Minute
		if w.waiting {
			slowest = 10 * time.Minute
		}
		every := 5 * time.Second
		for range w.tries - 1 {
			every = min(2*every, slowest)
		}
		if w.now.Sub(w.askedAt) >= 2*slowest {
			w.tries = 0
		} else if w.askedAt.Add(every).After(w.now) {
			w.wantAt = w.askedAt.Add(every)
		}
	}
	w.tryAsk()
}

// nbirth declares a and b; swapped exchanges their aliases.
func (w *twin) nbirth(bd int, swapped bool, v float64) {
	early := w.state != StateOnline
	if !early && bd != w.bd {
		w.closing = true
		w.flush()
		w.closing = false
		w.drop()
		w.down(StateOffline)
	}
	for d, st := range w.device {
		if d != "" && st != StateOffline {
			w.device[d] = StateOffline
		}
	}
	w.state, w.bd, w.seq, w.next, w.doubt = StateOnline, bd, 0, 1, time.Time{}
	w.device[""] = StateOnline
	w.alias = map[uint64]string{1: "/a", 2: "/b"}
	if swapped {
		w.alias = map[uint64]string{2: "/a", 1: "/b"}
	}
	for _, k := range []string{"/a", "/b"} {
		w.value[k], w.heard[k] = v, w.now
	}
	if w.waiting {
		w.dones++
	}
	w.want, w.waiting = false, false
	if early {
		w.drain()
	}
	w.drop()
}

func (w *twin) ndeath(bd int) {
	if w.state == StateOffline || w.seq == -1 && w.state == StateUnknown && len(w.device) == 0 && !w.known() {
		return
	}
	if w.bd >= 0 && bd != w.bd {
		w.late++
		return
	}
	if w.state == StateOnline {
		w.closing = true
		w.flush()
		w.closing = false
	}
	w.drop()
	w.down(StateOffline)
	w.want, w.waiting = false, false
}

// known tells whether anything of the node was ever heard: a death alone makes none.
func (w *twin) known() bool { return w.dropped > 0 || len(w.held) > 0 || w.asks > 0 || w.bd >= 0 }

func (w *twin) down(s State) {
	w.state = s
	for d, st := range w.device {
		if st == StateOnline || st == StateUnknown {
			w.device[d] = s
		}
	}
}

func (w *twin) lost() {
	if w.state == StateOnline {
		w.state = StateUnknown
		for d, st := range w.device {
			if st == StateOnline {
				w.device[d] = StateUnknown
			}
		}
	}
	w.drop()
	w.want = false
}

func (w *twin) ordered(m twinMsg) {
	m.at = w.now
	if w.state == StateOnline && m.seq == w.next {
		w.apply(m)
		if len(w.held) > 0 {
			w.drain()
		}
		return
	}
	w.held = append(w.held, m)
	if w.until.IsZero() {
		w.until = w.now.Add(5 * time.Second)
	}
	if len(w.held) >= twinHeld {
		w.giveUp()
	}
}

func (w *twin) apply(m twinMsg) {
	w.seq, w.next = m.seq, (m.seq+1)%256
	switch m.kind {
	case DBIRTH:
		for a, k := range w.alias {
			if k == m.dev+"/x" {
				delete(w.alias, a)
			}
		}
		w.device[m.dev] = StateOnline
		k := m.dev + "/x"
		w.alias[m.alias], w.value[k], w.heard[k] = k, m.v, w.now
	case DDEATH:
		if _, ok := w.device[m.dev]; !ok {
			w.rebirth()
		} else if w.device[m.dev] == StateOnline {
			w.device[m.dev] = StateOffline
		}
	default:
		if m.kind == DDATA && w.device[m.dev] != StateOnline {
			w.rebirth()
			return
		}
		k, ok := w.alias[m.alias]
		if ok && (m.kind == NDATA) == (k[0] == '/') && (m.kind == NDATA || k == m.dev+"/x") {
			w.value[k], w.heard[k] = m.v, w.now
			return
		}
		w.rebirth()
	}
}

func (w *twin) drain() {
	for {
		i := slices.IndexFunc(w.held, func(m twinMsg) bool { return m.seq == w.next })
		if i < 0 {
			break
		}
		m := w.held[i]
		w.held = slices.Delete(w.held, i, i+1)
		w.apply(m)
	}
	w.until = time.Time{}
	if len(w.held) > 0 {
		w.until = w.held[0].at.Add(5 * time.Second)
	}
}

func (w *twin) flush() {
	if len(w.held) == 0 {
		return
	}
	all, from := w.held, w.next
	w.held, w.until = nil, time.Time{}
	w.gaps++
	w.doubt = w.now
	for d := range 256 { // by distance from the expected number
		for _, m := range all {
			if (m.seq-from+256)%256 == d {
				w.apply(m)
			}
		}
	}
}

func (w *twin) giveUp() {
	if w.state != StateOnline {
		w.drop()
	} else {
		w.flush()
	}
	w.rebirth()
}

func (w *twin) drop() {
	w.dropped += uint64(len(w.held))
	w.held, w.until = nil, time.Time{}
}

// check compares everything the model knows.
func (w *twin) check(t *rapid.T, h *Host) {
	n, ok := h.Node("G", "E")
	if !ok {
		if w.known() {
			t.Fatal("the host does not know the node")
		}
		return
	}
	got := fmt.Sprint(n.State, n.BdSeq, n.Seq, n.Gaps, n.RebirthsAsked, n.RebirthsDone, h.Stats().LateDeaths, h.Stats().HeldDropped, h.heldBytes > 0)
	want := fmt.Sprint(w.state, w.bd, w.seq, w.gaps, w.asks, w.dones, w.late, w.dropped, len(w.held) > 0)
	if got != want {
		t.Fatalf("state, bdSeq, seq, gaps, asked, done, late deaths, dropped, holding:\n got %s\nwant %s", got, want)
	}
	for _, d := range n.Devices {
		if d.State != w.device[d.Device] {
			t.Fatalf("device %s is %s, want %s", d.Device, d.State, w.device[d.Device])
		}
	}
	for k, v := range w.value {
		dev, name := k[:len(k)-2], k[len(k)-1:]
		m, ok := h.Metric(MetricRef{"G", "E", dev, name})
		quality := QualityGood
		if w.device[dev] != StateOnline {
			quality = QualityStale
		} else if w.heard[k].Before(w.doubt) {
			quality = QualityUncertain
		}
		if f, _ := m.Value.Float64(); !ok || f != v || m.Quality != quality {
			t.Fatalf("%s is %v %s, want %v %s", k, f, m.Quality, v, quality)
		}
	}
	due := w.until
	if w.want {
		due = earliest(due, w.wantAt)
	}
	if next := h.NextTick(); !next.Equal(due) {
		t.Fatalf("next tick %v, want %v", next, due)
	}
}

// TestHostAgainstModel takes random steps: gaps, reordering, wrapped and stuck bdSeq, deaths before births, births
// twice, aliases swapped, devices coming and going, a lost server.
// [tck-id-payloads-sequence-num-incrementing] [tck-id-operational-behavior-host-reordering-success]
func TestHostAgainstModel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		p := newPlant(t, Options{ReorderHeld: twinHeld, RebirthsPerSec: 1e9})
		w := newTwin()
		v := 0.0
		bd := rapid.SampledFrom([]int{0, 254}).Draw(rt, "first bdSeq")
		both := func(what func()) {
			w.clock(p.now)
			what()
		}
		message := func(kind MessageType) func(*rapid.T) {
			return func(rt *rapid.T) {
				v++
				m := twinMsg{kind: kind, dev: rapid.SampledFrom([]string{"D1", "D2"}).Draw(rt, "device"), v: v,
					alias: rapid.Uint64Range(1, 5).Draw(rt, "alias")}
				skip := rapid.SampledFrom([]int{0, 0, 0, 0, 0, 1, 2, -1, 7}).Draw(rt, "skip")
				m.seq = (w.next + skip + 256) % 256
				if kind == NDATA {
					m.dev = ""
				}
				if kind == DBIRTH {
					m.alias = map[string]uint64{"D1": 3, "D2": 4}[m.dev]
				}
				both(func() { w.ordered(m) })
				p.sendTwin(m)
			}
		}
		rt.Repeat(map[string]func(*rapid.T){
			"nbirth": func(rt *rapid.T) {
				v++
				if rapid.Bool().Draw(rt, "new session") {
					bd = (bd + 1) % 256
				}
				swapped := rapid.Bool().Draw(rt, "swapped")
				both(func() { w.nbirth(bd, swapped, v) })
				a, b := uint64(1), uint64(2)
				if swapped {
					a, b = b, a
				}
				p.nbirth(uint8(bd), p.aliased("a", a, v), p.aliased("b", b, v))
			},
			"ndeath": func(rt *rapid.T) {
				of := (bd + rapid.SampledFrom([]int{0, 0, 255}).Draw(rt, "session")) % 256
				both(func() { w.ndeath(of) })
				p.ndeath(uint8(of))
			},
			"ndata": message(NDATA), "ddata": message(DDATA), "dbirth": message(DBIRTH), "ddeath": message(DDEATH),
			"time": func(rt *rapid.T) {
				d := time.Duration(rapid.IntRange(1, 6000).Draw(rt, "ms")) * time.Millisecond
				p.now = p.now.Add(d)
				both(func() {})
				p.step(Input{})
			},
			"lost": func(rt *rapid.T) {
				both(w.lost)
				p.step(Input{Lost: &Lost{}})
			},
			"": func(rt *rapid.T) { w.check(rt, p.h) },
		})
	})
}

func (p *plant) sendTwin(m twinMsg) {
	switch m.kind {
	case NDATA:
		p.ndata(m.seq, p.byAlias(m.alias, m.v))
	case DDATA:
		p.ddata(m.dev, m.seq, p.byAlias(m.alias, m.v))
	case DBIRTH:
		p.dbirth(m.dev, m.seq, p.aliased("x", m.alias, m.v))
	case DDEATH:
		p.send("spBv1.0/G/DDEATH/E/"+m.dev, p.payload(m.seq))
	}
}
