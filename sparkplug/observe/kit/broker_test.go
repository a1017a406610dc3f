package kit

import (
	"net"
	"strconv"
	"testing"
	"time"

	natsd "github.com/nats-io/nats-server/v2/server"

	"edge/broker/brokertest"
	"edge/broker/packets"
)

// nats is a Sparkplug Aware server of other makers, in this process.
type nats struct {
	t    *testing.T
	dir  string
	port int
	s    *natsd.Server
}

func startNATS(t *testing.T) *nats {
	t.Helper()
	n := &nats{t: t, dir: t.TempDir(), port: brokertest.HoldPort(t)}
	n.start()
	t.Cleanup(n.stop)
	return n
}

func (n *nats) start() {
	n.t.Helper()
	o := &natsd.Options{ServerName: "kit", Host: "127.0.0.1", Port: natsd.RANDOM_PORT, JetStream: true, StoreDir: n.dir, NoSigs: true, NoLog: true}
	o.MQTT.Host, o.MQTT.Port = "127.0.0.1", n.port
	s, err := natsd.NewServer(o)
	if err != nil {
		n.t.Fatal(err)
	}
	s.Start()
	if !s.ReadyForConnections(patience) {
		n.t.Fatal("nats-server does not start")
	}
	n.s = s
}

func (n *nats) stop() {
	n.s.Shutdown()
	n.s.WaitForShutdown()
}

func (n *nats) addr() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(n.port)) }

// TestBrokerKitNATS asks nats-server, the yardstick of an aware server.
func TestBrokerKitNATS(t *testing.T) {
	t.Parallel()
	n := startNATS(t)
	start := time.Now()
	r := RunBroker(t, Broker{Addr: n.addr(), Aware: true, Restart: func() string {
		n.stop()
		n.start()
		return n.addr()
	}})
	t.Log(time.Since(start))
	r.Explain(t)
	r.Committed(t, "nats-server", "broker")
}

// TestBrokerKitMosquitto asks a compliant server that is not aware, with both protocols.
func TestBrokerKitMosquitto(t *testing.T) {
	t.Parallel()
	for _, v := range []packets.Version{packets.V4, packets.V5} {
		r := RunBroker(t, Broker{Addr: brokertest.StartMosquitto(t).Addr, Version: v})
		r.Healthy(t)
		r.Committed(t, "mosquitto", "broker")
	}
}
