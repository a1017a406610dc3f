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

// childMain is the process that is killed: it records numbered samples, flushes all the time, and prints the number of the
// last one that is durable.
func childMain(dir string) {
	j, err := journal.Open(filepath.Join(dir, "journal"), journal.Options{SegmentBytes: 1 << 20, MaxBytes: 4 << 20})
	exitOn(err)
	s, err := Open(filepath.Join(dir, "history"), j, Options{Window: time.Minute, HeadBytes: 1 << 20})
	exitOn(err)
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
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "HISTORIAN_CHILD="+dir, "HISTORIAN_FIRST="+strconv.Itoa(first))
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
			if err := cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if _ = cmd.Wait(); stderr.Len() > 0 || durable == first {
		t.Fatalf("the child stopped by itself after %d samples: %s", durable-first, stderr.String())
	}
	return durable
}

// checkChild opens what the child left and looks for every number; durable becomes the next one to record.
func checkChild(t *testing.T, dir string, durable *int) {
	t.Helper()
	checkFiles(t, filepath.Join(dir, "history"))
	r := newRigAt(t, dir, Options{Window: time.Minute}, time.Now())
	defer func() { r.crash() }()
	from, to := childStart, childStart.Add(72*time.Hour)
	out := r.read(key(0), from, to)
	seen := make(map[int]bool)
	for _, v := range out.Samples {
		f, _ := v.Value.Float64()
		if n := int(f); v.At != childSample(0, n).At {
			t.Fatalf("sample %d at %d", n, v.At)
		}
		seen[int(f)] = true
	}
	for n := range *durable {
		if !seen[n] {
			t.Fatalf("sample %d of %d that were durable is missing", n, *durable)
		}
	}
	if n := r.s.Stats().SamplesTotal; n != uint64(len(seen)) || len(out.Samples) != len(seen) {
		t.Fatalf("%d samples are stored and %d read, of %d", n, len(out.Samples), len(seen))
	}
	*durable = len(seen)
}
