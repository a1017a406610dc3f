package history

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"edge/historian"
	"edge/historian/gen"
	"edge/historian/journal"

	bolt "go.etcd.io/bbolt"
)

// replayed is what a set cost. Bytes are for a sample.
type replayed struct {
	samples       int
	rest, rollups float64       // all files, without rollups; rollups
	journal       float64       // commits, padding counted
	device        int64         // bytes in all that the device was given
	cpu, rollCPU  time.Duration // a sample; of it, for rollups
	system        time.Duration // of cpu, in the kernel
	took          time.Duration
}

// epoch is when a set begins. The clock of a synctest bubble begins in 2000, which the historian does not believe: it is shifted.
var epoch = time.Date(2026, 3, 10, 0, 0, 0, 0, time.UTC)

func shifted() time.Time {
	return time.Now().Add(epoch.Sub(time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)))
}

// replay runs a set through journal and store by the clock of a synctest bubble: all timers are the program's own, a
// second's samples are one durable commit, windows are written when they end. late, if any, may hold samples back.
func replay(t *testing.T, set gen.Set, d disk, late *lateness) (out replayed) {
	started := time.Now()
	before, _, err := d.written()
	if err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		set.Start = journal.Millis(epoch.UnixMilli())
		src := gen.New(set)
		r := openOurs(t, d.mnt, historian.Options{Clock: shifted, CPU: threadCPU}, journal.Options{Clock: shifted})
		r.bind(src.Keys())
		var made time.Duration
		cpu, system := processCPU(), systemCPU()
		for {
			var list []gen.Message
			var ok bool
			made += making(func() {
				if list, ok = src.Next(); ok && late != nil {
					list = late.shift(list)
				}
			})
			if !ok {
				break
			}
			for i := range list {
				r.append(500*time.Millisecond, message(&list[i]))
				out.samples += len(list[i].Samples)
			}
			<-time.After(time.Second)
		}
		<-time.After(3 * time.Minute) // the last window ends, the last hour is rolled up
		if late != nil {
			<-time.After(9 * time.Hour) // and what came late, when no more of it has come for an hour
		}
		r.stop()
		out.cpu = (processCPU() - cpu - made) / time.Duration(out.samples)
		out.system = (systemCPU() - system) / time.Duration(out.samples)
		out.journal = float64(r.j.Stats().CommitBytes) / float64(out.samples)
		st := r.s.Stats()
		out.rollCPU = st.RollupCPU / time.Duration(out.samples)
		if int(st.SamplesTotal) != out.samples || late == nil && st.Late > 0 || st.RollupCPU == 0 || st.Refused+st.Unknown > 0 {
			t.Errorf("%d samples went in; %+v", out.samples, st)
		}
	})
	after, _, err := d.written()
	if err != nil {
		t.Fatal(err)
	}
	out.device = after - before
	history := filepath.Join(d.mnt, "history")
	rollups := rollupBytes(t, history)
	out.rest = float64(folderBytes(t, history)-rollups) / float64(out.samples)
	out.rollups = float64(rollups) / float64(out.samples)
	out.took = time.Since(started)
	t.Logf("replay %d metrics, %v: %+v", set.Metrics, set.Duration, out)
	return out
}

// reopen opens what a replay left, with the clock at its end.
func reopen(t *testing.T, set gen.Set, d disk) *ours {
	end := epoch.Add(set.Duration)
	r := openOurs(t, d.mnt, historian.Options{Clock: func() time.Time { return end }}, journal.Options{})
	r.keys = gen.New(set).Keys()
	return r
}

// folderBytes is the size of all files below dir.
func folderBytes(t testing.TB, dir string) (n int64) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, e os.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		info, err := e.Info()
		n += info.Size()
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// rollupBytes is what of a store's files are rollups: the months' files, and the pages of the days' minutes.
func rollupBytes(t testing.TB, history string) (n int64) {
	t.Helper()
	days, err := filepath.Glob(filepath.Join(history, "part", "*.db"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range days {
		if strings.HasSuffix(path, ".tmp") {
			continue
		}
		db, err := bolt.Open(path, 0o600, &bolt.Options{ReadOnly: true})
		if err != nil {
			t.Fatal(err)
		}
		err = db.View(func(tx *bolt.Tx) error {
			if b := tx.Bucket([]byte("r1m")); b != nil {
				st := b.Stats()
				n += int64(st.LeafAlloc + st.BranchAlloc)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
	}
	return n + folderBytes(t, filepath.Join(history, "trend"))
}

// lateness holds one sample in a hundred back, for up to six hours.
type lateness struct {
	due  map[int64][]journal.Sample // by the second they arrive
	now  int64
	late int
	seed uint64
}

func (l *lateness) random() uint64 { // xorshift
	l.seed ^= l.seed << 13
	l.seed ^= l.seed >> 7
	l.seed ^= l.seed << 17
	return l.seed
}

func (l *lateness) shift(list []gen.Message) []gen.Message {
	l.now++
	for i := range list {
		m := &list[i]
		kept := m.Samples[:0]
		for _, v := range m.Samples {
			if l.random()%100 != 0 {
				kept = append(kept, v)
				continue
			}
			v.Historical = true
			at := l.now + int64(l.random()%(6*3600))
			l.due[at] = append(l.due[at], v)
		}
		m.Samples = kept
	}
	for _, v := range l.due[l.now] {
		v.Received = journal.Millis(epoch.UnixMilli() + l.now*1000)
		list = append(list, gen.Message{Received: v.Received, Samples: []journal.Sample{v}})
		l.late++
	}
	delete(l.due, l.now)
	return list
}

// backlog sends all of a set at once, as a node does that was cut off, and returns the bytes a sample that the files grew.
func backlog(t *testing.T, r *ours, set gen.Set, first journal.SeriesID) float64 {
	set.Start = journal.Millis(epoch.UnixMilli())
	src := gen.New(set)
	if err := r.s.Flush(context.Background()); err != nil {
		t.Fatal(err)
	}
	for i, k := range src.Keys() {
		k.Node = "came back"
		id, _ := r.s.Resolve(k)
		if id != first+journal.SeriesID(i) {
			t.Fatalf("series %d, want %d", id, first+journal.SeriesID(i))
		}
		r.append(0, journal.Record{Kind: journal.KindSchema, Schema: &journal.Schema{Series: id, Key: k}})
	}
	before, n := folderBytes(t, filepath.Join(r.dir, "history", "part")), 0
	for {
		list, ok := src.Next()
		if !ok {
			break
		}
		for _, m := range list {
			for i := range m.Samples {
				m.Samples[i].Series += first - 1
				m.Samples[i].Historical = true
			}
			n += len(m.Samples)
			r.append(time.Second, message(&m))
		}
		if r.j.Crowded() {
			r.flush()
		}
	}
	r.flush()
	if err := r.s.Flush(context.Background()); err != nil {
		t.Fatal(err)
	}
	return float64(folderBytes(t, filepath.Join(r.dir, "history", "part"))-before) / float64(n)
}
