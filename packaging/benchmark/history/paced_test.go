package history

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"edge/historian"
	"edge/historian/gen"
	"edge/historian/journal"
)

// childEnv holds a pacedJob, for a test binary that is started to run one store alone.
const childEnv = "HISTORY_PACED"

// pacedJob is one store at the pace of the real clock, on a device of its own.
type pacedJob struct {
	Peer     bool
	Set      gen.Set
	Mnt, Dev string
	Duration time.Duration
}

// pacedResult is what it cost.
type pacedResult struct {
	Samples    int
	DevBytes   float64       // a sample; 0: not measured
	CPU        time.Duration // a sample
	P99, Max   time.Duration // of a call of Append, in µs and less; the flush of a window is among them
	Long       []span        // calls that took longer than longCall
	Beyond     time.Duration // the longest, less what a processor was waited for
	CommitP99  time.Duration // write and flush of a commit
	PayloadB   float64       // journal bytes a sample, without padding
	Commits    uint64
	Prepared   int64   // bytes of zeros written to make segments ready for the journal, in DevBytes: once in the life of a store
	RestBytes  float64 // a sample, all files of the store
	FlushAfter float64 // device bytes a sample of the flush at the end
}

func (r *pacedResult) preparedB() float64 { return float64(r.Prepared) / float64(max(1, r.Samples)) }

// paced runs all jobs at once and returns their results in the same order.
func paced(t *testing.T, jobs []pacedJob) []pacedResult {
	out := make([]pacedResult, len(jobs))
	watching, end := context.WithCancel(t.Context())
	late := watch(watching)
	var wg sync.WaitGroup
	for i := range jobs {
		disk := newDisk(t, 1024)
		jobs[i].Mnt, jobs[i].Dev = disk.mnt, disk.dev
		wg.Go(func() {
			if err := runChild(t.Context(), jobs[i], &out[i]); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	end()
	spans := late()
	for i := range out {
		out[i].Beyond = out[i].beyond(spans)
	}
	t.Logf("beside the paced runs a processor was waited for up to %v", worst(spans))
	return out
}

func runChild(ctx context.Context, job pacedJob, out *pacedResult) error {
	text, err := json.Marshal(job)
	if err != nil {
		return err
	}
	exe, err := os.Executable()
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, exe)
	cmd.Env = append(os.Environ(), childEnv+"="+string(text))
	cmd.Stderr = os.Stderr
	answer, err := cmd.Output()
	if err != nil {
		return fmt.Errorf("paced run: %w\n%s", err, answer)
	}
	return json.Unmarshal(answer, out)
}

// TestMain is also the child's main: it prints a pacedResult.
func TestMain(m *testing.M) {
	text := os.Getenv(childEnv)
	if text == "" {
		os.Exit(m.Run())
	}
	var job pacedJob
	err := json.Unmarshal([]byte(text), &job)
	if err == nil {
		var out pacedResult
		if out, err = job.run(); err == nil {
			err = json.NewEncoder(os.Stdout).Encode(out)
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func (p pacedJob) run() (out pacedResult, err error) {
	t := &childTB{}
	p.Set.Duration = p.Duration
	if p.Peer {
		return p.runPeer(t)
	}
	return p.runOurs(t)
}

func (p pacedJob) runOurs(t *childTB) (out pacedResult, err error) {
	keys := gen.New(p.Set).Keys()
	var prepared preparing
	r := openOurs(t, p.Mnt, historian.Options{}, journal.Options{Files: &prepared})
	r.bind(keys)
	r.wear()
	before, ready := r.j.Stats(), prepared.bytes.Load()
	var calls []time.Duration
	var long pacedResult
	out, err = p.measure(func(list []gen.Message) {
		for i := range list {
			awaitClock(list[i].Received)
			began := time.Now()
			r.append(time.Second, message(&list[i]))
			ended := time.Now()
			calls = append(calls, ended.Sub(began))
			long.noteLong(began, ended)
		}
	}, func() error { return r.s.Flush(context.Background()) })
	if err != nil {
		return out, err
	}
	slices.Sort(calls)
	out.P99, out.Max, out.Long = calls[len(calls)*99/100], calls[len(calls)-1], long.Long
	js := r.j.Stats()
	out.Commits, out.Prepared = js.Commits-before.Commits, prepared.bytes.Load()-ready
	out.PayloadB = float64(js.PayloadBytes-before.PayloadBytes) / float64(out.Samples)
	r.stop()
	out.RestBytes = float64(folderBytes(t, filepath.Join(p.Mnt, "history"))) / float64(out.Samples)
	return out, nil
}

func (p pacedJob) runPeer(t *childTB) (out pacedResult, err error) {
	q := openPeer(t, filepath.Join(p.Mnt, "tsdb"), gen.New(p.Set).Keys())
	var calls []time.Duration
	out, err = p.measure(func(list []gen.Message) {
		if len(list) == 0 {
			return
		}
		awaitClock(list[len(list)-1].Received)
		began := time.Now()
		q.append(list)
		calls = append(calls, time.Since(began))
	}, func() error { return nil })
	q.close()
	slices.Sort(calls)
	out.P99, out.Max = calls[len(calls)*99/100], calls[len(calls)-1]
	return out, err
}

// measure feeds the set to f, a second at a time, and ends with flush.
func (p pacedJob) measure(f func([]gen.Message), flush func() error) (out pacedResult, err error) {
	d := disk{mnt: p.Mnt, dev: p.Dev}
	bytes, _, err := d.written()
	if err != nil {
		return out, err
	}
	p.Set.Start = journal.Millis(time.Now().Truncate(time.Second).Add(2 * time.Second).UnixMilli())
	src := gen.New(p.Set)
	var made time.Duration
	cpu := processCPU()
	for {
		var list []gen.Message
		var ok bool
		made += making(func() { list, ok = src.Next() })
		if !ok {
			break
		}
		for i := range list {
			out.Samples += len(list[i].Samples)
		}
		f(list)
	}
	awaitClock(journal.Millis(time.Now().Add(2 * time.Second).UnixMilli())) // the last commit is due
	mid, _, err := d.written()
	if err == nil {
		err = flush()
	}
	after, _, werr := d.written()
	n := float64(out.Samples)
	out.CPU = (processCPU() - cpu - made) / time.Duration(out.Samples)
	out.DevBytes, out.FlushAfter = float64(after-bytes)/n, float64(after-mid)/n
	return out, errors.Join(err, werr)
}

func awaitClock(at journal.Millis) {
	if d := time.Until(time.UnixMilli(int64(at))); d > 0 {
		<-time.After(d)
	}
}

// wear fills the journal until it uses its segments again, as it does after the first hours of its life, and waits until it has
// made ready what it keeps so: a segment of zeros that is written meanwhile is a hundred bytes for each sample of ten minutes of G1.
func (r *ours) wear() {
	r.fill(160 << 20)
	if err := r.s.Flush(context.Background()); err != nil {
		r.t.Fatal(err)
	}
	r.fill(48 << 20)
	for range 600 {
		if st := r.j.Stats(); st.Spares >= 2 && st.Bytes <= 128<<20 {
			return
		}
		<-time.After(100 * time.Millisecond)
	}
	r.t.Fatal(fmt.Sprintf("the journal does not come to rest: %+v", r.j.Stats()))
}

// preparing counts what is written to files that become segments later.
type preparing struct {
	journal.OS
	bytes atomic.Int64
}

func (p *preparing) Open(name string, flag int) (journal.File, error) {
	f, err := p.OS.Open(name, flag)
	if err == nil && flag&os.O_CREATE != 0 {
		return &preparedFile{f, p}, nil
	}
	return f, err
}

type preparedFile struct {
	journal.File
	all *preparing
}

func (f *preparedFile) WriteAt(b []byte, at int64) (int, error) {
	n, err := f.File.WriteAt(b, at)
	f.all.bytes.Add(int64(n))
	return n, err
}

// fill appends records that are nothing to the historian.
func (r *ours) fill(bytes int) {
	junk := make([]byte, 64<<10)
	for range bytes / len(junk) {
		r.append(0, journal.Record{Kind: journal.KindSession, Data: junk})
		if r.j.Crowded() {
			r.flush()
		}
	}
	r.flush()
}

// childTB is the part of testing.TB that the stores' helpers use, in a process that is no test.
type childTB struct {
	testing.TB
}

func (c *childTB) Helper() {}
func (c *childTB) Fatal(args ...any) {
	fmt.Fprintln(os.Stderr, args...)
	os.Exit(1)
}
func (c *childTB) Fatalf(format string, args ...any) { c.Fatal(fmt.Sprintf(format, args...)) }
func (c *childTB) Error(args ...any)                 { c.Fatal(args...) }
