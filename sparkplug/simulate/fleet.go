package simulate

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"edge/sparkplug"
)

// ErrNoNode is returned for a node name that the fleet does not have.
var ErrNoNode = errors.New("no such simulated node")

// Fleet runs the nodes of one Options.
type Fleet struct {
	opt     Options
	end     endpoint
	numbers *bdSeqs

	mu    sync.Mutex
	nodes []*node     // guarded by mu: twins included; none is ever removed
	run   func(*node) // guarded by mu: starts the loop of a node that came later; nil before and after Run
}

// startSpacing is between the first connections of two nodes: brokers limit how many they accept a second.
const startSpacing = 5 * time.Millisecond

// New checks the options and makes the nodes; nothing is dialled before Run.
func New(opt Options) (*Fleet, error) {
	opt = opt.withDefaults()
	end, err := parseBroker(opt.Broker)
	if err != nil {
		return nil, err
	}
	if len(opt.Nodes) == 0 {
		return nil, errors.New("no node to simulate")
	}
	numbers, err := openBdSeqs(opt.BdSeqFile)
	if err != nil {
		return nil, err
	}
	f := &Fleet{opt: opt, end: end, numbers: numbers}
	seen := map[string]bool{}
	for i, spec := range opt.Nodes {
		if err := checkSpec(spec); err != nil {
			return nil, err
		}
		key := spec.Group + "/" + spec.Node
		if seen[key] {
			return nil, fmt.Errorf("node %s is there twice; use the fault duplicate-id for that", key)
		}
		seen[key] = true
		n := newNode(opt, spec, end, numbers, key)
		n.delay = time.Duration(i) * startSpacing
		f.nodes = append(f.nodes, n)
		if n.has(DuplicateID) {
			f.nodes = append(f.nodes, f.twinOf(n))
		}
	}
	return f, nil
}

// twinOf makes the other node of duplicate-id.
func (f *Fleet) twinOf(n *node) *node {
	twin := newNode(f.opt, n.spec, f.end, f.numbers, n.key+" (twin)")
	twin.twin = true
	return twin
}

func checkSpec(spec NodeSpec) error {
	ids := []string{spec.Group, spec.Node}
	for _, d := range spec.Devices {
		ids = append(ids, d.Device)
	}
	for _, id := range ids {
		if err := sparkplug.ValidateID(id); err != nil {
			return fmt.Errorf("node %s/%s: %q: %w", spec.Group, spec.Node, id, err)
		}
	}
	return nil
}

// Run connects all nodes and keeps them running until ctx ends or Options.Duration is over, then stops
// them cleanly within five seconds. It returns nil then, and may be called once.
func (f *Fleet) Run(ctx context.Context) error {
	if f.opt.Duration > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, f.opt.Duration)
		defer cancel()
	}
	var wg sync.WaitGroup
	run := func(n *node) { wg.Go(func() { n.nodeLoop(ctx) }) }
	f.mu.Lock()
	for _, n := range f.nodes {
		run(n)
	}
	f.run = run
	f.mu.Unlock()
	<-ctx.Done()
	f.mu.Lock()
	f.run = nil
	f.mu.Unlock()
	wg.Wait()
	return nil
}

// Kill cuts the node's socket without DISCONNECT, so that its Will fires; it stays dead until Revive.
// A node is named "node" or, where that is not unique, "group/node".
func (f *Fleet) Kill(name string) error { return f.each(name, func(n *node) { n.halt(Killed) }) }

// Stop sends NDEATH and DISCONNECT; the node stays away until Revive.
func (f *Fleet) Stop(name string) error { return f.each(name, func(n *node) { n.halt(Stopped) }) }

// Revive lets a killed or stopped node connect again.
func (f *Fleet) Revive(name string) error { return f.each(name, func(n *node) { n.halt("") }) }

// SetFaults restarts a node: it says goodbye, if its faults allow that, and begins a new session with these faults in
// place of all it had.
func (f *Fleet) SetFaults(name string, faults []Fault) error {
	return f.each(name, func(n *node) {
		if n.twin {
			return
		}
		n.restart(faults)
		f.setTwin(n, faults)
	})
}

// setTwin lets the other node of duplicate-id run or rest. The caller holds mu.
func (f *Fleet) setTwin(n *node, faults []Fault) {
	i := slices.IndexFunc(f.nodes, func(t *node) bool { return t.twin && t.spec.Group == n.spec.Group && t.spec.Node == n.spec.Node })
	switch runs := slices.Contains(faults, DuplicateID); {
	case i < 0 && !runs:
	case i < 0:
		twin := f.twinOf(n)
		twin.faults = faults
		f.nodes = append(f.nodes, twin)
		if f.run != nil {
			f.run(twin)
		}
	case runs:
		f.nodes[i].restart(faults)
		f.nodes[i].halt("")
	default:
		f.nodes[i].halt(Stopped)
	}
}

// Nodes returns the status of every node in the order of Options.Nodes.
func (f *Fleet) Nodes() []Status {
	f.mu.Lock()
	defer f.mu.Unlock()
	var out []Status
	for _, n := range f.nodes {
		if !n.twin {
			out = append(out, n.view())
		}
	}
	return out
}

// each calls do for the node of that name and its twin, under mu.
func (f *Fleet) each(name string, do func(*node)) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	var found []*node
	for _, n := range f.nodes {
		if n.spec.Node == name || n.spec.Group+"/"+n.spec.Node == name {
			found = append(found, n)
		}
	}
	if len(found) == 0 {
		return fmt.Errorf("%w: %s", ErrNoNode, name)
	}
	if !strings.Contains(name, "/") && slices.ContainsFunc(found, func(n *node) bool { return n.spec.Group != found[0].spec.Group }) {
		return fmt.Errorf("node %s is in several groups: name it group/node", name)
	}
	for _, n := range found {
		do(n)
	}
	return nil
}
