package historian

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"time"

	"edge/historian/journal"
)

// The process that is killed. It records numbered samples, by a clock of its own that goes twenty seconds with each of them, so
// that some days pass in a second, and does again and again what a store does with them. It prints the number of the last
// sample that is durable, and what it begins and ends to do.

// childUnsynced, if set, makes one part of the child not flush.
const (
	childUnsynced   = "HISTORIAN_UNSYNCED"
	unsyncedJournal = "journal"
	unsyncedDays    = "days" // the files of the days
)

// childRuns, if set, has the child's store run as it does in the appliance.
const childRuns = "HISTORIAN_RUNS"

// What a child may be in the middle of.
const (
	inOpening    = "opening, and replay"
	inFlush      = "a flush"
	inFlushes    = "a flush of several days"
	inRolling    = "rolling up"
	inRetention  = "retention"
	inRewriting  = "rewriting a day for its late samples"
	inBackup     = "a backup"
	inRecycling  = "recycling a segment"
	inRun        = "what Run does: a flush, rolling up, retention"
	childStep    = 20 * time.Second // between two samples
	childBatch   = 50               // samples in a commit
	childRaw     = 72 * time.Hour
	childMinutes = 120 * time.Hour
)

var childStart = noon

// childNow is the child's time when it records number n.
func childNow(n int) time.Time { return childStart.Add(time.Duration(n) * childStep) }

// childAt is the time of number n: one in sixteen comes late, by up to twenty hours. No two are of the same millisecond.
func childAt(n int) journal.Millis {
	if n%16 != 15 {
		return ms(childNow(n))
	}
	return ms(childNow(n-n*7919%3600)) + 1 + journal.Millis(n%19_997)
}

// childKey is the series of number n: three of two devices.
func childKey(n int) journal.SeriesKey {
	k := key(n % 3)
	if n%3 == 2 {
		k.Device = "e"
	}
	return k
}

type child struct {
	dir     string
	n       atomic.Int64 // the next sample's number
	j       *journal.Journal
	s       *Store
	backups chan struct{}
}

func childMain(dir string) {
	c := &child{dir: dir, backups: make(chan struct{})}
	first, err := strconv.Atoi(os.Getenv("HISTORIAN_FIRST"))
	exitOn(err)
	c.n.Store(int64(first))
	go func() { // lines to count by, while nothing is recorded
		for range time.Tick(200 * time.Microsecond) {
			say("tick")
		}
	}()
	c.do(inOpening, c.open)
	ctx := context.Background() // until the kill
	go func() { exitOn(c.j.Run(ctx)) }()
	if os.Getenv(childRuns) != "" {
		go func() { exitOn(c.s.Run(ctx)) }()
		go c.flushAgain(ctx)
	} else {
		go func() { exitOn(c.s.followLoop(ctx)) }()
		go c.steps(ctx)
	}
	go c.backUp(ctx)
	c.record(ctx)
}

// say prints a line at once: one write, so that lines of several goroutines do not mix.
func say(word string, a ...any) { fmt.Fprintln(os.Stdout, append([]any{word}, a...)...) }

// do tells that something begins and ends.
func (c *child) do(what string, f func() error) {
	say("do", what)
	exitOn(f())
	say("did", what)
}

func (c *child) now() time.Time        { return childNow(int(c.n.Load())) }
func (c *child) passed() time.Duration { return time.Duration(c.n.Load()) * childStep }

func (c *child) open() (err error) {
	files := journal.Files(journal.OS{})
	if os.Getenv(childUnsynced) == unsyncedJournal {
		files = unsynced{}
	}
	c.j, err = journal.Open(filepath.Join(c.dir, "journal"),
		journal.Options{SegmentBytes: 256 << 10, MaxBytes: 2 << 20, Clock: c.now, Files: tellingFiles{files, c}})
	if err == nil {
		c.s, err = Open(filepath.Join(c.dir, "history"), c.j, Options{HeadBytes: 1 << 20, Clock: c.now, Passed: c.passed, Raw: childRaw, Minute: childMinutes,
			Space: func() (free, total int64, err error) { return 1 << 40, 1 << 40, nil }})
	}
	return err
}

// record appends samples, a commit after the other.
func (c *child) record(ctx context.Context) {
	ids := make([]journal.SeriesID, 3)
	for i := range ids {
		id, fresh := c.s.Resolve(childKey(i))
		if ids[i] = id; fresh {
			_, err := c.j.Append(time.Second, journal.Record{Kind: journal.KindSchema, Schema: &journal.Schema{Series: id, Key: childKey(i)}})
			exitOn(err)
		}
	}
	for {
		first := int(c.n.Load())
		var list []journal.Sample
		for n := first; n < first+childBatch; n++ {
			list = append(list, journal.Sample{Series: ids[n%3], At: childAt(n), Received: ms(childNow(n)), Value: double(float64(n)), Quality: journal.Good})
		}
		_, err := c.j.Append(time.Millisecond, journal.Record{Kind: journal.KindSamples, Samples: list})
		exitOn(err)
		exitOn(c.j.Flush(ctx))
		say("durable", first+childBatch)
		c.n.Store(int64(first + childBatch))
	}
}

// steps is flushLoop without a timer: everything in turn, as fast as it goes.
func (c *child) steps(ctx context.Context) {
	for n := 0; ; n++ {
		select {
		case done := <-c.s.asks: // of a backup
			done <- c.flush(flushAll)
		default:
		}
		exitOn(c.flush(n%2 == 0))
		c.do(inRolling, func() error { c.s.rollOn(ctx); return nil })
		if n%4 == 0 {
			c.do(inRetention, func() error { c.s.retain(); return nil })
		}
		if !c.s.copying.Load() && (c.s.rewriting != nil || c.s.findLate()) {
			c.do(inRewriting, func() error { c.s.rewriteLate(ctx); return nil })
		}
		if n%16 == 8 {
			select {
			case c.backups <- struct{}{}:
			default:
			}
		}
	}
}

func (c *child) flush(windows bool) error {
	what := inFlush
	days := c.s.daysInMemory(0, 1<<40)
	if len(days) > 1 {
		what = inFlushes
	}
	if os.Getenv(childUnsynced) == unsyncedDays {
		for _, day := range days {
			if err := c.s.days.get(day).writes(); err != nil {
				return err
			}
			c.s.days.get(day).db.NoSync = true
		}
	}
	c.do(what, func() error { return c.s.flush(windows) })
	return nil
}

// flushAgain asks a store that runs for flushes, which it rolls up and retains after, and for backups.
func (c *child) flushAgain(ctx context.Context) {
	for n := 0; ; n++ {
		c.do(inRun, func() error { return c.s.Flush(ctx) })
		if n%16 == 8 {
			select {
			case c.backups <- struct{}{}:
			default:
			}
		}
	}
}

func (c *child) backUp(ctx context.Context) {
	for range c.backups {
		to := filepath.Join(c.dir, "backup")
		_ = os.Remove(filepath.Join(to, manifestName)) // from now on it is none
		exitOn(os.RemoveAll(to))
		c.do(inBackup, func() error {
			_, err := c.s.Backup(ctx, to)
			return err
		})
	}
}

// tellingFiles tells when a segment is renamed to be used again, or removed.
type tellingFiles struct {
	journal.Files
	c *child
}

func (f tellingFiles) Rename(from, to string) (err error) {
	f.c.do(inRecycling, func() error { err = f.Files.Rename(from, to); return nil })
	return err
}

func (f tellingFiles) Remove(name string) (err error) {
	f.c.do(inRecycling, func() error { err = f.Files.Remove(name); return nil })
	return err
}

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

func exitOn(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
