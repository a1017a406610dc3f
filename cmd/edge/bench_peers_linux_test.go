package main

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"edge/broker/brokertest"
)

// peerBroker is a broker in a process of its own.
type peerBroker struct {
	name, address string
	page          string // of the appliance
	pid           int
}

// gauge measures one broker under one load.
type gauge struct {
	broker   *peerBroker
	messages int
	elapsed  time.Duration
	cpu      time.Duration // of the broker
	written  int64         // by the broker, to disk
	syncs    float64
	rss      int64
	took     []time.Duration // latencies of single messages
}

func (m *gauge) measure(load func()) {
	syncs, written, cpu, begun := m.broker.syncs(), m.broker.written(), m.broker.cpu(), time.Now()
	load()
	m.elapsed, m.cpu = time.Since(begun), m.broker.cpu()-cpu
	m.syncs, m.written, m.rss = m.broker.syncs()-syncs, m.broker.written()-written, m.broker.rss()
}

// delivered checks that nothing is missing.
func (m *gauge) delivered(tr *traffic) {
	if m.messages = tr.got; tr.got != tr.want {
		tr.g.t.Fatalf("%d messages of %d", tr.got, tr.want)
	}
}

// cpu is what all threads of the process have used, those that have ended too.
func (p *peerBroker) cpu() time.Duration {
	var used unix.Timespec
	clock := int32(^p.pid<<3 | 2) // the kernel's number of a process's processor clock
	if err := unix.ClockGettime(clock, &used); err != nil {
		return 0
	}
	return time.Duration(used.Nano())
}

func (p *peerBroker) rss() int64 { return p.field("status", "VmRSS:") << 10 }

func (p *peerBroker) written() int64 { return p.field("io", "write_bytes:") }

// syncs are the appliance's flushes of its journal.
func (p *peerBroker) syncs() (n float64) {
	if p.page == "" {
		return 0
	}
	resp, err := http.Get(p.page + "metrics")
	if err != nil {
		return 0
	}
	defer resp.Body.Close()
	text, _ := io.ReadAll(resp.Body)
	if _, rest, found := strings.Cut(string(text), "\nedge_journal_syncs_total "); found {
		fmt.Sscan(rest, &n)
	}
	return n
}

// field is a number that /proc has about the process, 0 without.
func (p *peerBroker) field(file, key string) int64 {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/%s", p.pid, file))
	_, rest, _ := strings.Cut(string(text), key)
	if words := strings.Fields(rest); len(words) > 0 {
		n, _ := strconv.ParseInt(words[0], 10, 64)
		return n
	}
	return 0
}

// benchmarkEdge runs the appliance as packaging/benchmark has it, on free ports.
func benchmarkEdge(t testing.TB, name string, env ...string) *peerBroker {
	t.Helper()
	dir := t.TempDir()
	file := filepath.Join(dir, "edge.yaml")
	text := strings.NewReplacer("127.0.0.1:1883", "127.0.0.1:0", "127.0.0.1:8080", "127.0.0.1:0", "/var/lib/edge-benchmark", filepath.Join(dir, "data")).
		Replace(packaged(t, "benchmark/edge.yaml"))
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	c := start(t, file, env...)
	return &peerBroker{name: name, address: c.mqtt, page: c.page, pid: c.cmd.Process.Pid}
}

// benchmarkMosquitto runs mosquitto as packaging/benchmark has it, on a free port.
func benchmarkMosquitto(t testing.TB, path string) *peerBroker {
	t.Helper()
	file := filepath.Join(t.TempDir(), "mosquitto.conf")
	address := fmt.Sprint("127.0.0.1:", brokertest.HoldPort(t))
	_, port, _ := strings.Cut(address, ":")
	text := strings.Replace(packaged(t, "benchmark/mosquitto.conf"), "listener 1883 ", "listener "+port+" ", 1)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(path, "-c", file)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	eventually(t, patience, "mosquitto listens", func() bool { return dialable(address) })
	return &peerBroker{name: "mosquitto", address: address, pid: cmd.Process.Pid}
}

// BenchmarkPeers puts the same loads on mosquitto and on the appliance, by its event loops and by goroutines, in turn, and prints a
// table. One operation is a whole round: -benchtime 5x is five of them, of which the table has the medians. Every load checks that
// all messages come, once and in order.
func BenchmarkPeers(b *testing.B) {
	path, err := exec.LookPath("mosquitto")
	if err != nil {
		if path, err = exec.LookPath("/usr/sbin/mosquitto"); err != nil {
			fmt.Println("BenchmarkPeers: mosquitto is not here; install it with:", installMosquitto)
			b.SkipNow()
		}
	}
	brokers := []*peerBroker{benchmarkMosquitto(b, path), benchmarkEdge(b, "edge"), benchmarkEdge(b, "goroutines", "EDGE_BROKER_EVENT_LOOPS=0")}
	each := make([]float64, len(brokers)) // while their memory is as they started
	for i, p := range brokers {
		each[i] = idle(b, p, idleClients)
	}
	var table []string
	for _, l := range peerLoads {
		b.Run(l.name, func(b *testing.B) {
			rounds := make([][]*gauge, len(brokers))
			for range b.N {
				for i, p := range brokers {
					rounds[i] = append(rounds[i], round(b, &l, p, 1))
				}
			}
			row := rowOf(l.name, rounds)
			row.report(b)
			if n := len(table); n > 0 && strings.HasPrefix(table[n-1], "| "+l.name+" |") {
				table = table[:n-1] // of fewer rounds
			}
			table = append(table, row.String())
		})
	}
	fmt.Printf("\n%s%s\n\nResident for each of %d idle connections with a subscription, KB: mosquitto %.1f, edge %.1f, by goroutines %.1f\n\n",
		tableHead, strings.Join(table, "\n"), idleClients, each[0], each[1], each[2])
}

const idleClients = 5000

// idle returns how many KB more are resident for each of n clients that have subscribed and say nothing.
func idle(t testing.TB, p *peerBroker, n int) float64 {
	t.Helper()
	g := generate(t, p.address)
	before := p.rss()
	for i := range n {
		g.login(fmt.Sprint("idle", i), true, nil).subscribe(0, []string{fmt.Sprintf("plant/idle%d/+", i)}, nil)
	}
	each := float64(p.rss()-before) / 1024 / float64(n)
	g.leave()
	return each
}

// round puts one load on one broker.
func round(t testing.TB, l *peerLoad, p *peerBroker, scale int) *gauge {
	t.Helper()
	g := generate(t, p.address)
	m := &gauge{broker: p}
	l.run(g, m, scale)
	g.leave()
	return m
}

// row is what is told of one load: the medians of each broker's rounds.
type row struct {
	name                                     string
	rate, cpu, p50, p99, rss, written, syncs []float64 // by broker; cpu and latencies in microseconds
}

func rowOf(name string, rounds [][]*gauge) row {
	r := row{name: name}
	for _, of := range rounds {
		add := func(list *[]float64, value func(m *gauge) float64) {
			all := make([]float64, len(of))
			for i, m := range of {
				all[i] = value(m)
			}
			*list = append(*list, quantile(all, 0.5))
		}
		n := func(m *gauge) float64 { return float64(max(1, m.messages)) }
		add(&r.rate, func(m *gauge) float64 { return n(m) / m.elapsed.Seconds() })
		add(&r.cpu, func(m *gauge) float64 { return m.cpu.Seconds() * 1e6 / n(m) })
		add(&r.rss, func(m *gauge) float64 { return float64(m.rss) / (1 << 20) })
		add(&r.written, func(m *gauge) float64 { return float64(m.written) / n(m) })
		add(&r.syncs, func(m *gauge) float64 { return m.syncs / n(m) })
		add(&r.p50, func(m *gauge) float64 { return quantile(m.took, 0.5) / 1e3 })
		add(&r.p99, func(m *gauge) float64 { return quantile(m.took, 0.99) / 1e3 })
	}
	return r
}

// quantile is that of a list, which it sorts; 0 of none.
func quantile[T float64 | time.Duration](list []T, q float64) float64 {
	if len(list) == 0 {
		return 0
	}
	slices.Sort(list)
	return float64(list[int(q*float64(len(list)-1))])
}

func (r *row) report(b *testing.B) {
	for i, name := range []string{"mosquitto", "edge", "goroutines"} {
		b.ReportMetric(r.rate[i], name+"-msg/s")
		b.ReportMetric(r.cpu[i], name+"-cpu-us/msg")
	}
	b.ReportMetric(r.rate[1]/r.rate[0], "x-rate")
	b.ReportMetric(r.cpu[1]/r.cpu[0], "x-cpu")
	b.ReportMetric(0, "ns/op") // a round is no figure
}

const tableHead = "" +
	"| load (MQTT 3.1.1, 128 B) | messages/s: mosquitto | edge | by goroutines | edge : mosquitto " +
	"| CPU us/message: mosquitto | edge | by goroutines | edge : mosquitto | p50, p99 us: mosquitto | edge | by goroutines " +
	"| MB resident: mosquitto | edge | by goroutines | written B, syncs a message: edge |\n" +
	"|---" + "|--:|--:|--:|--:" + "|--:|--:|--:|--:" + "|--:|--:|--:" + "|--:|--:|--:" + "|--:|\n"

// String is a line of the table. A rate that was given is no figure.
func (r row) String() string {
	var s strings.Builder
	fmt.Fprintf(&s, "| %s ", r.name)
	for _, v := range r.rate {
		fmt.Fprintf(&s, "| %.0f ", v)
	}
	fmt.Fprintf(&s, "| %.2f x ", r.rate[1]/r.rate[0])
	for _, v := range r.cpu {
		fmt.Fprintf(&s, "| %.2f ", v)
	}
	fmt.Fprintf(&s, "| %.2f x ", r.cpu[1]/r.cpu[0])
	for i := range r.p50 {
		if r.p99[i] == 0 {
			s.WriteString("| ")
		} else {
			fmt.Fprintf(&s, "| %.0f, %.0f ", r.p50[i], r.p99[i])
		}
	}
	for _, v := range r.rss {
		fmt.Fprintf(&s, "| %.0f ", v)
	}
	fmt.Fprintf(&s, "| %.0f, %.4f |", r.written[1], r.syncs[1])
	return s.String()
}

// TestPeerLoads puts every load of the benchmark on the appliance, a fiftieth of it: all messages come, once and in order, by both
// paths, and the configuration of the benchmark is a good one.
func TestPeerLoads(t *testing.T) {
	loaded, err := loadConfig(filepath.Join("..", "..", "packaging", "benchmark", "edge.yaml"), nil, nil)
	if err != nil || len(loaded.Warnings) > 0 {
		t.Fatalf("%v, warnings %v", err, loaded.Warnings)
	}
	for _, p := range []*peerBroker{benchmarkEdge(t, "edge"), benchmarkEdge(t, "goroutines", "EDGE_BROKER_EVENT_LOOPS=0")} {
		idle(t, p, 20)
		for _, l := range peerLoads {
			t.Run(p.name+"/"+l.name, func(t *testing.T) {
				if m := round(t, &l, p, 50); m.messages == 0 || m.cpu <= 0 || m.rss <= 0 {
					t.Errorf("measured %+v", m)
				}
			})
		}
		if p.syncs() == 0 {
			t.Errorf("%s tells of no syncs", p.name)
		}
	}
}
