package store

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/google/go-cmp/cmp"

	"edge/broker"
	"edge/broker/session"
)

var rewrite = flag.Bool("rewrite", false, "write the golden files anew; only with a new format version")

func golden(t *testing.T, name string, got []byte) []byte {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *rewrite {
		if err := os.WriteFile(path, got, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(want, got) {
		t.Errorf("%s: the encoder writes other bytes than it did: that needs a new format version", name)
	}
	return want
}

func TestGolden(t *testing.T) {
	changes := append(everyChange("c1"), session.Change{Kind: session.Connected, ClientID: "c1", User: "bert", Protocol: 4, At: noon},
		session.Change{Kind: session.WillCleared, ClientID: "c1"}, session.Change{Kind: session.Ended, ClientID: "c1"})
	got, _, err := decodeRecord(golden(t, "golden.changes", encodeChanges(changes)))
	if diff := cmp.Diff(changes, got, same...); diff != "" || err != nil {
		t.Errorf("changes: %v (-want +got):\n%s", err, diff)
	}

	twin := map[string]*session.Snapshot{}
	apply(twin, everyChange("c1"))
	want := *twin["c1"]
	header, err := decodeHeader(golden(t, "golden.header", appendHeader(nil, &want)))
	if err != nil {
		t.Fatal(err)
	}
	for i := range want.Entries {
		e, err := decodeStored(appendStored(nil, &want.Entries[i]))
		if err != nil {
			t.Fatal(err)
		}
		header.Entries = append(header.Entries, *e)
	}
	if diff := cmp.Diff(&want, header, same...); diff != "" {
		t.Errorf("header and entries (-want +got):\n%s", diff)
	}

	m := everyChange("c1")[1].Will.Message
	_, retained, err := decodeRecord(golden(t, "golden.retained", encodeRetained(m)))
	if diff := cmp.Diff(m, retained); diff != "" || err != nil { // field by field: the comparison above trusts the encoder
		t.Errorf("retained: %v (-want +got):\n%s", err, diff)
	}
}

// TestVersion1 reads what the first version wrote.
func TestVersion1(t *testing.T) {
	var changes []session.Change
	for _, c := range everyChange("c1") {
		if c.Kind < session.Replaying && (c.Kind != session.Enqueued || c.Entry.Shared == "") {
			changes = append(changes, c)
		}
	}
	twin := map[string]*session.Snapshot{}
	apply(twin, changes)
	read := func(name string) []byte {
		b, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	header, err := decodeHeader(read("v1.header"))
	if err != nil {
		t.Fatal(err)
	}
	header.Entries = twin["c1"].Entries
	if diff := cmp.Diff(twin["c1"], header, same...); diff != "" {
		t.Errorf("header (-want +got):\n%s", diff)
	}
	got, _, err := decodeRecord(read("v1.changes"))
	if err != nil || len(got) < len(changes) {
		t.Fatalf("%d changes: %v", len(got), err)
	}
	if diff := cmp.Diff(changes, got[:len(changes)], same...); diff != "" {
		t.Errorf("changes (-want +got):\n%s", diff)
	}
}

// FuzzRecord reads any bytes as a record, and what reads comes back from what is written of it.
func FuzzRecord(f *testing.F) {
	f.Add(encodeChanges(everyChange("c1")))
	f.Add(encodeRetained(message("t", "payload")))
	f.Fuzz(func(t *testing.T, b []byte) {
		checkAllocated(t, b, func() { decodeRecord(b) })
		changes, retained, err := decodeRecord(b)
		if err != nil {
			return
		}
		w := newWorld(nil)
		if err := w.apply(b); err != nil {
			t.Fatal("reads and does not apply:", err)
		}
		var again []session.Change
		var same2 *broker.Message
		if retained != nil {
			_, same2, err = decodeRecord(encodeRetained(retained))
		} else {
			again, _, err = decodeRecord(encodeChanges(changes))
		}
		if err != nil || len(again) != len(changes) || !cmp.Equal(retained, same2, same...) {
			t.Fatal("does not come back:", err)
		}
	})
}

// FuzzHeader reads any bytes as a session's header and as an entry.
func FuzzHeader(f *testing.F) {
	twin := map[string]*session.Snapshot{}
	apply(twin, everyChange("c1"))
	f.Add(appendHeader(nil, twin["c1"]))
	f.Add(appendStored(nil, &twin["c1"].Entries[0]))
	f.Fuzz(func(t *testing.T, b []byte) {
		checkAllocated(t, b, func() { decodeHeader(b) })
		checkAllocated(t, b, func() { decodeStored(b) })
		if s, err := decodeHeader(b); err == nil {
			if again, err := decodeHeader(appendHeader(nil, s)); err != nil || !cmp.Equal(s, again, same...) {
				t.Fatal("header does not come back:", err)
			}
		}
		if e, err := decodeStored(b); err == nil {
			if again, err := decodeStored(appendStored(nil, e)); err != nil || !cmp.Equal(e, again, same...) {
				t.Fatal("entry does not come back:", err)
			}
		}
	})
}

// checkAllocated: what a decoder allocates follows the bytes that are there, never a number that they claim.
func checkAllocated(t *testing.T, b []byte, decode func()) {
	least := uint64(1 << 62)
	var before, after runtime.MemStats
	for range 3 { // other goroutines allocate too
		runtime.ReadMemStats(&before)
		decode()
		runtime.ReadMemStats(&after)
		least = min(least, after.TotalAlloc-before.TotalAlloc)
	}
	if least > 128*uint64(len(b))+4096 {
		t.Fatalf("%d bytes allocated for %d", least, len(b))
	}
}
