package uplink

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"strings"
	"time"
)

// Options says where an uplink goes and how fast. Name and one Server are needed; every other zero field means its default.
type Options struct {
	Name         string   // of the uplink, in status and events
	ClientID     string   // prefix of the MQTT client ids, "edge-"+Name when empty; must be unique at the servers
	Servers      []Server // tried in this order; one at a time
	PrimaryHost  string   // wait for this host's STATE; empty: birth at once
	Profile      string   // generic (default), ignition, canary, tahu: presets of FlushMode and the birth time stamps
	UInt32AsLong bool     // UInt32 goes out in long_value, as older hosts want it; the specification says int_value
	FlushMode    string   // concurrent (default), in_order, closing_rebirth or history_elsewhere, see doc.go; empty: the profile's

	FlushSamplesPerSecond int // history of all nodes together, default 5000
	FlushBitsPerSecond    int // history of all nodes together, default 2,000,000; below 0: no limit
	HistoryMetrics        int // metrics in one history payload, default 500
	HistoryBytes          int // bytes of one history payload, default 64 KiB; the server's maximum packet size bounds it too
	LiveSamples           int // live samples waiting for one node's socket before they are conflated, default 8192

	KeepAlive       time.Duration // default 30 s; also the longest wait for an answer of the server
	ConnectRate     float64       // CONNECTs per second of all nodes together, default 10
	Jitter          time.Duration // a node waits up to this long before it connects, default 5 s; below 0: none
	BackoffMin      time.Duration // after the first failed CONNECT, default 1 s
	BackoffMax      time.Duration // doubled up to this, default 60 s
	BarrierMessages int           // messages before a PINGREQ, default 512
	BarrierEvery    time.Duration // and at the latest after this, default 1 s
	HostRewind      time.Duration // sent again when the primary host goes offline, default 90 s; below 0: nothing
	StateDebounce   time.Duration // from STATE online to the births, default 3 s; below 0: none
	StateWait       time.Duration // without STATE before the next server is tried, default 30 s
	PostmortemAfter time.Duration // a dead node's backlog is sent after this, default 10 min; below 0: never

	CommandTTL time.Duration // default 5 s
	Commands   []CommandRule // empty: every command is refused

	Queue Queue

	Clock func() time.Time // default time.Now
	Log   *slog.Logger     // default: discarded
}

// The flush modes.
const (
	modeConcurrent = "concurrent"        // history beside live values
	modeInOrder    = "in_order"          // history, then live values
	modeClosing    = "closing_rebirth"   // concurrent, and births once more when the backlog is empty
	modeElsewhere  = "history_elsewhere" // no history; it is counted as given up
)

// Server is one enterprise MQTT server.
type Server struct {
	URL                string // mqtt://host:port or mqtts://host:port (also tcp, ssl)
	Username, Password string
	TLS                *tls.Config // mqtts only; nil: the system's roots
	// Dial replaces the network; nil: TCP.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
}

// CommandRule allows commands from upstream to one metric.
type CommandRule struct {
	Group, Node, Device string   // empty: any
	Metric              string   // exact name
	Min, Max            *float64 // inclusive; nil: no bound. A bound refuses values that are not numbers
	PerMinute           int      // commands in any minute, default 6
}

// Queue bounds what is owed.
type Queue struct {
	Bytes uint64        // estimated on the wire, all nodes together; 0: no bound
	Age   time.Duration // since arrival; 0: no bound
	Full  string        // drop_oldest (default) or drop_newest
}

// withDefaults fills the zero fields.
func (o Options) withDefaults() Options {
	set := func(d *time.Duration, def time.Duration) {
		if *d == 0 {
			*d = def
		}
	}
	num := func(n *int, def int) {
		if *n == 0 {
			*n = def
		}
	}
	if o.ClientID == "" {
		o.ClientID = "edge-" + o.Name
	}
	if o.Profile == "" {
		o.Profile = "generic"
	}
	if o.FlushMode == "" {
		o.FlushMode = modeConcurrent
		if o.Profile == "tahu" {
			o.FlushMode = modeClosing
		}
	}
	num(&o.FlushSamplesPerSecond, 5000)
	num(&o.FlushBitsPerSecond, 2_000_000)
	num(&o.HistoryMetrics, 500)
	num(&o.HistoryBytes, 64<<10)
	num(&o.LiveSamples, 8192)
	set(&o.KeepAlive, 30*time.Second)
	if o.ConnectRate == 0 {
		o.ConnectRate = 10
	}
	set(&o.Jitter, 5*time.Second)
	set(&o.BackoffMin, time.Second)
	set(&o.BackoffMax, time.Minute)
	num(&o.BarrierMessages, 512)
	set(&o.BarrierEvery, time.Second)
	set(&o.HostRewind, 90*time.Second)
	set(&o.StateDebounce, 3*time.Second)
	set(&o.StateWait, 30*time.Second)
	set(&o.PostmortemAfter, 10*time.Minute)
	set(&o.CommandTTL, 5*time.Second)
	if o.Queue.Full == "" {
		o.Queue.Full = "drop_oldest"
	}
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return o
}

// validate reports every problem of the options at once.
func (o Options) validate() error {
	var errs []error
	bad := func(format string, a ...any) { errs = append(errs, fmt.Errorf(format, a...)) }
	if o.Name == "" || strings.ContainsAny(o.Name, "/+#") {
		bad("name %q: give it a name without / + #", o.Name)
	}
	if len(o.Servers) == 0 {
		bad("servers: name at least one")
	}
	for _, s := range o.Servers {
		if _, _, err := s.address(); err != nil {
			errs = append(errs, err)
		}
	}
	if strings.ContainsAny(o.PrimaryHost, "/+#") {
		bad("primary_host %q: an id without / + #", o.PrimaryHost)
	}
	switch o.Profile {
	case "generic", "ignition", "canary", "tahu":
	default:
		bad("profile %q: use generic, ignition, canary or tahu", o.Profile)
	}
	switch o.FlushMode {
	case modeConcurrent, modeInOrder, modeClosing, modeElsewhere:
	default:
		bad("flush mode %q: use concurrent, in_order, closing_rebirth or history_elsewhere", o.FlushMode)
	}
	switch o.Queue.Full {
	case "drop_oldest", "drop_newest":
	default:
		bad("queue full %q: use drop_oldest or drop_newest", o.Queue.Full)
	}
	if o.FlushSamplesPerSecond < 0 || o.HistoryMetrics < 0 || o.HistoryBytes < 0 || o.BarrierMessages < 0 || o.ConnectRate < 0 || o.LiveSamples < 0 {
		bad("limits: must not be negative")
	}
	if o.KeepAlive < time.Second || o.KeepAlive > 65535*time.Second {
		bad("keep alive %s: from 1 s to 65535 s", o.KeepAlive)
	}
	for _, r := range o.Commands {
		if r.Metric == "" {
			bad("commands: a rule needs a metric")
		}
		if r.Min != nil && r.Max != nil && *r.Min > *r.Max {
			bad("commands: %s: min is above max", r.Metric)
		}
	}
	return errors.Join(errs...)
}

// address returns what to dial, and whether TLS runs on it.
func (s Server) address() (hostport string, secure bool, err error) {
	u, err := url.Parse(s.URL)
	if err != nil || u.Hostname() == "" {
		return "", false, fmt.Errorf("server %q: use mqtt://host:port or mqtts://host:port", s.redacted())
	}
	port := u.Port()
	switch u.Scheme {
	case "mqtt", "tcp":
		if port == "" {
			port = "1883"
		}
	case "mqtts", "ssl", "tls":
		secure = true
		if port == "" {
			port = "8883"
		}
	default:
		return "", false, fmt.Errorf("server %q: use mqtt://host:port or mqtts://host:port", s.redacted())
	}
	return net.JoinHostPort(u.Hostname(), port), secure, nil
}

// redacted is the URL without credentials.
func (s Server) redacted() string {
	u, err := url.Parse(s.URL)
	if err != nil {
		return "(unreadable url)"
	}
	u.User = nil
	return u.String()
}
