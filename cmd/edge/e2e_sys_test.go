package main

import (
	"net"
	"os/exec"
	"slices"
	"testing"
	"time"

	"edge/broker/brokertest"
)

// TestSysTopicsAreMosquittos asks mosquitto and the appliance for $SYS with mosquitto_sub: whoever watches the first finds every
// topic at the second.
func TestSysTopicsAreMosquittos(t *testing.T) {
	sub, pub := program(t, "mosquitto_sub", installMosquitto), program(t, "mosquitto_pub", installMosquitto)
	read := func(addr string) (topics []string) {
		t.Helper()
		host, port, _ := net.SplitHostPort(addr)
		if out, err := exec.Command(pub, "-h", host, "-p", port, "-t", "end", "-m", "x", "-r", "-q", "1").CombinedOutput(); err != nil {
			t.Fatalf("mosquitto_pub: %v %s", err, out)
		}
		p := startLines(t, sub, "-h", host, "-p", port, "-t", "$SYS/#", "-t", "end", "-F", "%t")
		p.expect("end") // retained messages come in the order of the filters
		slices.Sort(p.kept)
		return slices.Compact(p.kept)
	}
	app := startApp(t, t.TempDir(), appOptions{})
	eventually(t, patience, "$SYS is published", func() bool {
		return app.pipeline.router.Retained("$SYS/broker/load/connections/15min", time.Now()) != nil
	})
	theirs, ours := read(brokertest.StartMosquitto(t).Addr), read(app.MQTTAddr())
	if len(theirs) < 40 {
		t.Fatalf("mosquitto has only %q", theirs)
	}
	for _, name := range theirs {
		if !slices.Contains(ours, name) {
			t.Errorf("mosquitto has %s, we do not", name)
		}
	}
	_, port, _ := net.SplitHostPort(app.MQTTAddr())
	exporter := startLines(t, sub, "-p", port, "-t", "$SYS/broker/clients/connected", "-F", "%t %r %p")
	exporter.expect("$SYS/broker/clients/connected 1 ")
}
