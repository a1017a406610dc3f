package main

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/eclipse/paho.golang/packets"
	"github.com/eclipse/paho.golang/paho"
	mqtt "github.com/eclipse/paho.mqtt.golang"
)

// smallDisk mounts a disk of its own until the test ends, or skips.
func smallDisk(t *testing.T, size string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	if err := syscall.Mount("edge-test", dir, "tmpfs", 0, "size="+size); err != nil {
		t.Skipf("a small disk cannot be mounted (%v); run the test as root, in a container with CAP_SYS_ADMIN", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Errorf("unmount %s: %v", dir, err)
		}
	})
	return dir
}

// fill takes all space that is left on the disk; the file it returns holds it.
func fill(t *testing.T, dir string) (file string) {
	t.Helper()
	file = filepath.Join(dir, "filler")
	f, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	chunk := make([]byte, 64<<10)
	for err == nil {
		_, err = f.Write(chunk)
	}
	if !errors.Is(err, syscall.ENOSPC) {
		t.Fatal(err)
	}
	return file
}

// v5 is a 5.0 client, which is told why.
func (c *child) v5(id string) *paho.Client {
	c.t.Helper()
	conn, err := net.Dial("tcp", c.mqtt)
	if err != nil {
		c.t.Fatal(err)
	}
	client := paho.NewClient(paho.ClientConfig{Conn: packets.NewThreadSafeConn(conn), PacketTimeout: patience})
	if _, err := client.Connect(c.t.Context(), &paho.Connect{ClientID: id, CleanStart: true, KeepAlive: 60}); err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() { conn.Close() })
	return client
}

// ready asks /readyz.
func (c *child) ready() (bool, string) {
	c.t.Helper()
	resp, err := http.Get(c.page + "readyz")
	if err != nil {
		c.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, _ := io.ReadAll(resp.Body)
	var answer struct{ Ready bool }
	if err := json.Unmarshal(body, &answer); err != nil || answer.Ready != (resp.StatusCode == http.StatusOK) {
		c.t.Fatalf("readyz: %s %s", resp.Status, body)
	}
	return answer.Ready, string(body)
}

// live is the value that the page shows for the node's metric.
func (c *child) live() string {
	c.t.Helper()
	var all struct {
		Metrics []struct{ Name, Value string }
	}
	c.get("api/v1/metrics?group=Crash&node=n&limit=10", &all)
	for _, m := range all.Metrics {
		if m.Name == "Count" {
			return m.Value
		}
	}
	return ""
}

// TestDiskFull: on a full disk live data goes on, what cannot be kept is not acknowledged, /readyz says why; with space
// again all is well by itself, and what was lost meanwhile is a gap that is told.
func TestDiskFull(t *testing.T) {
	t.Parallel()
	disk := smallDisk(t, "128m")
	c := start(t, configure(t, disk, `
broker:
  listeners: [{name: plant, address: "127.0.0.1:0", anonymous: true}]
  limits: {queue_messages: 0, queue_bytes: 0}
`))
	away := c.connect("away", false)
	c.must(away.Subscribe("queue/#", 1, nil))
	away.Disconnect(100)
	c.logs(`client disconnected.* client=away`)
	node := c.node("n", 0)
	heard := make(chan string, 100)
	c.must(c.connect("listener", true).Subscribe("live", 0, func(_ mqtt.Client, m mqtt.Message) { heard <- string(m.Payload()) }))
	live := c.connect("speaker", true)
	deaths := make(chan string, 10)
	c.must(c.connect("scada", true).Subscribe("spBv1.0/Crash/NDEATH/#", 1, func(_ mqtt.Client, m mqtt.Message) { deaths <- m.Topic() }))
	keeper := c.connect("keeper", false) // for it a death has to be stored
	c.must(keeper.Subscribe("spBv1.0/Crash/NDEATH/kept", 1, nil))
	keeper.Disconnect(100)
	dying := []*edgeNode{c.node("dying", 0), c.node("kept", 0)}

	full := fill(t, disk)
	publisher := c.v5("publisher")
	publish := func() error {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		answer, err := publisher.Publish(ctx, &paho.Publish{Topic: "queue/a", QoS: 1, Payload: make([]byte, 512<<10)})
		if err == nil && answer != nil && answer.ReasonCode >= 0x80 {
			t.Fatalf("refused with 0x%02x and no error", answer.ReasonCode)
		}
		return err
	}
	acked := 0
	var why string
	eventually(t, patience, "/readyz says that the disk is full", func() bool {
		for publish() == nil { // or it was slow
			if acked++; acked > 250 {
				t.Fatal("125 MiB are acknowledged on a full disk of 128 MiB")
			}
		}
		ready, said := c.ready()
		why = said
		return !ready && strings.Contains(said, "no space left on device")
	})
	t.Logf("after %d acknowledged messages of 512 KiB: %s", acked, why)
	for i := range int64(3) {
		if err := publish(); err == nil {
			t.Error("a message for a session on disk is acknowledged on a full disk")
		}
		live.Publish("live", 0, false, "hello")
		select {
		case <-heard:
		case <-time.After(patience):
			t.Fatal("QoS 0 is not served on a full disk")
		}
		c.must(node.data(0, 1000+i))
	}
	eventually(t, patience, "live values are shown on a full disk", func() bool { return c.live() == "1002" })
	for _, n := range dying {
		n.cut()
		select {
		case topic := <-deaths:
			if !strings.HasSuffix(topic, "/"+n.name) {
				t.Errorf("%s died, the subscriber hears of %s", n.name, topic)
			}
		case <-time.After(patience):
			t.Errorf("nobody hears of the death of %s on a full disk", n.name)
		}
	}

	if err := os.Remove(full); err != nil {
		t.Fatal(err)
	}
	eventually(t, patience, "it is ready again", func() bool { ready, _ := c.ready(); return ready })
	eventually(t, patience, "messages are acknowledged again", func() bool {
		if publisher = c.v5("publisher"); publish() != nil {
			return false
		}
		acked++
		return true
	})
	c.must(node.data(1, 2000))
	type event struct {
		Group, Node, Reason string
		Count               uint64
	}
	var gaps []event
	eventually(t, patience, "the gap is told", func() bool {
		var answer json.RawMessage
		c.get("api/v1/events?kind=gap", &answer)
		var list struct{ Events []event }
		if json.Unmarshal(answer, &list) != nil {
			t.Fatalf("events: %s", answer)
		}
		gaps = list.Events
		return len(gaps) > 0
	})
	for _, n := range dying {
		var answer struct{ Events []event }
		if c.get("api/v1/events?kind=node_death&node="+n.name, &answer); len(answer.Events) != 1 {
			t.Errorf("the death of %s is recorded as %+v, want one event", n.name, answer.Events)
		}
	}
	if g := gaps[0]; g.Node != "n" || g.Count == 0 || g.Count > 3 || !strings.Contains(g.Reason, "disk full") {
		t.Errorf("the gap is %+v, want at most 3 samples of node n", g)
	}
	kept := map[int64]bool{}
	eventually(t, patience, "samples are recorded again", func() bool {
		for _, p := range c.history("n", "Count") {
			kept[number(t, p)] = true
		}
		return kept[2000]
	})
	lost := 0
	for i := range int64(3) {
		if !kept[1000+i] {
			lost++
		}
	}
	if uint64(lost) != gaps[0].Count {
		t.Errorf("%d samples are missing, the gap tells %d", lost, gaps[0].Count)
	}

	got := make(chan struct{}, 1000)
	c.connect("away", false, func(o *mqtt.ClientOptions) {
		o.SetDefaultPublishHandler(func(mqtt.Client, mqtt.Message) { got <- struct{}{} })
	})
	eventually(t, patience, "every acknowledged message arrives", func() bool { return len(got) >= acked })
}

// TestStartOnFullDisk: a disk that was filled while the program was down, and while it ends, does not keep the plant from its
// broker: SIGTERM still says STATE offline, the next start serves, says what is wrong, and recovers when there is space.
func TestStartOnFullDisk(t *testing.T) {
	t.Parallel()
	disk := smallDisk(t, "96m")
	config := configure(t, disk, "")
	c := start(t, config)
	node := c.node("n", 0)
	c.must(node.data(1, 1))
	c.stop()
	full := fill(t, disk)

	c = start(t, config)
	heard := make(chan string, 100)
	c.must(c.connect("listener", true).Subscribe("#", 0, func(_ mqtt.Client, m mqtt.Message) { heard <- m.Topic() + " " + string(m.Payload()) }))
	c.must(c.connect("speaker", true).Publish("live", 0, false, "hello"))
	hears := func(want string) func() bool {
		return func() bool {
			for {
				select {
				case line := <-heard:
					if strings.Contains(line, want) {
						return true
					}
				default:
					return false
				}
			}
		}
	}
	eventually(t, patience, "QoS 0 is served", hears("live hello"))
	if all := c.history("n", "Count"); len(all) != 2 {
		t.Errorf("the history has %v, want both samples", all)
	}
	c.signal(syscall.SIGTERM)
	eventually(t, patience, "STATE offline is said on a full disk", hears("spBv1.0/STATE/edge {\"online\":false"))
	c.exit()

	if err := os.Remove(full); err != nil {
		t.Fatal(err)
	}
	c = start(t, config)
	c.must(c.node("n", 2).data(1, 3))
	eventually(t, patience, "the sample is recorded", func() bool { return len(c.history("n", "Count")) == 4 })
	c.stop()
}
