package simulate

import (
	"crypto/tls"
	"log/slog"
	"time"
)

// Options tell a fleet where and how to run. Only Broker and Nodes are needed.
type Options struct {
	Broker      string           // tcp://, mqtt://, mqtts:// or host:port; may carry user:password@
	TLS         *tls.Config      // for mqtts://; nil: the system's roots
	Nodes       []NodeSpec       // Plant() or Generic(…)
	Protocol    Protocol         // default V5
	Interval    time.Duration    // between looks at the signals; default 1 s
	History     time.Duration    // past to send as historical data after the first birth; 0: none, at most 31 days
	HistoryRate int              // historical samples per second and node; default 2,000
	Duration    time.Duration    // Run ends after it; 0: with its context
	Seed        uint64           // of values, faults and back-off
	Faults      []Fault          // for every node
	PrimaryHost string           // births wait for its STATE; empty: none
	BdSeqFile   string           // keeps bdSeq across runs; empty: in memory, from 0
	BackoffMin  time.Duration    // first pause before a new connection, doubled up to 30 s; default 500 ms
	Clock       func() time.Time // of time stamps and values; default time.Now. Pauses and intervals are real
	Log         *slog.Logger     // default: discards
	OnState     func(Status)     // called by the node's goroutine at each change of State; must not block
}

func (o Options) withDefaults() Options {
	if o.Protocol == 0 {
		o.Protocol = V5
	}
	if o.Interval <= 0 {
		o.Interval = time.Second
	}
	o.History = min(o.History, 31*24*time.Hour)
	if o.HistoryRate <= 0 {
		o.HistoryRate = 2000
	}
	if o.BackoffMin <= 0 {
		o.BackoffMin = 500 * time.Millisecond
	}
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.OnState == nil {
		o.OnState = func(Status) {}
	}
	return o
}
