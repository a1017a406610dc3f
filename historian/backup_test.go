package historian

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"edge/historian/journal"
)

// running runs a rig's store until the function that it returns is called.
func (r *rig) running(t *testing.T) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.s.Run(ctx) }()
	return sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// feed appends samples of three metrics over four days, event by event, each with its number as value.
func (r *rig) feed(t *testing.T, from, n int) {
	t.Helper()
	for i := from; i < from+n; i++ {
		r.add(key(i%3), at(r.clock.Now().Add(-time.Duration(i%4)*24*time.Hour+time.Duration(i)*time.Second), float64(i)))
		if i%50 == 0 {
			r.addEvent(journal.Event{Kind: journal.NodeBirth, Group: "g", Node: "n", At: ms(r.clock.Now())})
		}
	}
	if err := r.j.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// restored opens a store on a copy of a backup, beside an empty journal.
func restored(t *testing.T, backup string, now time.Time) *rig {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(filepath.Join(dir, "history"), os.DirFS(backup)); err != nil {
		t.Fatal(err)
	}
	return newRigAt(t, dir, Options{}, now)
}

// numbers are the values of all samples of a store, which are those of feed, each once.
func numbers(t *testing.T, s *Store) map[int]bool {
	t.Helper()
	out := map[int]bool{}
	for _, rows := range rowsOf(t, s, Selection{To: 1 << 45}) {
		for _, row := range rows {
			if row.Gap != nil {
				continue
			}
			for _, f := range values([]journal.Sample{row.Sample}) {
				if out[int(f)] {
					t.Errorf("sample %v is there twice", f)
				}
				out[int(f)] = true
			}
		}
	}
	return out
}

// lacksOf are the names that a manifest does not have.
func lacksOf(list []ManifestFile, names []string) (out []string) {
	for _, name := range names {
		if !slices.ContainsFunc(list, func(f ManifestFile) bool { return f.Name == name }) {
			out = append(out, name)
		}
	}
	return out
}

// filesOf are the names of a store's files, of every kind.
func filesOf(t *testing.T, dir string) (out []string) {
	t.Helper()
	for _, pattern := range [...]string{"*.db", "*/*.db"} {
		list, err := fs.Glob(os.DirFS(filepath.Join(dir, "history")), pattern)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, list...)
	}
	return out
}

// What was durable when a backup began is in it, once, however much comes meanwhile; and what it holds can be recorded on.
func TestBackupUnderLoad(t *testing.T) {
	r := newRig(t, Options{})
	stop := r.running(t)
	defer r.close()
	defer stop()
	r.feed(t, 0, 400)
	if err := r.s.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	var next atomic.Int64
	next.Store(400)
	loading, unload := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() {
		for loading.Err() == nil {
			r.feed(t, int(next.Load()), 40)
			next.Add(40)
			if err := r.s.Flush(t.Context()); err != nil {
				t.Error(err)
			}
		}
	})
	for n := range 3 {
		below, durable, there := int(next.Load()), r.j.Durable(), filesOf(t, r.dir)
		dir := filepath.Join(t.TempDir(), fmt.Sprint("backup", n))
		m, err := r.s.Backup(t.Context(), dir)
		if err != nil {
			t.Fatal(err)
		}
		if m.Mark < durable || len(m.Missing) > 0 {
			t.Errorf("mark %d, %d was durable; missing %v", m.Mark, durable, m.Missing)
		}
		if checked, err := CheckBackup(t.Context(), dir); err != nil || checked.Mark != m.Mark || lacksOf(checked.Files, there) != nil {
			t.Errorf("checked: %+v, %v; lacks %v", checked, err, lacksOf(checked.Files, there))
		}
		c := restored(t, dir, r.clock.Now())
		got := numbers(t, c.s)
		for i := range below {
			if !got[i] {
				t.Fatalf("sample %d of the %d before the backup is missing", i, below)
			}
		}
		c.add(key(9), at(noon, -1))
		c.add(key(0), at(noon.Add(time.Hour), -2))
		c.follow()
		c.flush(flushAll)
		again := numbers(t, c.s)
		if !again[-1] || !again[-2] || len(again) != len(got)+2 {
			t.Errorf("%d samples after two more, had %d", len(again), len(got))
		}
		c.close()
	}
	unload()
	wg.Wait()
}

// The restored store answers every question as the one it is of did.
func TestBackupOfAQuietStoreIsItsTwin(t *testing.T) {
	r := newRig(t, Options{})
	stop := r.running(t)
	defer r.close()
	defer stop()
	r.feed(t, 0, 1000)
	dir := filepath.Join(t.TempDir(), "backup")
	if _, err := r.s.Backup(t.Context(), dir); err != nil {
		t.Fatal(err)
	}
	c := restored(t, dir, r.clock.Now())
	defer c.close()
	want, got := rowsOf(t, r.s, Selection{To: 1 << 45}), rowsOf(t, c.s, Selection{To: 1 << 45})
	for m := range want {
		if !slices.EqualFunc(want[m], got[m], sameRowOf) {
			t.Errorf("%v: %d rows, want %d", m, len(got[m]), len(want[m]))
		}
	}
	if had, has := r.s.Stats(), c.s.Stats(); had.SamplesTotal != has.SamplesTotal || had.Series != has.Series {
		t.Errorf("stats %+v, want %+v", has, had)
	}
	for m := range want {
		month := Range{Group: m.group, Node: m.node, Device: m.device, Metric: m.name, From: ms(noon) - 30*dayMillis, To: ms(noon)}
		had, gaps, err := r.s.Buckets(t.Context(), month, 30)
		has, same, err2 := c.s.Buckets(t.Context(), month, 30)
		if err != nil || err2 != nil || fmt.Sprint(had, gaps) != fmt.Sprint(has, same) {
			t.Errorf("%v: buckets %v, want %v: %v, %v", m, has, had, err, err2)
		}
	}
	all := EventQuery{Limit: maxEvents}
	had, err := r.s.Events(t.Context(), all)
	has, err2 := c.s.Events(t.Context(), all)
	if err != nil || err2 != nil || fmt.Sprint(had) != fmt.Sprint(has) || len(has) == 0 {
		t.Errorf("%d events, want %d: %v, %v", len(has), len(had), err, err2)
	}
	if _, err := r.s.Backup(t.Context(), dir); err == nil {
		t.Error("a backup takes the place of another")
	}
}

// While a file is copied, commits and the flush to that very file go on; the copy is what it was when it began.
func TestBackupHoldsNobodyUp(t *testing.T) {
	r := newRig(t, Options{})
	stop := r.running(t)
	defer r.close()
	defer stop()
	r.feed(t, 0, 400)
	before, flushed := 0, 0
	b := &backup{s: r.s, dir: filepath.Join(t.TempDir(), "backup.part")}
	b.pace = func() {
		if before++; before%2 == 0 || flushed >= 400 {
			return
		}
		now := r.clock.Now()
		r.add(key(0), at(now.Add(time.Hour+time.Duration(flushed)*time.Millisecond), float64(1000+flushed))) // of the newest day
		flushed++
		if err := r.j.Flush(t.Context()); err != nil {
			t.Error(err)
		}
		if _, err := r.s.Rows(Selection{}); err != nil {
			t.Error(err)
		}
		if _, busy := r.s.Backup(t.Context(), b.dir+"2"); !errors.Is(busy, ErrBackup) {
			t.Errorf("a second backup: %v", busy)
		}
		if open := r.s.days.get(dayOf(ms(now))); open.mu.TryRLock() { // the newest day can be written to
			open.mu.RUnlock()
			if err := r.s.Flush(t.Context()); err != nil {
				t.Error(err)
			}
		} else {
			t.Error("the newest day is locked")
		}
	}
	dir := filepath.Join(filepath.Dir(b.dir), "backup")
	if _, err := b.run(t.Context(), dir); err != nil {
		t.Fatal(err)
	}
	if flushed < 5 {
		t.Fatalf("only %d flushes while it was copied", flushed)
	}
	c := restored(t, dir, r.clock.Now())
	defer c.close()
	got := numbers(t, c.s)
	for i := range 400 {
		if !got[i] {
			t.Fatalf("sample %d is missing", i)
		}
	}
}

// The disk that a backup goes to hangs. Retention takes the day that is being copied all the same, and the backup has it as it is
// then, or not at all.
func TestRetentionWaitsForNoBackup(t *testing.T) {
	for name, retain := range map[string]func(s *Store, day int64) bool{
		"samples": func(s *Store, day int64) bool { return s.thinDay(day, whyAge, 0) },
		"day":     func(s *Store, day int64) bool { return s.dropDay(day, whyAge, 0) },
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, Options{})
			defer r.close()
			r.advance(time.Minute, 10_000)
			r.flush(flushAll)
			day := dayOf(ms(noon))
			d := r.s.days.get(day)
			whole := bytesOf(d.path)
			b := &backup{s: r.s, dir: t.TempDir()}
			begun, hangs := make(chan struct{}), make(chan struct{})
			b.pace = sync.OnceFunc(func() { close(begun); <-hangs })
			done := make(chan error, 1)
			go func() { done <- b.file(t.Context(), filepath.Base(d.path), d.kind, d.copyView, nil) }()
			<-begun
			if !retain(r.s, day) {
				t.Error("the day is not removed")
			}
			close(hangs)
			if err := <-done; err != nil {
				t.Fatal(err)
			}
			switch left, _ := os.ReadDir(b.dir); {
			case name == "day" && len(b.m.Files)+len(left) > 0:
				t.Errorf("the backup has %v, %v of a day that was removed", b.m.Files, left)
			case name == "samples" && (len(b.m.Files) != 1 || b.m.Files[0].Bytes > whole/2):
				t.Errorf("the backup has %v, want the day without its samples, of %d bytes", b.m.Files, whole)
			}
		})
	}
}

// countdown is a context that ends after so many questions.
type countdown struct {
	context.Context
	left *atomic.Int64
}

func (c countdown) Err() error {
	if c.left.Add(-1) < 0 {
		return context.Canceled
	}
	return nil
}

// A backup that is ended at any point leaves nothing behind, and the next one is not hindered.
func TestBackupThatIsEndedLeavesNothing(t *testing.T) {
	r := newRig(t, Options{})
	stop := r.running(t)
	defer r.close()
	defer stop()
	r.feed(t, 0, 100)
	parent := t.TempDir()
	dir := filepath.Join(parent, "backup")
	for n := int64(0); ; n += 3 {
		ctx := countdown{t.Context(), new(atomic.Int64)}
		ctx.left.Store(n)
		_, err := r.s.Backup(ctx, dir)
		if err == nil {
			break
		}
		left, _ := os.ReadDir(parent)
		if !errors.Is(err, context.Canceled) || len(left) > 0 || n > 10_000 {
			t.Fatalf("ended after %d questions: %v; left %v", n, err, left)
		}
	}
	if _, err := CheckBackup(t.Context(), dir); err != nil {
		t.Error(err)
	}
}

func TestCheckBackupFindsWhatIsWrong(t *testing.T) {
	r := newRig(t, Options{})
	stop := r.running(t)
	r.feed(t, 0, 100)
	dir := filepath.Join(t.TempDir(), "backup")
	if _, err := r.s.Backup(t.Context(), dir); err != nil {
		t.Fatal(err)
	}
	stop()
	r.close()
	day := filepath.Join("part", "2026-03-10.db")
	change := func(f func([]byte) []byte) func(string) error {
		return func(path string) error {
			b, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			return os.WriteFile(path, f(b), 0o600)
		}
	}
	other := func(name string) func([]byte) []byte {
		return func(b []byte) []byte {
			var m Manifest
			if json.Unmarshal(b, &m) != nil {
				t.Fatal("the manifest is no JSON")
			}
			if m.Files[0].Name = name; name == "" {
				m.Version, m.Files[0].Name = 2, "catalog.db"
			}
			out, _ := json.Marshal(m)
			return out
		}
	}
	for _, c := range []struct {
		name, file, want string
		do               func(string) error
	}{
		{"a bit", day, "checksum", change(func(b []byte) []byte { b[len(b)/2] ^= 1; return b })},
		{"cut", day, "bytes", change(func(b []byte) []byte { return b[:len(b)-4096] })},
		{"no day", day, "no such file", os.Remove},
		{"no catalog", "catalog.db", "no such file", os.Remove},
		{"no manifest", manifestName, "no such file", os.Remove},
		{"another's manifest", manifestName, "invalid character", change(func([]byte) []byte { return []byte("#") })},
		{"a later manifest", manifestName, "version 2", change(other(""))},
		{"a way out", manifestName, "no name of a file", change(other("part/../../secret"))},
		{"another file", manifestName, "no name of a file", change(other("lock"))},
	} {
		t.Run(c.name, func(t *testing.T) {
			bad := t.TempDir()
			if err := os.CopyFS(bad, os.DirFS(dir)); err != nil {
				t.Fatal(err)
			}
			if err := c.do(filepath.Join(bad, c.file)); err != nil {
				t.Fatal(err)
			}
			if _, err := CheckBackup(t.Context(), bad); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v; want %q", err, c.want)
			}
		})
	}
}

// A day that cannot be read is told of; the others are saved. It may be mended before its turn comes.
func TestBackupOfADamagedDay(t *testing.T) {
	r := newRig(t, Options{})
	r.feed(t, 0, 100)
	r.follow()
	r.close()
	r.open()
	stop := r.running(t)
	path := r.dayPath(noon.Add(-48 * time.Hour))
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	clear(b[2*4096:])
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	there := filesOf(t, r.dir)
	m, err := r.s.Backup(t.Context(), filepath.Join(t.TempDir(), "backup"))
	const bad = "part/2026-03-08.db"
	quarantine, _ := filepath.Glob(filepath.Join(r.dir, "history", "quarantine", "*-2026-03-08.db"))
	if mended := len(quarantine) == 1 && len(m.Missing) == 0 && len(lacksOf(m.Files, there)) == 0; mended {
		t.Log("it was mended before")
	} else if err != nil || len(m.Missing) != 1 || m.Missing[0].Name != bad || !slices.Equal(lacksOf(m.Files, there), []string{bad}) {
		t.Errorf("%+v, %v; want %s missing of %v", m, err, bad, there)
	}
	stop()
	if err := r.s.Close(); err != nil {
		t.Error(err)
	}
	r.stop()
}
