package ui

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"edge/historian/journal"
	"edge/sparkplug"
)

// UI serves the page and the HTTP interface. It has no goroutine but those of the requests it serves.
type UI struct {
	opt     Options
	hub     hub
	handler http.Handler
	tokens  tokens
	ids     metricIDs
	exports chan struct{} // one for each that is under way
	turns   turns
	closing context.Context
	close   context.CancelFunc
}

// New returns the page over the parts in opt.
func New(opt Options) *UI {
	if opt.Log == nil {
		opt.Log = slog.Default()
	}
	if opt.Now == nil {
		opt.Now = time.Now
	}
	if opt.Started.IsZero() {
		opt.Started = opt.Now()
	}
	u := &UI{opt: opt, exports: make(chan struct{}, maxExports), turns: newTurns()}
	u.closing, u.close = context.WithCancel(context.Background())
	u.handler = u.guard(u.router())
	return u
}

// Handler serves every route. The server it runs in is made by Server, which sets the limits.
func (u *UI) Handler() http.Handler { return u.handler }

// Server returns an HTTP server around Handler with the limits that the page counts on:
// 5 s for a header, 10 s for a body, 64 KiB of header. It has no write timeout: a stream lives as long as
// its reader reads, an export as long as its reader takes the next chunk in time, and both set a deadline for each write; every other answer sets one of 30 s.
func (u *UI) Server() *http.Server {
	return &http.Server{
		Handler:           u.handler,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    64 << 10,
		ErrorLog:          slog.NewLogLogger(u.opt.Log.Handler(), slog.LevelDebug),
	}
}

// Changed tells open pages of metrics whose view changed. It never blocks.
func (u *UI) Changed(refs []sparkplug.MetricRef) { u.hub.changed(refs) }

// NodeChanged tells open pages of nodes whose view changed. It never blocks.
func (u *UI) NodeChanged(refs []sparkplug.NodeRef) { u.hub.nodeChanged(refs) }

// Event tells open pages of an event. It never blocks.
func (u *UI) Event(e journal.Event) { u.hub.event(e) }

// Close ends every open stream and export, so that a server's Shutdown does not wait for them. Later calls do nothing.
func (u *UI) Close() {
	u.hub.close()
	u.close()
}
