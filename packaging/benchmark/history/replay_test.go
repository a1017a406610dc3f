package history

import (
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"edge/historian"
	"edge/historian/gen"
	"edge/historian/journal"
)

// replayed is what a set cost.
type replayed struct {
	samples                            int
	rest, blocks, journal, journalReal float64       // bytes a sample: whole files; blocks; commits with padding; without
	cpu                                time.Duration // a sample
	commits, syncs                     uint64
	took                               time.Duration
	bySec                              float64
}

// replay runs a set through journal and store by the clock of a synctest bubble: all timers are the program's own, a
// second's samples are one durable commit, windows are written when they end.
func replay(t *testing.T, set gen.Set, dir string) (out replayed) {
	started := time.Now()
	synctest.Test(t, func(t *testing.T) {
		set.Start = journal.Millis(time.Now().UnixMilli())
		src := gen.New(set)
		r := openOurs(t, dir, historian.Options{}, journal.Options{})
		r.bind(src.Keys())
		var making time.Duration
		before := processCPU()
		for {
			began := threadCPU()
			list, ok := src.Next()
			making += threadCPU() - began
			if !ok {
				break
			}
			for i := range list {
				r.append(500*time.Millisecond, message(&list[i]))
				out.samples += len(list[i].Samples)
			}
			<-time.After(time.Second)
		}
		<-time.After(15 * time.Second) // the last window ends
		r.stop()
		out.cpu = (processCPU() - before - making) / time.Duration(out.samples)
		js := r.j.Stats()
		out.commits, out.syncs = js.Commits, js.Syncs
		out.journal = float64(js.CommitBytes) / float64(out.samples)
		out.journalReal = float64(js.PayloadBytes) / float64(out.samples)
		if st := r.s.Stats(); int(st.SamplesTotal) != out.samples || st.Late+st.Refused+st.Unknown > 0 {
			t.Errorf("%d samples went in; %+v", out.samples, st)
		}
		out.rest = float64(folderBytes(t, filepath.Join(dir, "history"))) / float64(out.samples)
	})
	out.took = time.Since(started)
	return out
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
