package server

import (
	"context"
	"fmt"
	"math"
	"runtime/metrics"
	"strconv"
	"time"

	"edge/broker"
	"edge/broker/topic"
)

// Sys publishes the broker's figures on $SYS, under the names that mosquitto gave them: what monitors of MQTT brokers
// expect. A value is published when it has changed, QoS 0 and retained; the router keeps such messages in memory only.
type Sys struct {
	Server  *Server
	Version string        // of the program
	Every   time.Duration // how often; 0 or less: never

	started time.Time
	loads   [len(sysLoads)]load
	before  sysFigures
	told    map[topic.Name]string
	heapMax uint64
}

// sysName is the publisher name of Sys.
const sysName = "$sys"

// Run publishes until ctx ends.
func (y *Sys) Run(ctx context.Context) error {
	if y.Every <= 0 {
		<-ctx.Done()
		return nil
	}
	y.begin()
	tick := time.NewTicker(y.Every)
	defer tick.Stop()
	for {
		y.publish()
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}

func (y *Sys) begin() {
	y.started, y.told = y.Server.now(), make(map[topic.Name]string)
	y.before = y.figures()
}

// publish tells what has changed.
func (y *Sys) publish() {
	now := y.Server.now()
	f := y.figures()
	for i := range y.loads {
		y.loads[i].add(sysLoads[i].of(&f)-sysLoads[i].of(&y.before), y.Every)
	}
	y.before = f
	y.each(&f, now, func(name, value string) {
		t := topic.Name("$SYS/broker/" + name)
		if y.told[t] == value {
			return
		}
		y.told[t] = value
		m := &broker.Message{Topic: t, Payload: []byte(value), Retain: true, From: sysName, Received: now}
		y.Server.router.Publish(m) // what does not reach a subscriber comes again with the next change
	})
}

// sysFigures is what there is to tell.
type sysFigures struct {
	broker.Stats
	dropped uint64 // messages of all reasons
	heap    uint64 // bytes of objects
}

func (y *Sys) figures() sysFigures {
	f := sysFigures{Stats: y.Server.Stats(), heap: heapBytes()}
	for _, n := range f.Dropped {
		f.dropped += n
	}
	y.heapMax = max(y.heapMax, f.heap)
	return f
}

func heapBytes() uint64 {
	s := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
	metrics.Read(s)
	return s[0].Value.Uint64()
}

// sysLoads are the figures of which averages are told, per minute.
var sysLoads = [...]struct {
	name string
	of   func(*sysFigures) float64
}{
	{"messages/received", func(f *sysFigures) float64 { return float64(f.Received.Packets) }},
	{"messages/sent", func(f *sysFigures) float64 { return float64(f.Sent.Packets) }},
	{"publish/received", func(f *sysFigures) float64 { return float64(f.Received.Publishes()) }},
	{"publish/sent", func(f *sysFigures) float64 { return float64(f.Sent.Publishes()) }},
	{"publish/dropped", func(f *sysFigures) float64 { return float64(f.dropped) }},
	{"bytes/received", func(f *sysFigures) float64 { return float64(f.Received.Bytes) }},
	{"bytes/sent", func(f *sysFigures) float64 { return float64(f.Sent.Bytes) }},
	{"sockets", func(f *sysFigures) float64 { return float64(f.Accepted) }},
	{"connections", func(f *sysFigures) float64 { return float64(f.Logins) }},
}

// load is a rate per minute, averaged over the last 1, 5 and 15 minutes, older ones counting exponentially less.
type load [3]float64

var loadMinutes = [3]float64{1, 5, 15}

// add takes in what was counted in d.
func (l *load) add(n float64, d time.Duration) {
	perMinute := n / d.Minutes()
	for i, span := range loadMinutes {
		keep := math.Exp(-d.Minutes() / span)
		l[i] = perMinute + keep*(l[i]-perMinute)
	}
}

// each calls tell for every topic below $SYS/broker.
func (y *Sys) each(f *sysFigures, now time.Time, tell func(name, value string)) {
	tell("version", "edge version "+y.Version)
	tell("uptime", fmt.Sprintf("%d seconds", int64(now.Sub(y.started)/time.Second)))
	for _, n := range []struct {
		name  string
		value uint64
	}{
		{"clients/total", uint64(f.Sessions)},
		{"clients/connected", uint64(f.Clients)},
		{"clients/active", uint64(f.Clients)}, // the older name of connected
		{"clients/disconnected", uint64(max(0, f.Sessions-f.Clients))},
		{"clients/inactive", uint64(max(0, f.Sessions-f.Clients))}, // the older name of disconnected
		{"clients/maximum", uint64(f.ClientsMax)},
		{"clients/expired", f.SessionsExpired},
		{"messages/received", f.Received.Packets},
		{"messages/sent", f.Sent.Packets},
		{"messages/stored", uint64(f.Queued + f.Inflight + f.Retained)}, // the older name of store/messages/count
		{"store/messages/count", uint64(f.Queued + f.Inflight + f.Retained)},
		{"store/messages/bytes", uint64(f.QueuedBytes + f.RetainedBytes)},
		{"subscriptions/count", uint64(f.Subscriptions)},
		{"shared_subscriptions/count", uint64(f.Shared)},
		{"retained messages/count", uint64(f.Retained)},
		{"publish/messages/received", f.Received.Publishes()},
		{"publish/messages/sent", f.Sent.Publishes()},
		{"publish/messages/dropped", f.dropped},
		{"publish/bytes/received", f.Received.PayloadBytes},
		{"publish/bytes/sent", f.Sent.PayloadBytes},
		{"bytes/received", f.Received.Bytes},
		{"bytes/sent", f.Sent.Bytes},
		{"heap/current", f.heap},
		{"heap/maximum", y.heapMax},
	} {
		tell(n.name, strconv.FormatUint(n.value, 10))
	}
	for i := range sysLoads {
		for j, span := range loadMinutes {
			tell(fmt.Sprintf("load/%s/%.0fmin", sysLoads[i].name, span), strconv.FormatFloat(y.loads[i][j], 'f', 2, 64))
		}
	}
}
