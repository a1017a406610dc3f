package simulate

import (
	"context"
	"errors"
)

// ErrNoNode is returned for a node name that the fleet does not have.
var ErrNoNode = errors.New("no such simulated node")

// Fleet runs the nodes of one Options.
type Fleet struct {
	opt   Options
	nodes []*node
}

type node struct{}

// New checks the options and makes the nodes; nothing is dialled before Run.
func New(opt Options) (*Fleet, error) {
	return &Fleet{opt: opt.withDefaults()}, nil
}

// Run connects all nodes and keeps them running until ctx ends or Options.Duration is over, then stops
// them cleanly within five seconds. It returns nil then, and may be called once.
func (f *Fleet) Run(ctx context.Context) error { return nil }

// Kill cuts the node's socket without DISCONNECT, so that its Will fires; it stays dead until Revive.
// A node is named "node" or, where that is not unique, "group/node".
func (f *Fleet) Kill(node string) error { return ErrNoNode }

// Stop sends NDEATH and DISCONNECT; the node stays away until Revive.
func (f *Fleet) Stop(node string) error { return ErrNoNode }

// Revive lets a killed or stopped node connect again.
func (f *Fleet) Revive(node string) error { return ErrNoNode }

// Nodes returns the status of every node in the order of Options.Nodes.
func (f *Fleet) Nodes() []Status { return nil }
