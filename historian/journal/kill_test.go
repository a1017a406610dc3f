package journal

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// killChildDir names the journal's folder for a test binary that is started to be killed.
const killChildDir = "JOURNAL_KILL_CHILD_DIR"

// killChildUnsynced, if "true", makes it a journal that does not flush.
const killChildUnsynced = "JOURNAL_KILL_CHILD_UNSYNCED"

// killChild appends as fast as the disk takes it and prints each durable index.
func killChild() {
	o := Options{SegmentBytes: 256 << 10, MaxBytes: 1 << 20}
	if os.Getenv(killChildUnsynced) == "true" {
		o.Files = unsynced{}
	}
	j, err := Open(os.Getenv(killChildDir), o)
	if err != nil {
		fmt.Println("error", err)
		os.Exit(1)
	}
	out := bufio.NewWriter(os.Stdout)
	j.OnDurable(func(i Index) {
		fmt.Fprintln(out, "durable", i)
		out.Flush()
	})
	go j.Run(context.Background()) // until the kill
	for n := int(j.Durable()); ; n++ {
		rec := Record{Kind: KindSession, Data: fmt.Appendf(nil, "%d %s", n+1, strings.Repeat("x", n%700))}
		i, err := j.Append(time.Millisecond, rec)
		if err != nil {
			fmt.Println("error", err)
			os.Exit(1)
		}
		if n%50 == 0 {
			j.Wait(context.Background(), i)
		}
	}
}

// TestKilledUnderLoad kills a writer five times, 200 times with EDGE_LONG=1. What it had called durable is there, each record once, in order.
func TestKilledUnderLoad(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "j")
	rounds := 5
	if os.Getenv("EDGE_LONG") == "1" {
		rounds = 200
	}
	for round := range rounds {
		durable := killAfter(t, dir, 1+round*37%90)
		j := openJournal(t, dir, Options{SegmentBytes: 256 << 10, MaxBytes: 1 << 20})
		rec := j.Recovered()
		t.Logf("round %d: acknowledged up to %d, found %d to %d, torn %d", round, durable, rec.Oldest, rec.Last, rec.TornBytes)
		if j.Durable() < durable {
			t.Fatalf("acknowledged up to %d, found up to %d", durable, j.Durable())
		}
		if len(rec.Lost) > 0 || len(rec.Quarantined) > 0 {
			t.Fatalf("a kill is no damage: %+v", rec)
		}
		next := j.Oldest()
		for _, rec := range readAll(t, j, 0) {
			if rec.Index != next || !strings.HasPrefix(string(rec.Data), strconv.Itoa(int(next))+" ") {
				t.Fatalf("at %d: record %d %.20q", next, rec.Index, rec.Data)
			}
			next++
		}
		if next != j.Durable()+1 {
			t.Fatalf("records end at %d, durable is %d", next-1, j.Durable())
		}
		j.Close()
	}
}

// killAfter starts a child and kills it after so many commits; it returns the last durable index that the child told.
func killAfter(t *testing.T, dir string, commits int) (durable Index) {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), exe)
	cmd.Env = append(os.Environ(), killChildDir+"="+dir)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	for n := 0; lines.Scan(); n++ { // after the kill, what the pipe still holds counts too
		if strings.HasPrefix(lines.Text(), "error") {
			t.Fatal(lines.Text())
		}
		if _, err := fmt.Sscanf(lines.Text(), "durable %d", &durable); err != nil {
			break // a line cut by the kill
		}
		if n == commits {
			cmd.Process.Kill()
		}
	}
	cmd.Wait() // killed: its error is expected
	if durable == 0 {
		t.Fatal("the child committed nothing")
	}
	return durable
}
