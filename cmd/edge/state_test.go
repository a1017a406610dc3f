package main

import (
	"context"
	"errors"
	"maps"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	mqtt "github.com/eclipse/paho.mqtt.golang"

	"edge/historian/journal"
	"edge/sparkplug"
)

// stateWatch is a client that looks at the STATE topics, as an edge node that waits for its primary host does.
type stateWatch struct {
	mqtt.Client
	mu   sync.Mutex
	seen map[string][]sparkplug.HostState // by host id
	old  map[string]string                // by host id, in the form of 2.2
}

func watchState(t *testing.T, address string) *stateWatch {
	t.Helper()
	w := &stateWatch{seen: map[string][]sparkplug.HostState{}, old: map[string]string{}}
	w.Client = mqtt.NewClient(mqtt.NewClientOptions().AddBroker("tcp://" + address).SetClientID("watch").SetAutoReconnect(false))
	c := &child{t: t}
	c.must(w.Connect())
	t.Cleanup(func() { w.Disconnect(0) })
	c.must(w.SubscribeMultiple(map[string]byte{"spBv1.0/STATE/+": 1, "STATE/+": 1}, func(_ mqtt.Client, m mqtt.Message) {
		w.mu.Lock()
		defer w.mu.Unlock()
		if len(m.Payload()) == 0 {
			return // taken away; what follows tells
		}
		if topic, err := sparkplug.ParseTopic(m.Topic()); err == nil {
			s, err := sparkplug.ParseState(m.Payload())
			if err != nil {
				t.Errorf("%s: %s: %v", m.Topic(), m.Payload(), err)
			}
			w.seen[topic.Host] = append(w.seen[topic.Host], s)
		} else {
			w.old[m.Topic()[len(sparkplug.LegacyState):]] = string(m.Payload())
		}
	}))
	return w
}

// both returns what has come so far.
func (w *stateWatch) both() (seen map[string][]sparkplug.HostState, old map[string]string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return maps.Clone(w.seen), maps.Clone(w.old)
}

// wait returns the newest STATE of a host once it is online or not.
func (w *stateWatch) wait(t *testing.T, id string, online bool) (newest sparkplug.HostState) {
	t.Helper()
	eventually(t, patience, "STATE of "+id, func() bool {
		w.mu.Lock()
		defer w.mu.Unlock()
		all := w.seen[id]
		if len(all) > 0 {
			newest = all[len(all)-1]
		}
		return len(all) > 0 && newest.Online == online
	})
	return newest
}

// TestStateLife: what an edge node sees of our STATE over a start, SIGTERM, kill -9 and ids that are taken out of the configuration:
// online from the first moment that it can look, offline before it is cut off, and timestamps that never go back.
// [tck-id-operational-behavior-host-application-termination] [tck-id-host-topic-phid-birth-message]
// [tck-id-host-topic-phid-death-payload-timestamp-disconnect-clean] [tck-id-host-topic-phid-birth-required]
func TestStateLife(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	config := configure(t, dir, "sparkplug: {host_id: edge, extra_host_ids: [scada], legacy_state: true}\n")
	c := start(t, config)
	w := watchState(t, c.mqtt)
	first := w.wait(t, "edge", true)
	if scada := w.wait(t, "scada", true); scada != first {
		t.Errorf("edge is %+v, scada %+v", first, scada)
	}
	c.signal(syscall.SIGTERM)
	ended := w.wait(t, "edge", false)
	if ended.Timestamp <= first.Timestamp || c.exit() != exitOK {
		t.Errorf("offline at %d, online at %d", ended.Timestamp, first.Timestamp)
	}
	eventually(t, patience, "OFFLINE in the form of 2.2", func() bool {
		_, old := w.both()
		return old["edge"] == "OFFLINE" && old["scada"] == "OFFLINE"
	})
	if seen, _ := w.both(); len(seen["edge"]) != 2 {
		t.Errorf("%+v", seen)
	}

	c = start(t, config)
	w = watchState(t, c.mqtt)
	second := w.wait(t, "edge", true)
	if seen, _ := w.both(); second.Timestamp <= ended.Timestamp || len(seen["edge"]) != 1 {
		t.Errorf("after SIGTERM %+v, the last was %+v", seen["edge"], ended)
	}
	c.kill() // says nothing: online stays kept

	config = configure(t, dir, "sparkplug: {host_id: edge}\n")
	c = start(t, config)
	w = watchState(t, c.mqtt)
	third := w.wait(t, "edge", true)
	if seen, _ := w.both(); third.Timestamp <= second.Timestamp || len(seen["edge"]) != 1 {
		t.Errorf("after kill -9 %+v, the last was %+v", seen["edge"], second)
	}
	w.wait(t, "scada", false) // nobody answers for it any more

	other := c.connect("other", true) // takes us for dead
	for _, payload := range []string{`{"online":false,"timestamp":1}`, ""} {
		c.must(other.Publish("spBv1.0/STATE/edge", 1, true, payload))
		eventually(t, patience, "our STATE is online again", func() bool {
			late := watchState(t, c.mqtt)
			defer late.Disconnect(0)
			return late.wait(t, "edge", true) == third
		})
	}
	c.stop()
}

// TestStateUnwritableJournal: after a crash, and while the journal takes nothing, an edge node may connect and sees us offline,
// with the timestamp of our last birth as our will would have had; online with a newer one when the journal can write.
func TestStateUnwritableJournal(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	c := start(t, configure(t, dir, ""))
	before := watchState(t, c.mqtt).wait(t, "edge", true)
	c.kill()

	disk := &stuckDisk{}
	cfg := defaultConfig()
	cfg.Data = filepath.Join(dir, "data")
	cfg.Broker.Listeners[0].Address, cfg.HTTP.Address = "127.0.0.1:0", "127.0.0.1:0"
	app, err := NewApp(&cfg, testLog(t), appOptions{tuneJournal: func(o *journal.Options) { o.Files = disk }})
	if err != nil {
		t.Fatal(err)
	}
	disk.full.Store(true)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- app.Run(ctx) }()
	w := watchState(t, app.MQTTAddr())
	if s := w.wait(t, "edge", false); s.Timestamp != before.Timestamp {
		t.Errorf("offline at %d, want the will's %d", s.Timestamp, before.Timestamp)
	}
	disk.full.Store(false)
	if s := w.wait(t, "edge", true); s.Timestamp <= before.Timestamp {
		t.Errorf("online at %d, before it was %d", s.Timestamp, before.Timestamp)
	}
	cancel()
	w.wait(t, "edge", false)
	if err := errors.Join(<-ended, app.Close()); err != nil {
		t.Error(err)
	}
}

// stuckDisk is a disk that takes nothing while it is full.
type stuckDisk struct {
	journal.OS
	full atomic.Bool
}

func (d *stuckDisk) Open(name string, flag int) (journal.File, error) {
	f, err := d.OS.Open(name, flag)
	if err != nil {
		return nil, err
	}
	return &stuckFile{f, d}, nil
}

type stuckFile struct {
	journal.File
	disk *stuckDisk
}

func (f *stuckFile) WriteAt(b []byte, at int64) (int, error) {
	if f.disk.full.Load() {
		return 0, syscall.ENOSPC
	}
	return f.File.WriteAt(b, at)
}
