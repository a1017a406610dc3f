package historian

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"edge/historian/journal"
)

// childUnsynced, if set, makes one part of the child not flush.
const (
	childUnsynced   = "HISTORIAN_UNSYNCED"
	unsyncedJournal = "journal"
	unsyncedDays    = "days" // the files of the days
)

type unsynced struct{ journal.OS }

func (unsynced) SyncDir(string) error { return nil }

func (u unsynced) Open(name string, flag int) (journal.File, error) {
	f, err := u.OS.Open(name, flag&^journal.Direct) // which leaves nothing to be flushed but what the disk keeps to itself
	if err != nil {
		return nil, err
	}
	return unsyncedFile{f}, nil
}

type unsyncedFile struct{ journal.File }

func (unsyncedFile) Datasync() error { return nil }

// childMain is the process that is killed: it records numbered samples, flushes all the time, and prints the number of the
// last one that is durable.
func childMain(dir string) {
	o := journal.Options{SegmentBytes: 1 << 20, MaxBytes: 4 << 20}
	if os.Getenv(childUnsynced) == unsyncedJournal {
		o.Files = unsynced{}
	}
	j, err := journal.Open(filepath.Join(dir, "journal"), o)
	exitOn(err)
	s, err := Open(filepath.Join(dir, "history"), j, Options{Window: time.Minute, HeadBytes: 1 << 20})
	exitOn(err)
	if os.Getenv(childUnsynced) == unsyncedDays {
		for day := dayOf(ms(childStart)); day <= dayOf(ms(childStart))+2; day++ {
			exitOn(s.days.get(day).writes())
			s.days.get(day).db.NoSync = true
		}
	}
	ctx := context.Background()
	go func() { exitOn(j.Run(ctx)) }()
	go func() { exitOn(s.Run(ctx)) }()
	go func() {
		for {
			exitOn(s.Flush(ctx))
		}
	}()
	id, fresh := s.Resolve(key(0))
	if fresh {
		_, err := j.Append(time.Second, journal.Record{Kind: journal.KindSchema, Schema: &journal.Schema{Series: id, Key: key(0)}})
		exitOn(err)
	}
	first, err := strconv.Atoi(os.Getenv("HISTORIAN_FIRST"))
	exitOn(err)
	out := bufio.NewWriter(os.Stdout)
	for n := first; ; n += 50 {
		var list []journal.Sample
		for i := range 50 {
			list = append(list, childSample(id, n+i))
		}
		_, err := j.Append(time.Millisecond, journal.Record{Kind: journal.KindSamples, Samples: list})
		exitOn(err)
		exitOn(j.Flush(ctx))
		fmt.Fprintln(out, n+50)
		exitOn(out.Flush())
	}
}

// childSample is number n: by 300 ms from now backwards over two days, so that every flush touches several windows and days.
func childSample(id journal.SeriesID, n int) journal.Sample {
	at := childStart.Add(time.Duration(n*7919%400_000) * 300 * time.Millisecond)
	return journal.Sample{Series: id, At: ms(at), Received: ms(at), Value: double(float64(n)), Quality: journal.Good}
}

var childStart = time.Now().UTC().Truncate(24 * time.Hour).Add(-36 * time.Hour)

func exitOn(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// TestKill kills a recording process several times: every sample that was durable is there, once.
func TestKill(t *testing.T) {
	dir := t.TempDir()
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	durable := 0
	rounds, most := 5, 60
	if os.Getenv("EDGE_LONG") == "1" {
		rounds, most = 200, 12 // childSample has 400,000 different times
	}
	for range rounds {
		durable = runChild(t, dir, durable, 20+rng.IntN(most))
		checkChild(t, dir, &durable)
	}
	t.Logf("%d kills, %d samples", rounds, durable)
	if durable < 5000 {
		t.Errorf("only %d samples were recorded", durable)
	}
}

// runChild lets a child record until it has said so many times that samples are durable, kills it, and returns the last number.
func runChild(t *testing.T, dir string, first, lines int) (durable int) {
	t.Helper()
	durable, stderr := endChild(t, dir, first, lines, func(p *os.Process) error { return p.Kill() })
	if stderr != "" || durable == first {
		t.Fatalf("the child stopped by itself after %d samples: %s", durable-first, stderr)
	}
	return durable
}

// endChild is runChild with another end than a kill, after which the child ends soon.
func endChild(t *testing.T, dir string, first, lines int, end func(*os.Process) error, env ...string) (durable int, said string) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(append(os.Environ(), "HISTORIAN_CHILD="+dir, "HISTORIAN_FIRST="+strconv.Itoa(first)), env...)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	watchdog := time.AfterFunc(time.Minute, func() { _ = cmd.Process.Kill() })
	defer watchdog.Stop()
	durable = first
	scan := bufio.NewScanner(stdout)
	for n := 0; scan.Scan(); n++ {
		if durable, err = strconv.Atoi(scan.Text()); err != nil {
			t.Fatal(err)
		}
		if n == lines {
			if err := end(cmd.Process); err != nil {
				t.Fatal(err)
			}
		}
	}
	_ = cmd.Wait()
	return durable, stderr.String()
}

// checkChild opens what the child left and looks for every number; durable becomes the next one to record.
func checkChild(t *testing.T, dir string, durable *int) {
	t.Helper()
	missing, found, stored := lookForAll(t, dir, *durable)
	if missing > 0 {
		t.Fatalf("%d samples of %d that were durable are missing", missing, *durable)
	}
	if stored != found {
		t.Fatalf("%d samples are stored, of %d", stored, found)
	}
	*durable = found
}

// lookForAll counts the numbers below durable that are not there, the numbers that are, and the samples in memory and files.
func lookForAll(t *testing.T, dir string, durable int) (missing, found, stored int) {
	t.Helper()
	checkFiles(t, filepath.Join(dir, "history"))
	r := newRigAt(t, dir, Options{Window: time.Minute}, time.Now())
	defer func() { r.crash() }()
	out := r.read(key(0), childStart, childStart.Add(72*time.Hour))
	seen := make(map[int]bool)
	for _, v := range out.Samples {
		f, _ := v.Value.Float64()
		if n := int(f); v.At != childSample(0, n).At {
			t.Fatalf("sample %d at %d", n, v.At)
		}
		seen[int(f)] = true
	}
	if len(out.Samples) != len(seen) {
		t.Fatalf("%d samples are read, of %d", len(out.Samples), len(seen))
	}
	for n := range durable {
		if !seen[n] {
			missing++
		}
	}
	return missing, len(seen), int(r.s.Stats().SamplesTotal)
}
