package store

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"edge/broker"
	"edge/broker/session"
	"edge/historian/journal"
)

// killChildDir names the data folder for a test binary that is started to be killed.
const killChildDir = "STORE_KILL_CHILD_DIR"

func TestMain(m *testing.M) {
	if dir := os.Getenv(killChildDir); dir != "" {
		if err := killChild(dir); err != nil {
			fmt.Println("error", err)
			os.Exit(1)
		}
		return
	}
	goleak.VerifyTestMain(m)
}

// killChild enqueues rising sequence numbers for one session and acknowledges all but the last hundred, while
// checkpoints are written as often as the disk takes them. It prints each commit.
func killChild(dir string) error {
	j, err := journal.Open(filepath.Join(dir, "journal"), journal.Options{SegmentBytes: 64 << 10, MaxBytes: 192 << 10})
	if err != nil {
		return err
	}
	s, err := Open(filepath.Join(dir, "broker.db"), j, Options{Due: time.Millisecond, Every: 5 * time.Millisecond})
	if err != nil {
		return err
	}
	sessions, _, err := s.Load()
	if err != nil {
		return err
	}
	seq := uint64(0)
	if len(sessions) == 1 {
		seq = sessions[0].LastSeq
	} else if _, err := s.SaveSession([]session.Change{{Kind: session.Created, ClientID: "c", Expiry: session.Never}}); err != nil {
		return err
	}
	go j.Run(context.Background()) // both until the kill
	go s.Run(context.Background())
	for {
		seq++
		changes := []session.Change{{Kind: session.Enqueued, ClientID: "c", Entry: &session.Entry{Seq: seq, Message: message("t", fmt.Sprint(seq)), QoS: 1,
			State: session.Sent, PacketID: uint16(seq)}}}
		if seq > 100 {
			changes = append(changes, session.Change{Kind: session.EntryDone, ClientID: "c", PacketID: uint16(seq - 100)})
		}
		i, err := s.SaveSession(changes)
		if err != nil {
			return err
		}
		if seq%20 == 0 {
			if err := j.Wait(context.Background(), journal.Index(i)); err != nil {
				return err
			}
			fmt.Println("saved", seq, s.checkpointed())
		}
	}
}

// checkpointed is the index of the last checkpoint.
func (s *Store) checkpointed() broker.Index {
	s.checkpointing.Lock()
	defer s.checkpointing.Unlock()
	return broker.Index(s.upTo)
}

// TestKilledUnderLoad kills a store three times, 200 times with EDGE_LONG=1, between saves and checkpoints: what was acknowledged is there, once and in order.
func TestKilledUnderLoad(t *testing.T) {
	dir := t.TempDir()
	rounds := 3
	if os.Getenv("EDGE_LONG") == "1" {
		rounds = 200
	}
	for round := range rounds {
		saved, checkpoint := killAfter(t, dir, 2+round*7%20)
		j, err := journal.Open(filepath.Join(dir, "journal"), journal.Options{SegmentBytes: 64 << 10})
		if err != nil {
			t.Fatal(err)
		}
		s, err := Open(filepath.Join(dir, "broker.db"), j, Options{})
		if err != nil {
			t.Fatal(err)
		}
		sessions, _, err := s.Load()
		if err != nil || len(sessions) != 1 || s.Recovered().Quarantined != "" {
			t.Fatalf("%d sessions, %v, %+v", len(sessions), err, s.Recovered())
		}
		c := &sessions[0]
		t.Logf("round %d: acknowledged %d, found %d, checkpoint %d, told %d", round, saved, c.LastSeq, s.Recovered().Checkpoint, checkpoint)
		waiting := min(c.LastSeq, 100)
		if c.LastSeq < saved || len(c.Entries) != int(waiting) || s.Recovered().Checkpoint < checkpoint {
			t.Fatalf("acknowledged up to %d, found up to %d, %d entries", saved, c.LastSeq, len(c.Entries))
		}
		for i, e := range c.Entries {
			if want := c.LastSeq - waiting + 1 + uint64(i); e.Seq != want || string(e.Message.Payload) != fmt.Sprint(want) {
				t.Fatalf("entry %d is %d %q, want %d", i, e.Seq, e.Message.Payload, want)
			}
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if err := j.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// killAfter starts a child and kills it after so many lines; it returns what the child had saved and checkpointed.
func killAfter(t *testing.T, dir string, lines int) (saved uint64, checkpoint broker.Index) {
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
	scanner := bufio.NewScanner(out)
	for n := 0; scanner.Scan(); n++ { // after the kill, what the pipe still holds counts too
		if strings.HasPrefix(scanner.Text(), "error") {
			t.Fatal(scanner.Text())
		}
		var s uint64
		var c broker.Index
		if _, err := fmt.Sscanf(scanner.Text(), "saved %d %d", &s, &c); err != nil {
			break // a line cut by the kill
		}
		saved, checkpoint = s, c
		if n == lines {
			cmd.Process.Kill()
		}
	}
	cmd.Wait() // killed: its error is expected
	if saved == 0 {
		t.Fatal("the child saved nothing")
	}
	return saved, checkpoint
}
