package simulate

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"edge/sparkplug"
)

// node is one edge node over all its connections.
type node struct {
	// Set by newNode, never changed.
	opt      Options
	spec     NodeSpec
	end      endpoint
	numbers  *bdSeqs
	key      string // in numbers
	clientID string
	twin     bool          // the other one of duplicate-id
	delay    time.Duration // before the first connection
	log      *slog.Logger
	poke     chan struct{} // capacity 1: want has changed

	// Owned by nodeLoop.
	faults  []Fault
	tags    []*tag             // those of the node first, then device by device
	writes  map[string][]Write // accepted commands by device, at most maxWrites each
	replays []*replay          // past that is still to be sent, oldest first
	missed  time.Time          // since when a backlog gathers; zero: none
	state   hostState
	random  *rand.Rand

	mu     sync.Mutex
	status Status   // guarded by mu
	want   State    // guarded by mu: Killed, Stopped, or empty to run
	cut    func()   // guarded by mu: closes the socket; nil without one
	next   *[]Fault // guarded by mu: of the next session, in place of faults; nil: as they are
}

// tag is a signal where it stands: its device, alias and what was last said of it.
type tag struct {
	*Signal
	device   string
	alias    uint64
	seed     uint64
	kind     sparkplug.DataType // as in the last birth; differs from Signal.Type under type-change
	reported sparkplug.Value    // by live data or birth
	known    bool               // reported is set
}

// maxWrites bounds the commands that a device remembers; older ones have settled.
const maxWrites = 16

func newNode(opt Options, spec NodeSpec, end endpoint, numbers *bdSeqs, key string) *node {
	n := &node{
		opt: opt, spec: spec, end: end, numbers: numbers, key: key,
		clientID: "sim-" + spec.Group + "-" + spec.Node,
		faults:   slices.Concat(opt.Faults, spec.Faults),
		log:      opt.Log.With("part", "simulate", "group", spec.Group, "node", spec.Node),
		poke:     make(chan struct{}, 1),
		writes:   map[string][]Write{},
		random:   rand.New(rand.NewPCG(opt.Seed, mix(opt.Seed, key))),
	}
	if n.spec.Protocol == 0 {
		n.spec.Protocol = opt.Protocol
	}
	if n.spec.machine.period == 0 {
		n.spec.machine = machine{period: 2 * time.Hour, run: 105 * time.Minute, pause: 3 * time.Minute}
	}
	n.status = Status{Group: spec.Group, Node: spec.Node, Protocol: n.spec.Protocol, Faults: n.faults,
		State: Starting, BdSeq: -1, Seq: -1, HistoryDone: opt.History <= 0}
	n.addTags("", spec.Signals)
	for _, d := range spec.Devices {
		n.addTags(d.Device, d.Signals)
	}
	n.giveAliases()
	return n
}

func (n *node) addTags(device string, signals []Signal) {
	for i := range signals {
		s := &signals[i]
		n.tags = append(n.tags, &tag{Signal: s, device: device, kind: s.Type,
			seed: mix(n.opt.Seed, n.spec.Group, n.spec.Node, device, s.Name)})
	}
}

// giveAliases gives every signal an alias of its own, over the node and its devices. [tck-id-payloads-alias-uniqueness]
func (n *node) giveAliases() {
	for i, t := range n.tags {
		t.alias = uint64(i + 1)
	}
	if n.has(AliasReuse) && len(n.tags) > 1 {
		n.tags[1].alias = n.tags[0].alias
	}
}

func (n *node) has(f Fault) bool { return slices.Contains(n.faults, f) }

// now is the node's own clock, which a fault may have set wrong.
func (n *node) now() time.Time {
	if n.has(ClockSkew) {
		return n.opt.Clock().Add(2 * time.Hour)
	}
	return n.opt.Clock()
}

// value asks the model.
func (n *node) value(t *tag, at time.Time) sparkplug.Value {
	return t.Value(Moment{At: at, Seed: t.seed, Shift: mix(n.opt.Seed, n.spec.Group, n.spec.Node), Writes: n.writes[t.device]})
}

const backoffMax = 30 * time.Second

// nodeLoop connects again and again until ctx ends.
func (n *node) nodeLoop(ctx context.Context) {
	n.sleep(ctx, n.delay)
	pause := n.opt.BackoffMin
	for n.mayRun(ctx) {
		n.takeFaults()
		births := n.view().Births
		err := n.connection(ctx)
		if ctx.Err() != nil || n.interrupted() != nil {
			continue
		}
		if n.view().Births > births {
			pause = n.opt.BackoffMin
		}
		n.update(func(st *Status) { st.LastError = err.Error() })
		n.enter(Retrying, err.Error())
		n.sleep(ctx, n.pauseAfter(err, pause))
		pause = min(2*pause, backoffMax)
	}
	if n.view().State != Killed {
		n.enter(Stopped, "the simulation ends")
	}
}

// errFault ends a connection that a fault has cut; pause is how long the node stays away.
type errFault struct {
	fault Fault
	pause time.Duration
}

func (e *errFault) Error() string { return "cut by the fault " + string(e.fault) }

// pauseAfter spreads the nodes: half of the pause up to all of it.
func (n *node) pauseAfter(err error, pause time.Duration) time.Duration {
	var f *errFault
	if errors.As(err, &f) {
		return f.pause
	}
	return pause/2 + time.Duration(n.random.Int64N(int64(pause/2)+1))
}

// mayRun waits while the node is killed or stopped; it returns false when ctx ends.
func (n *node) mayRun(ctx context.Context) bool {
	for ctx.Err() == nil {
		switch n.wanted() {
		case "":
			return true
		case Killed:
			n.enter(Killed, "socket cut")
		case Stopped:
			n.enter(Stopped, "stopped on request")
		}
		select {
		case <-ctx.Done():
		case <-n.poke:
		}
	}
	return false
}

func (n *node) sleep(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-n.poke:
	case <-t.C:
	}
}

// halt sets what the node should be: Killed, Stopped, or empty to run. Killed cuts the socket at once.
func (n *node) halt(want State) {
	n.mu.Lock()
	n.want = want
	cut := n.cut
	n.mu.Unlock()
	if want == Killed && cut != nil {
		cut()
	}
	select {
	case n.poke <- struct{}{}:
	default:
	}
}

// restart makes the node end its session and begin another with these faults, as a device does that was set up anew.
func (n *node) restart(faults []Fault) {
	n.mu.Lock()
	n.next = &faults
	n.mu.Unlock()
	select {
	case n.poke <- struct{}{}:
	default:
	}
}

// takeFaults begins to live with the faults that restart has set.
func (n *node) takeFaults() {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.next == nil {
		return
	}
	n.faults, n.next = *n.next, nil
	n.status.Faults = n.faults
	n.giveAliases()
}

// interrupted tells why a session in use has to end by our own will; nil when it may go on.
func (n *node) interrupted() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	switch {
	case n.want != "":
		return errors.New("stopped")
	case n.next != nil:
		return errors.New("restarted with other faults")
	}
	return nil
}

func (n *node) wanted() State {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.want
}

// hold notes how to cut the socket in use; it returns false if the node should not have one.
func (n *node) hold(cut func()) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.cut = cut
	return n.want == ""
}

// enter changes the state and says so.
func (n *node) enter(s State, reason string) {
	changed := false
	n.update(func(st *Status) {
		changed = st.State != s
		st.State, st.Reason = s, reason
	})
	if changed {
		n.log.Info("simulated node is "+string(s), "reason", reason)
		n.opt.OnState(n.view())
	}
}

func (n *node) update(f func(*Status)) {
	n.mu.Lock()
	defer n.mu.Unlock()
	f(&n.status)
}

func (n *node) view() Status {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.status
}
