package store

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	bolt "go.etcd.io/bbolt"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"edge/broker/session"
	"edge/historian/journal"
)

// filled is a folder with a broker.db of two checkpoints, many pages, and a journal that has all of it, too.
func filled(t testing.TB, dir string) map[string]*session.Snapshot {
	t.Helper()
	twin := map[string]*session.Snapshot{}
	r := start(t, dir)
	for n := range 60 {
		id := fmt.Sprintf("client %d", n)
		changes := everyChange(id)
		for i := range 5 {
			m := message("big", strings.Repeat("x", 100*n))
			changes = append(changes, session.Change{Kind: session.Enqueued, ClientID: id, Entry: &session.Entry{Seq: uint64(10 + i), Message: m, QoS: 1}})
		}
		r.save(changes...)
		apply(twin, changes)
		if n == 30 || n == 59 {
			if err := r.store.Checkpoint(); err != nil {
				t.Fatal(err)
			}
		}
	}
	r.close()
	return twin
}

func TestDamagedFileIsMovedAside(t *testing.T) {
	tests := []struct {
		name   string
		damage func(b []byte) []byte
	}{
		{"empty", func(b []byte) []byte { return nil }},
		{"no bolt file", func(b []byte) []byte { return []byte(strings.Repeat("not bolt ", 5000)) }},
		{"both meta pages", func(b []byte) []byte { b[100], b[pageBytes+20] = 1, 1; clear(b[16:80]); return b }},
		{"truncated", func(b []byte) []byte { return b[:len(b)/3] }},
		{"all pages but the meta pages zeroed", func(b []byte) []byte { clear(b[2*pageBytes:]); return b }},
		{"all pages but the meta pages garbage", func(b []byte) []byte {
			for i := 2 * pageBytes; i < len(b); i++ {
				b[i] ^= 0xA5
			}
			return b
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			r := start(t, dir)
			twin := map[string]*session.Snapshot{}
			changes := everyChange("c1")
			r.save(changes...)
			apply(twin, changes)
			if err := r.store.Checkpoint(); err != nil {
				t.Fatal(err)
			}
			r.close()
			b, err := os.ReadFile(r.db())
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(r.db(), tt.damage(b), 0o600); err != nil {
				t.Fatal(err)
			}
			r = start(t, dir)
			rec := r.store.Recovered()
			if rec.Quarantined == "" || rec.Reason == "" || rec.Checkpoint != 0 {
				t.Errorf("recovery: %+v", rec)
			}
			if _, err := os.Stat(rec.Quarantined); err != nil {
				t.Error(err)
			}
			sessions, _ := r.load()
			if diff := cmp.Diff(snapshots(twin), sessions, same...); diff != "" {
				t.Errorf("what the journal has (-want +got):\n%s", diff)
			}
			if err := r.store.Checkpoint(); err != nil {
				t.Error("checkpoint into the new file:", err)
			}
			r.close()
		})
	}
}

// A folder in the place of the file is moved aside as a damaged file is.
func TestFolderInItsPlaceIsMovedAside(t *testing.T) {
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "broker.db", "x"), 0o700); err != nil {
		t.Fatal(err)
	}
	r := start(t, dir)
	if rec := r.store.Recovered(); rec.Quarantined == "" || rec.Reason == "" {
		t.Errorf("recovery: %+v", rec)
	}
	r.save(everyChange("c1")...)
	if err := r.store.Checkpoint(); err != nil {
		t.Error("checkpoint into the new file:", err)
	}
	r.close()
}

// A file that is missing is told of if the journal no longer has what was in it.
func TestMissingFileIsTold(t *testing.T) {
	for name, recycled := range map[string]bool{"the journal has all": false, "the journal's oldest segment is recycled": true} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			r := start(t, dir)
			for n := range uint64(6) { // more than a segment
				m := message("big", strings.Repeat("x", 12_000))
				r.save(session.Change{Kind: session.Enqueued, ClientID: "c1", Entry: &session.Entry{Seq: n + 1, Message: m, QoS: 1}})
			}
			r.close()
			if err := os.Remove(filepath.Join(dir, "broker.db")); err != nil {
				t.Fatal(err)
			}
			segments, err := filepath.Glob(filepath.Join(dir, "journal", "*.seg"))
			if err != nil || len(segments) < 2 {
				t.Fatalf("%v, %v", segments, err)
			}
			if recycled {
				if err := os.Remove(segments[0]); err != nil {
					t.Fatal(err)
				}
			}
			r = start(t, dir)
			if rec := r.store.Recovered(); (rec.Reason != "") != recycled || rec.Quarantined != "" {
				t.Errorf("recovery: %+v", rec)
			}
			r.close()
		})
	}
}

// TestLatestTransactionTakenBack damages a page that only the latest checkpoint wrote: the one before it counts again, and
// the journal, which keeps what is above it, makes up for the rest.
func TestLatestTransactionTakenBack(t *testing.T) {
	dir := t.TempDir()
	twin := filled(t, dir)
	path := filepath.Join(dir, "broker.db")
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	metas := readMetas(f)
	f.Close()
	b, err := os.ReadFile(path)
	if err != nil || len(metas) != 2 {
		t.Fatalf("%d meta pages, %v", len(metas), err)
	}
	clear(b[metas[0].root*pageBytes:][:pageBytes]) // the root of the newer tree
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	r := start(t, dir)
	if rec := r.store.Recovered(); rec.Quarantined != "" || rec.Checkpoint != 31 {
		t.Errorf("recovery: %+v, want the checkpoint at record 31", rec)
	}
	sessions, _ := r.load()
	if diff := cmp.Diff(snapshots(twin), sessions, same...); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	r.close()
}

// TestOpenSurvivesAnything damages broker.db at random places. bbolt would bring this process down on some of these files;
// behind verify it never does, and what comes back had been stored.
func TestOpenSurvivesAnything(t *testing.T) {
	base := t.TempDir()
	twin := filled(t, base)
	pristine, err := os.ReadFile(filepath.Join(base, "broker.db"))
	if err != nil {
		t.Fatal(err)
	}
	rapid.Check(t, func(rt *rapid.T) {
		dir, err := os.MkdirTemp(base, "round")
		if err != nil {
			rt.Fatal(err)
		}
		defer os.RemoveAll(dir)
		b := mutate(rt, bytes.Clone(pristine))
		if err := os.WriteFile(filepath.Join(dir, "broker.db"), b, 0o600); err != nil {
			rt.Fatal(err)
		}
		j, err := journal.Open(filepath.Join(dir, "journal"), journalOptions)
		if err != nil {
			rt.Fatal(err)
		}
		s, err := Open(filepath.Join(dir, "broker.db"), j, Options{noSync: true})
		if err != nil {
			rt.Fatal(err)
		}
		sessions, _, err := s.Load()
		if err != nil {
			rt.Fatal(err)
		}
		for _, got := range sessions {
			want := twin[got.ClientID]
			if want == nil {
				rt.Fatalf("session %q was never stored", got.ClientID)
			}
			for _, e := range got.Entries {
				i := slices.IndexFunc(want.Entries, func(w session.Entry) bool { return w.Seq == e.Seq })
				if i < 0 || !bytes.Equal(appendStored(nil, &want.Entries[i]), appendStored(nil, &e)) {
					rt.Fatalf("entry %d of %q was never stored", e.Seq, got.ClientID)
				}
			}
		}
		if err := s.Checkpoint(); err != nil { // writes the index, if nothing else
			rt.Fatal(err)
		}
		if err := errors.Join(s.Close(), j.Close()); err != nil {
			rt.Fatal(err)
		}
	})
}

// mutate damages a file as disks do.
func mutate(rt *rapid.T, b []byte) []byte {
	for range rapid.IntRange(1, 3).Draw(rt, "places") {
		at := rapid.IntRange(0, len(b)-1).Draw(rt, "at")
		if rapid.Bool().Draw(rt, "page header") { // where structure is dense
			at = at&^(pageBytes-1) + rapid.IntRange(0, 80).Draw(rt, "in header")
		}
		page := b[at&^(pageBytes-1):][:pageBytes]
		switch rapid.SampledFrom([]string{"bit", "bit", "byte", "zero page", "other page", "truncate"}).Draw(rt, "damage") {
		case "bit":
			b[at] ^= 1 << rapid.IntRange(0, 7).Draw(rt, "bit")
		case "byte":
			b[at] = rapid.Byte().Draw(rt, "byte")
		case "zero page":
			clear(page)
		case "other page":
			copy(page, b[rapid.IntRange(0, len(b)/pageBytes-1).Draw(rt, "page")*pageBytes:])
		case "truncate":
			b = b[:max(at&^(pageBytes-1), pageBytes)]
		}
	}
	return b
}

func TestNewerFormatIsRefused(t *testing.T) {
	dir := t.TempDir()
	r := start(t, dir)
	err := r.store.db.Update(func(tx *bolt.Tx) error {
		return tx.Bucket(bucketMeta).Put(keyVersion, seal([]byte{0, 0, 0, formatVersion + 1}))
	})
	if err != nil {
		t.Fatal(err)
	}
	r.close()
	j, err := journal.Open(filepath.Join(dir, "journal"), journalOptions)
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	_, err = Open(r.db(), j, Options{noSync: true})
	var newer *journal.VersionError
	if !errors.As(err, &newer) || newer.File != r.db() {
		t.Errorf("Open: %v", err)
	}
	if _, err := os.Stat(r.db()); err != nil {
		t.Error("the newer file was moved:", err)
	}
}

// TestOlderFormatIsTakenOver opens a file of version 1, which is of this version afterwards: an older program would not understand what
// comes into it.
func TestOlderFormatIsTakenOver(t *testing.T) {
	dir := t.TempDir()
	r := start(t, dir)
	r.save(everyChange("c1")...)
	if err := r.store.Checkpoint(); err != nil {
		t.Fatal(err)
	}
	err := r.store.db.Update(func(tx *bolt.Tx) error {
		return tx.Bucket(bucketMeta).Put(keyVersion, seal([]byte{0, 0, 0, 1}))
	})
	if err != nil {
		t.Fatal(err)
	}
	r.close()
	r = start(t, dir)
	defer r.close()
	if sessions, _ := r.load(); len(sessions) != 1 {
		t.Errorf("%d sessions", len(sessions))
	}
	err = r.store.db.View(func(tx *bolt.Tx) error {
		if version, _, err := readVersion(tx, r.db()); version != formatVersion || err != nil {
			t.Errorf("version %d: %v", version, err)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

// TestFileThatTheSystemRefuses: a file that may not be read is no damaged file, and stays.
func TestFileThatTheSystemRefuses(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "broker.db")
	if err := os.Symlink("broker.db", path); err != nil { // ELOOP, for root, too
		t.Fatal(err)
	}
	j, err := journal.Open(filepath.Join(dir, "journal"), journalOptions)
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	if _, err := Open(path, j, Options{noSync: true}); !errors.Is(err, syscall.ELOOP) {
		t.Errorf("Open: %v", err)
	}
	if _, err := os.Lstat(path); err != nil {
		t.Error("the file was moved:", err)
	}
}

// TestCheckpointMarksTheFormat: a file that had no room to be marked as of this version when it was opened is marked with the first data
// of this version that come into it.
func TestCheckpointMarksTheFormat(t *testing.T) {
	r := start(t, t.TempDir())
	defer r.close()
	err := r.store.db.Update(func(tx *bolt.Tx) error {
		return tx.Bucket(bucketMeta).Put(keyVersion, seal([]byte{0, 0, 0, 1}))
	})
	if err != nil {
		t.Fatal(err)
	}
	r.save(everyChange("c1")...)
	if err := r.store.Checkpoint(); err != nil {
		t.Fatal(err)
	}
	err = r.store.db.View(func(tx *bolt.Tx) error {
		if version, _, err := readVersion(tx, r.db()); version != formatVersion || err != nil {
			t.Errorf("version %d: %v", version, err)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

// TestFileAtItsLimit fills broker.db: the checkpoint is refused with a reason, saving goes on in the journal, and
// a checkpoint succeeds once there is less to keep.
func TestFileAtItsLimit(t *testing.T) {
	dir := t.TempDir()
	r := start(t, dir)
	if err := r.store.Close(); err != nil {
		t.Fatal(err)
	}
	var err error
	if r.store, err = Open(r.db(), r.journal, Options{MaxBytes: 256 << 10, noSync: true}); err != nil {
		t.Fatal(err)
	}
	r.save(session.Change{Kind: session.Created, ClientID: "c", Expiry: session.Never})
	for n := range 20 {
		m := message("big", strings.Repeat("x", 20_000))
		r.save(session.Change{Kind: session.Enqueued, ClientID: "c", Entry: &session.Entry{Seq: uint64(n + 1), Message: m, QoS: 1}})
	}
	if err := r.store.Checkpoint(); err == nil || !strings.Contains(err.Error(), "larger than 262144 bytes") {
		t.Errorf("Checkpoint: %v", err)
	}
	sessions, _ := r.load()
	if len(sessions) != 1 || len(sessions[0].Entries) != 20 {
		t.Errorf("%d sessions", len(sessions))
	}
	r.save(session.Change{Kind: session.Ended, ClientID: "c"})
	if err := r.store.Checkpoint(); err != nil {
		t.Error("Checkpoint when there is less to keep:", err)
	}
	r.close()
}
