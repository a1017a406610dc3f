package server

import "testing"

// BenchmarkCount is what counting and an absent trace cost a message, in and out.
func BenchmarkCount(b *testing.B) {
	c := &conn{}
	frame := []byte{0x30, 3, 0, 1, 'a'}
	b.ReportAllocs()
	for b.Loop() {
		c.traceRead(frame)
		c.received.message(0, 1)
		c.out.sent.message(0, 1, 5)
		c.traceMessage(nil, nil, 5, taken)
	}
}

// BenchmarkStats is what a scrape costs with 10,000 connections.
func BenchmarkStats(b *testing.B) {
	r := (&rig{}).start(b)
	r.Server.mu.Lock()
	for range 10_000 {
		c := &conn{server: r.Server}
		r.Server.conns[c] = struct{}{}
	}
	r.Server.mu.Unlock()
	for b.Loop() {
		r.Server.Stats()
	}
	r.Server.mu.Lock()
	clear(r.Server.conns)
	r.Server.mu.Unlock()
}
