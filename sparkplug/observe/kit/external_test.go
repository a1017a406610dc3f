package kit

import (
	"flag"
	"os"
	"os/signal"
	"strings"
	"testing"

	"edge/broker/packets"
	"edge/sparkplug/observe"
)

// Flags that point the kit at a program that runs elsewhere; without them TestExternal has no subtest.
var (
	externalBroker = flag.String("kit.broker", "", "an MQTT server to ask, host:port; beside -kit.node or -kit.host: the one behind the tap")
	externalAware  = flag.Bool("kit.aware", false, "it is to be a Sparkplug Aware server")
	externalNode   = flag.String("kit.node", "", "an edge node to judge, group/node/device: point it at -kit.listen, use it, and end with an interrupt")
	externalHost   = flag.String("kit.host", "", "a host to judge, its id: point it at -kit.listen, use it, and end with an interrupt")
	externalListen = flag.String("kit.listen", "127.0.0.1:18830", "where the tap for -kit.node and -kit.host listens")
	externalWaits  = flag.String("kit.primary", "", "the primary host that -kit.node waits for")
)

// TestExternal judges somebody else's broker, edge node or host. A broker is asked; a node and a host are watched while somebody
// uses them, since only their owner can change their values or stop them.
func TestExternal(t *testing.T) {
	switch {
	case *externalBroker == "":
	case *externalNode != "" || *externalHost != "":
		t.Run("watch", watchExternal)
	default:
		for name, v := range map[string]packets.Version{"3.1.1": packets.V4, "5": packets.V5} {
			t.Run("broker "+name, func(t *testing.T) {
				RunBroker(t, Broker{Addr: *externalBroker, Version: v, Aware: *externalAware}).Healthy(t)
			})
		}
	}
}

// watchExternal keeps a tap open until an interrupt, then says what was seen.
func watchExternal(t *testing.T) {
	parts := strings.Split(*externalNode+"//", "/")
	o := observe.WireOptions{PrimaryHost: *externalWaits}
	if parts[2] != "" {
		o.Devices = []string{parts[2]}
	}
	r := &run{t: t, wire: observe.NewWire(o)}
	tap := r.tap(*externalBroker, *externalListen, *externalBroker)
	interrupt := make(chan os.Signal, 1)
	signal.Notify(interrupt, os.Interrupt)
	defer signal.Stop(interrupt)
	os.Stderr.WriteString("kit: watching on " + tap.Addr() + "; interrupt to end\n")
	<-interrupt
	profile := "edge-node"
	if *externalHost != "" {
		profile = "host-application"
	}
	report := &Report{Tally: r.wire.Tally()}
	for _, id := range assertions(t, moduleRoot(t), profile) {
		t.Logf("%-9s %s", report.Tally.Verdict(id), id)
	}
	report.Healthy(t)
}
