package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"edge/historian/journal"
	"edge/sparkplug"
)

// When the births that are kept for the next start take all their room, those that were received longest ago make room, a node with its devices.
func TestOldBirthsMakeRoom(t *testing.T) {
	b, j := openBirths(t, journal.Options{})
	now := time.UnixMilli(1_700_000_000_000)
	born := func(node, device string, bytes int) {
		t.Helper()
		e := &sparkplug.Event{Kind: sparkplug.NodeBorn, Group: "G", Node: node, Device: device, Payload: make([]byte, bytes)}
		if device != "" {
			e.Kind = sparkplug.DeviceBorn
		}
		now = now.Add(time.Second)
		b.remember([]sparkplug.Record{{Event: e}}, now, slog.New(slog.NewTextHandler(testWriter{t}, nil)))
		if err := j.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	const large = 1 << 20
	born("first", "", 10)
	born("first", "D", 10)
	for i := range 63 {
		born(fmt.Sprintf("n%02d", i), "", large)
	}
	born("first", "", 10) // again: it is not the oldest any more
	born("n00", "D", 10)
	born("n63", "", large)
	has := func(topic string) bool { _, ok := b.kept.Get(topic); return ok }
	for topic, want := range map[string]bool{
		"spBv1.0/G/NBIRTH/first": true, "spBv1.0/G/DBIRTH/first/D": false, "spBv1.0/G/NBIRTH/n00": false, "spBv1.0/G/DBIRTH/n00/D": false,
		"spBv1.0/G/NBIRTH/n01": true, "spBv1.0/G/NBIRTH/n63": true,
	} {
		if has(topic) != want {
			t.Errorf("%s is kept: %v, want %v", topic, !want, want)
		}
	}
	before := len(b.kept.Keys(""))
	b.forget([]sparkplug.Topic{{Type: sparkplug.NBIRTH, Group: "G", Node: "n01"}}, slog.Default())
	if n := len(b.kept.Keys("")); n != before-1 || len(b.known) != n || has("spBv1.0/G/NBIRTH/n01") {
		t.Errorf("%d births are kept, %d known, after one of %d was forgotten", n, len(b.known), before)
	}
	if strings.Contains(fmt.Sprint(b.known), "n00") {
		t.Error("what made room is still known")
	}
}

// A birth that no journal takes, however much room there is, costs no other its place.
func TestTooLargeBirthMakesNoRoom(t *testing.T) {
	b, _ := openBirths(t, journal.Options{MaxBuffered: 64 << 10})
	if err := b.put("spBv1.0/G/NBIRTH/small", make([]byte, 100), 1); err != nil {
		t.Fatal(err)
	}
	if err := b.put("spBv1.0/G/NBIRTH/large", make([]byte, 128<<10), 2); err == nil {
		t.Error("a birth that is larger than a commit is kept")
	}
	if _, ok := b.kept.Get("spBv1.0/G/NBIRTH/small"); !ok {
		t.Error("another birth made room in vain")
	}
}

// openBirths keeps births over a journal that runs until the test ends.
func openBirths(t *testing.T, o journal.Options) (births, *journal.Journal) {
	t.Helper()
	j, err := journal.Open(t.TempDir(), o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- j.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := errors.Join(<-ended, j.Close()); err != nil {
			t.Error(err)
		}
	})
	kept, err := journal.OpenState(j, "births", t.TempDir()+"/births")
	if err != nil {
		t.Fatal(err)
	}
	return births{kept: kept}, j
}
