//go:build !linux

package server

import (
	"context"
)

// loop does not exist here: every connection has its goroutines.
type loop struct{}

func (*loop) end() {}

func (s *Server) serveLoops(context.Context, Listener) (ok bool, err error) { return false, nil }
