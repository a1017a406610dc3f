package journal

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// faultyFiles is the operating system's file layer that counts, and fails when told to.
type faultyFiles struct {
	OS
	mu     sync.Mutex
	writes []int // lengths of writes to segments, segment headers left out
	syncs  int   // flushes of segments
	fail   func(op, name string) error
}

func (f *faultyFiles) check(op, name string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.fail == nil {
		return nil
	}
	return f.fail(op, filepath.Base(name))
}

func (f *faultyFiles) setFail(fail func(op, name string) error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.fail = fail
}

func (f *faultyFiles) Open(name string, flag int) (File, error) {
	if flag&os.O_CREATE != 0 {
		if err := f.check("create", name); err != nil {
			return nil, err
		}
	}
	file, err := f.OS.Open(name, flag)
	if err != nil {
		return nil, err
	}
	return &faultyFile{File: file, files: f, name: name}, nil
}

type faultyFile struct {
	File
	files  *faultyFiles
	name   string
	failed bool // a flush failed: the descriptor must not be used again
}

func (f *faultyFile) WriteAt(b []byte, off int64) (int, error) {
	if err := f.files.check("write", f.name); err != nil {
		n, _ := f.File.WriteAt(b[:len(b)/2], off) // a disk that fills up takes the first half
		return n, err
	}
	if f.failed {
		panic("BUG: written after a failed flush")
	}
	if strings.HasSuffix(f.name, segmentSuffix) && off > 0 {
		f.files.mu.Lock()
		f.files.writes = append(f.files.writes, len(b))
		f.files.mu.Unlock()
	}
	return f.File.WriteAt(b, off)
}

func (f *faultyFile) Datasync() error {
	if f.failed {
		panic("BUG: flush retried on the same descriptor")
	}
	if strings.HasSuffix(f.name, segmentSuffix) {
		f.files.mu.Lock()
		f.files.syncs++
		f.files.mu.Unlock()
	}
	if err := f.files.check("sync", f.name); err != nil {
		f.failed = true
		return err
	}
	return f.File.Datasync()
}

// unsynced is the operating system's file layer without flushes, for tests of what the journal does and not of what the disk keeps.
type unsynced struct{ OS }

func (unsynced) SyncDir(string) error { return nil }

func (u unsynced) Open(name string, flag int) (File, error) {
	f, err := u.OS.Open(name, flag&^Direct) // which leaves nothing to be flushed but what the disk keeps to itself
	if err != nil {
		return nil, err
	}
	return unsyncedFile{f}, nil
}

type unsyncedFile struct{ File }

func (unsyncedFile) Datasync() error { return nil }

func TestACommitIsOneFlushAndItsPages(t *testing.T) {
	files := &faultyFiles{}
	o := small()
	o.Files = files
	j := openJournal(t, filepath.Join(t.TempDir(), "j"), o)
	tests := []struct {
		name       string
		data, want int
	}{
		{"a byte", 1, 4096},
		{"a page, headers and all", 4096 - frameHeader - 4, 4096}, // kind, time, length (2)
		{"one more", 4096 - frameHeader - 3, 8192},
		{"several pages", 10000, 12288},
	}
	for n, tt := range tests {
		appendNow(t, j, Record{Kind: KindSession, Data: make([]byte, tt.data)})
		if got := files.writes[n]; len(files.writes) != n+1 || got != tt.want {
			t.Errorf("%s: %d writes, the last of %d bytes, want one of %d", tt.name, len(files.writes)-n, got, tt.want)
		}
		if files.syncs != n+1 {
			t.Errorf("%s: %d flushes for %d commits", tt.name, files.syncs, n+1)
		}
	}
	if s := j.Stats(); s.Commits != 4 || s.Syncs != 4 || s.CommitBytes != 4096+4096+8192+12288 {
		t.Errorf("stats %+v", s)
	}
}

func TestSegmentRollIsStillOneFlush(t *testing.T) {
	files := &faultyFiles{}
	o := small()
	o.Files = files
	j := openJournal(t, filepath.Join(t.TempDir(), "j"), o)
	for n := range 50 { // 15 pages a segment
		appendNow(t, j, sessionRecord(n))
	}
	if s := j.Stats(); s.Segments != 4 || files.syncs != 50 {
		t.Errorf("%d segments, %d flushes for 50 commits", s.Segments, files.syncs)
	}
}

// TestOneBadFlush lets one write or flush fail: the commit goes to a new segment whole, and nobody notices.
func TestOneBadFlush(t *testing.T) {
	for _, op := range []string{"sync", "write"} {
		t.Run(op, func(t *testing.T) {
			files := &faultyFiles{}
			o := small()
			o.Files = files
			dir := filepath.Join(t.TempDir(), "j")
			j := openJournal(t, dir, o)
			appendNow(t, j, sessionRecord(1))
			failed := false
			files.setFail(func(got, name string) error {
				if got == op && strings.HasSuffix(name, segmentSuffix) && !failed {
					failed = true
					return syscall.EIO
				}
				return nil
			})
			appendNow(t, j, sessionRecord(2))
			appendNow(t, j, sessionRecord(3))
			if s := j.Stats(); s.Segments != 2 || !errors.Is(s.LastErr, syscall.EIO) || s.Err != nil || s.Durable != 3 {
				t.Errorf("stats %+v", s)
			}
			j.Close()
			checkSessionRecords(t, dir, 3)
		})
	}
}

// checkSessionRecords opens a journal and wants exactly sessionRecord(1) to sessionRecord(n), once each.
func checkSessionRecords(t *testing.T, dir string, n int) {
	t.Helper()
	j := openJournal(t, dir, small())
	recs := readAll(t, j, 0)
	if len(recs) != n || len(j.Recovered().Lost) > 0 {
		t.Errorf("%d records, want %d; lost %v", len(recs), n, j.Recovered().Lost)
	}
	for i, rec := range recs {
		if want := sessionRecord(i + 1); string(rec.Data) != string(want.Data) {
			t.Errorf("record %d is %q", i+1, rec.Data)
		}
	}
	j.Close()
}

// TestDiskThatStaysBad refuses records while no flush succeeds, calls nothing durable, and goes on when the disk is back.
func TestDiskThatStaysBad(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		files := &faultyFiles{}
		o := small()
		o.Files, o.Spares = files, -1
		dir := filepath.Join(t.TempDir(), "j")
		j, stop := startJournal(t, dir, o)
		if _, err := j.Append(0, sessionRecord(1)); err != nil {
			t.Fatal(err)
		}
		if err := j.Wait(t.Context(), 1); err != nil {
			t.Fatal(err)
		}
		files.setFail(func(op, name string) error {
			if op == "sync" {
				return syscall.EIO
			}
			return nil
		})
		if _, err := j.Append(0, sessionRecord(2)); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		var disk *DiskError
		if _, err := j.Append(0, sessionRecord(99)); !errors.As(err, &disk) || !errors.Is(err, syscall.EIO) {
			t.Fatalf("Append on a bad disk: %v", err)
		}
		<-time.After(10 * time.Second)
		if s := j.Stats(); s.Durable != 1 || s.Err == nil || s.Segments > 2 || s.Lag < 10*time.Second {
			t.Errorf("after ten seconds: %+v", s)
		}
		files.setFail(nil)
		if err := j.Wait(t.Context(), 2); err != nil {
			t.Fatal(err)
		}
		if _, err := j.Append(0, sessionRecord(3)); err != nil {
			t.Errorf("Append on a disk that is back: %v", err)
		}
		stop()
		checkSessionRecords(t, dir, 3)
	})
}

// TestFullDisk fills the disk: spares are used first, then the journal refuses; it goes on when there is room.
func TestFullDisk(t *testing.T) {
	files := &faultyFiles{}
	o := small()
	o.Files, o.Spares = files, 2
	dir := filepath.Join(t.TempDir(), "j")
	j := openJournal(t, dir, o)
	o2 := j.Owner("someone")
	appendNow(t, j, sessionRecord(1))
	j.makeSpares(t.Context())
	files.setFail(func(op, name string) error {
		if op == "create" {
			return syscall.ENOSPC
		}
		return nil
	})
	n := 1
	for {
		if _, err := j.Append(0, sessionRecord(n+1)); err != nil {
			t.Fatal(err)
		}
		n++
		if err := j.commit(); err != nil {
			if !errors.Is(err, syscall.ENOSPC) {
				t.Fatal(err)
			}
			break
		}
	}
	if n != 46 { // three segments of 15 pages were taken
		t.Errorf("full at record %d, want 46", n)
	}
	if _, err := j.Append(0, sessionRecord(99)); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("Append on a full disk: %v", err)
	}
	o2.Checkpoint(20) // the first of two: nothing may be recycled yet
	o2.Checkpoint(20)
	if err := j.commit(); err != nil {
		t.Errorf("with a segment to recycle: %v", err)
	}
	files.setFail(nil)
	if j.Durable() != 46 || j.Oldest() != 16 {
		t.Errorf("durable %d, oldest %d", j.Durable(), j.Oldest())
	}
}

// TestLogAtItsLimit takes no more when an owner never checkpoints, and says who.
func TestLogAtItsLimit(t *testing.T) {
	o := small()
	o.MaxBytes, o.LimitBytes, o.Spares = 2*minSegmentBytes, 4*minSegmentBytes, -1
	j := openJournal(t, filepath.Join(t.TempDir(), "j"), o)
	slow := j.Owner("the slow one")
	n, err := 0, error(nil)
	for ; err == nil && n < 1000; n++ {
		if _, err = j.Append(0, sessionRecord(n)); err == nil {
			err = j.commit()
		}
	}
	if n != 61 || !strings.Contains(err.Error(), "the slow one") {
		t.Errorf("record %d: %v; want the 61st refused, naming the slow one", n, err)
	}
	slow.Checkpoint(30)
	slow.Checkpoint(30)
	if err := j.commit(); err != nil {
		t.Error("after the checkpoint:", err)
	}
}

// TestAppendDoesNotWaitForTheDisk appends and reads while a flush hangs.
func TestAppendDoesNotWaitForTheDisk(t *testing.T) {
	files := &faultyFiles{}
	o := small()
	o.Files, o.Spares = files, -1
	j, stop := startJournal(t, filepath.Join(t.TempDir(), "j"), o)
	if _, err := j.Append(0, sessionRecord(1)); err != nil {
		t.Fatal(err)
	}
	if err := j.Wait(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	hanging, release := make(chan struct{}), make(chan struct{})
	var once sync.Once
	files.setFail(func(op, _ string) error {
		if op == "sync" {
			once.Do(func() { close(hanging) })
			<-release
		}
		return nil
	})
	for n := range 100 {
		if _, err := j.Append(0, sessionRecord(n+2)); err != nil {
			t.Fatal(err)
		}
		if n == 0 {
			<-hanging // from here on, a flush is in flight
		}
	}
	if s := j.Stats(); s.Durable != 1 || s.Last != 101 {
		t.Errorf("durable %d, last %d; want 1 and 101", s.Durable, s.Last)
	}
	if recs := readAll(t, j, 1); len(recs) != 1 {
		t.Errorf("%d records read, one is durable", len(recs))
	}
	close(release)
	if err := j.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if s := j.Stats(); s.Commits != 3 {
		t.Errorf("%d commits, want 3: the hundred in two", s.Commits)
	}
	stop()
}

func TestCommitsAreTimedByTheEarliestDue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j, stop := startJournal(t, filepath.Join(t.TempDir(), "j"), small())
		defer stop()
		begin := time.Now()
		j.Append(250*time.Millisecond, sessionRecord(1))
		<-time.After(100 * time.Millisecond)
		i, _ := j.Append(10*time.Millisecond, sessionRecord(2))
		if err := j.Wait(t.Context(), i); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(begin); took != 110*time.Millisecond {
			t.Errorf("committed after %v, want 110 ms", took)
		}
		if s := j.Stats(); s.Commits != 1 {
			t.Errorf("%d commits, want one for both", s.Commits)
		}
		bucket := slices.Index(HistogramBounds[:], 250*time.Millisecond)
		if s := j.Stats(); s.DurableTimes.Counts[bucket] != 1 || s.DurableTimes.Count() != 1 || s.DurableTimes.Sum != 110*time.Millisecond ||
			s.CommitTimes.Count() != 1 || s.CommitTimes.Sum != s.CommitTook {
			t.Errorf("times %+v, %+v", s.DurableTimes, s.CommitTimes)
		}
		// What waits may have 32 KiB here: at half of it nothing more is waited for.
		i, _ = j.Append(time.Hour, Record{Kind: KindSession, Data: make([]byte, 20_000)})
		if err := j.Wait(t.Context(), i); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(begin); took != 110*time.Millisecond {
			t.Errorf("a full buffer waited until %v", took)
		}
	})
}
