package server

import (
	"context"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"

	"edge/broker/brokertest"
	"edge/broker/router"
	"edge/broker/store"
	"edge/historian/journal"
)

// onDisk is a broker with its real store: what it finds after a restart is what was written.
type onDisk struct {
	rig
	dir  string
	stop func() // everything
}

func (d *onDisk) open() {
	d.t.Helper()
	j, err := journal.Open(filepath.Join(d.dir, "journal"), journal.Options{SegmentBytes: 64 << 10, Spares: -1})
	if err != nil {
		d.t.Fatal(err)
	}
	s, err := store.Open(filepath.Join(d.dir, "broker.db"), j, store.Options{})
	if err != nil {
		d.t.Fatal(err)
	}
	sessions, retained, err := s.Load()
	if err != nil {
		d.t.Fatal(err)
	}
	var running sync.WaitGroup
	run := func(part func(context.Context) error) (stop func()) {
		ctx, cancel := context.WithCancel(context.Background())
		running.Go(func() {
			if err := part(ctx); err != nil {
				d.t.Error(err)
			}
		})
		return cancel
	}
	stopJournal, stopStore := run(j.Run), run(s.Run)
	d.router = router.New(router.Options{Store: s, Retained: retained})
	d.Server = New(Options{Router: d.router, Store: s, Durable: s, Sessions: sessions})
	d.stop = func() {
		d.rig.stop()
		stopStore()
		synctest.Wait() // for its last checkpoint
		stopJournal()
		running.Wait()
		if err := s.Close(); err != nil {
			d.t.Error(err)
		}
		if err := j.Close(); err != nil {
			d.t.Error(err)
		}
	}
}

// restart ends the broker in order and starts it on its files.
func (d *onDisk) restart() {
	d.stop()
	d.open()
}

// kill starts a broker on the files as they are now; what the first one does when it ends is not in them.
func (d *onDisk) kill() {
	dir := d.t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(d.dir)); err != nil {
		d.t.Fatal(err)
	}
	d.stop()
	d.dir = dir
	d.open()
}

// TestScriptsOnDisk runs the conversations that restart the broker with its real store, stopped and killed.
func TestScriptsOnDisk(t *testing.T) {
	for name, restart := range map[string]func(*onDisk){"stopped": (*onDisk).restart, "killed": (*onDisk).kill} {
		t.Run(name, func(t *testing.T) {
			bubble := func(t *testing.T, run func(*testing.T)) { synctest.Test(t, run) }
			brokertest.RunIn(t, "testdata/restart*.txt", bubble, func(t *testing.T) brokertest.Broker {
				d := &onDisk{rig: rig{t: t}, dir: t.TempDir()}
				d.open()
				t.Cleanup(func() { d.stop() })
				return brokertest.Broker{Dial: d.dial, Advance: pass, Restart: func() { restart(d) }}
			})
		})
	}
}
