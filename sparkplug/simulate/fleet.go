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
	opt   Options
	nodes []*node // twins included
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
	f := &Fleet{opt: opt}
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
			twin := newNode(opt, spec, end, numbers, key+" (twin)")
			twin.twin = true
			f.nodes = append(f.nodes, twin)
		}
	}
	return f, nil
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
	for _, n := range f.nodes {
		wg.Go(func() { n.nodeLoop(ctx) })
	}
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

// Nodes returns the status of every node in the order of Options.Nodes.
func (f *Fleet) Nodes() []Status {
	var out []Status
	for _, n := range f.nodes {
		if !n.twin {
			out = append(out, n.view())
		}
	}
	return out
}

// each calls do for the node of that name and its twin.
func (f *Fleet) each(name string, do func(*node)) error {
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
