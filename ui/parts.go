package ui

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"edge/broker"
	"edge/broker/server"
	"edge/historian"
	"edge/historian/journal"
	"edge/historian/promql"
	"edge/sparkplug"
	"edge/sparkplug/uplink"
)

// Options joins the page to the rest of the appliance. Every part may be nil: its routes then answer
// with empty lists, or 503 where an empty list would be a lie.
type Options struct {
	Plant    Plant
	History  History
	Export   Exporter
	Uplinks  Uplinks
	Broker   Broker
	Journal  Journal
	Commands Commands    // nil: no rebirth, no write
	Firewall Firewall    // nil: it is off
	Demo     Demo        // nil: no demo routes, no demo panel
	PromQL   *promql.API // nil: nothing at /prometheus

	Version    string
	Commit     string
	Durability string                            // "safe" or "fast", shown on the page
	DataDir    string                            // whose disk GET /api/v1/status tells of; empty: none
	Started    time.Time                         // zero: the time of New
	Hosts      []string                          // names besides localhost that the Host header may hold on a loopback listener
	Unkept     func() (messages, samples uint64) // of the plant: what its outbox and the catalog had no room for; nil: not told
	Ready      func() []string                   // why the appliance is not ready, empty when it is; nil: always ready
	Log        *slog.Logger                      // nil: slog.Default
	Now        func() time.Time                  // nil: time.Now
}

// Plant is what the Sparkplug host knows. Its methods return copies and are called from many goroutines.
type Plant interface {
	// Nodes returns every node, in order of group and node.
	Nodes() []sparkplug.NodeView
	Node(group, node string) (sparkplug.NodeView, bool)
	// Metrics returns the metrics that f asks for, in order of group, node, device and name.
	Metrics(f MetricFilter) []sparkplug.MetricView
	Metric(ref sparkplug.MetricRef) (sparkplug.MetricView, bool)
	Stats() sparkplug.Stats
	// Hosts returns the other Sparkplug hosts whose STATE was heard, the one heard of last at the end.
	Hosts() []sparkplug.HostView
}

// MetricFilter asks for metrics; an empty field asks for all.
type MetricFilter struct {
	Group, Node, Device string
	Quality             sparkplug.Quality
	After               sparkplug.MetricRef // go on behind this metric; zero: from the first
	Limit               int                 // at most so many; 0: all
}

// History is what the page reads of historian.Store.
type History interface {
	Read(ctx context.Context, r historian.Range) (historian.Samples, error)
	Charts(ctx context.Context, q historian.ChartQuery) ([]historian.Chart, error)
	Aggregates(ctx context.Context, q historian.AggregateQuery) ([]historian.Aggregates, error)
	Events(ctx context.Context, q historian.EventQuery) ([]journal.Event, error)
	Birth(ctx context.Context, i journal.Index) (e journal.Event, payload []byte, err error)
	Stats() historian.Stats
	FindMetric(id string) (group, node, device, metric string, ok bool)
}

// Uplinks is what the page reads of all uplinks.
type Uplinks interface {
	Status() []uplink.Status
	// Outages returns the reports of one uplink, newest first; ok is false for a name that is not configured.
	Outages(name string) (reports []uplink.Outage, ok bool)
}

// Broker is what the page reads of server.Server.
type Broker interface {
	Stats() broker.Stats
	Clients() []server.ClientInfo
	Client(id string) (server.ClientInfo, bool)
	// Disconnect ends a client's connection; false: it has none.
	Disconnect(id string, reason broker.Reason) bool
	StartTrace(id string, o server.TraceOptions) error
	StopTrace(id string) bool
	Trace(id string, after uint64, limit int) (server.TraceView, bool)
}

// Journal is what the page reads of journal.Journal.
type Journal interface{ Stats() journal.Stats }

// Commands takes what a person asks of the plant. An implementation records every call of Rebirth and Write,
// refused ones too, as a journal event before anything is sent; their outcome follows as an event.
// Errors that wrap ErrRefused answer 403, ErrUnknown 404, ErrStale 409, all others 503.
type Commands interface {
	Rebirth(ctx context.Context, group, node, by string) error
	// CheckWrite returns nil when Write would be let through now. It changes nothing.
	CheckWrite(w Write) error
	Write(ctx context.Context, w Write) error
}

// Write asks for a new value of one metric.
type Write struct {
	Ref    sparkplug.MetricRef
	Value  sparkplug.Value // of the metric's own datatype
	Reason string          // the person's words, never empty
	By     string          // who: user or remote address
}

// What Commands and Demo may wrap in their errors.
var (
	ErrRefused = errors.New("not allowed")
	ErrUnknown = errors.New("not known")
	ErrStale   = errors.New("not online")
)

// Demo is the SCADA pane of `edge demo`: a host application at the enterprise broker that shares nothing
// with the uplink, and the switches of the simulated plant.
type Demo interface {
	Scada() ScadaView
	// Trend answers from the samples that SCADA itself received.
	Trend(ref sparkplug.MetricRef, from, to time.Time, points int) ([]historian.Bucket, []historian.Gap)
	// Do carries out "kill", "revive" or "fault" for node ("Group/Node"), "cut" or "restore" for the uplink (node empty).
	// "fault" gives the node one of the faults on offer, or mends it when fault is empty.
	Do(ctx context.Context, action, node, fault string) error
}

// DemoFault is something that a simulated node can do wrong.
type DemoFault struct {
	Name  string
	Shows string // what the page must show of it
}

// ScadaView is what SCADA believes.
type ScadaView struct {
	Host      string // its host id
	Server    string // the enterprise broker's address
	Connected bool
	Since     time.Time
	Nodes     []sparkplug.NodeView
	Messages  uint64 // received
	Samples   uint64 // received, live
	Backfill  uint64 // received with is_historical
	Cut       bool   // the uplink is cut by Do
	Killed    []string
	Offered   []DemoFault
	Faults    map[string]string // by "Group/Node": what those do wrong that do, separated by commas
}
