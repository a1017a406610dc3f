package historian

import (
	"context"
	"runtime"
	"sync"
	"testing"
	"time"

	"edge/historian/journal"

	bolt "go.etcd.io/bbolt"
)

// hold keeps a write transaction of a file open until release, as a device does that takes long.
func hold(t *testing.T, update func(func(*bolt.Tx) error) error) (release func()) {
	t.Helper()
	inside, end, done := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	go func() {
		done <- update(func(*bolt.Tx) error {
			close(inside)
			<-end
			return nil
		})
	}()
	<-inside
	return sync.OnceFunc(func() {
		close(end)
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// await waits until something that another goroutine does has come about.
func await(t *testing.T, what string, is func() bool) {
	t.Helper()
	for began := time.Now(); !is(); {
		if time.Since(began) > time.Minute {
			t.Fatal("not within a minute:", what)
		}
		runtime.Gosched()
	}
}

// durable appends a sample and waits until it is on the disk.
func (r *rig) durable(k journal.SeriesKey, v journal.Sample) {
	r.t.Helper()
	r.add(k, v)
	if err := r.j.Flush(context.Background()); err != nil {
		r.t.Fatal(err)
	}
}

// With every lock of the store held, Append returns and what it took becomes durable: nothing that a flush, a rollup, retention, a
// backup or a question does can make a sample wait.
func TestAppendTakesNoLockOfTheStore(t *testing.T) {
	r := newRig(t, Options{})
	r.add(key(0), at(noon, 1))
	r.follow()
	r.flush(flushAll)
	id, _ := r.s.Resolve(key(0))
	files := []*storeFile{r.s.days.get(dayOf(ms(noon))), r.s.trends.get(monthOf(ms(noon)))}
	locks := []sync.Locker{&r.s.mu, &r.s.catalog.mu, &r.s.days.mu, &r.s.trends.mu, &r.s.lives.mu}
	for _, d := range files {
		locks = append(locks, &d.mu)
	}
	for _, l := range locks {
		l.Lock()
	}
	v := at(noon.Add(time.Second), 2)
	v.Series = id
	r.append(journal.Record{Kind: journal.KindSamples, Samples: []journal.Sample{v}})
	if err := r.j.Flush(context.Background()); err != nil {
		t.Error(err)
	}
	for _, l := range locks {
		l.Unlock()
	}
	r.follow()
	if got := r.read(key(0), noon, noon.Add(time.Minute)).Samples; len(got) != 2 {
		t.Errorf("%d samples, want 2", len(got))
	}
	r.close()
}

// While the transaction of a window hangs in the device, of the day's file or of the catalog's, samples become durable, new series
// get numbers, and all is answered.
func TestAFlushThatHangsStopsNobody(t *testing.T) {
	for _, name := range []string{"the day's file", "the catalog"} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, Options{})
			r.add(key(0), at(noon, 1))
			r.follow()
			r.flush(flushAll)
			update := r.s.days.get(dayOf(ms(noon))).update
			if name == "the catalog" {
				update = r.s.file.update
			}
			r.add(key(0), at(noon.Add(time.Second), 2))
			r.follow()
			release := hold(t, update)
			defer release()
			flushed := make(chan error, 1)
			go func() { flushed <- r.s.flush(flushAll) }()
			await(t, "the flush has begun", func() bool {
				r.s.mu.RLock()
				defer r.s.mu.RUnlock()
				return r.s.flushing != nil
			})
			for n := range 3 {
				r.durable(key(n), at(noon.Add(2*time.Second), 3))
			}
			if err := r.s.catchUp(); err != nil {
				t.Fatal(err)
			}
			for n, want := range []int{3, 1, 1} {
				if got := r.read(key(n), noon, noon.Add(time.Minute)).Samples; len(got) != want {
					t.Errorf("metric %d: %d samples while the flush hangs, want %d", n, len(got), want)
				}
			}
			if last, err := r.s.Latest(context.Background(), nil); err != nil || len(last) != 3 {
				t.Errorf("%d last values, %v; want 3", len(last), err)
			}
			release()
			if err := <-flushed; err != nil {
				t.Error(err)
			}
			r.close()
		})
	}
}

// Retention waits for a reader of the day that it removes, and samples wait for neither.
func TestRetentionThatWaitsStopsNobody(t *testing.T) {
	r := newRig(t, Options{Raw: 24 * time.Hour, Minute: 24 * time.Hour})
	r.add(key(0), at(noon, 1))
	r.follow()
	r.flush(flushAll)
	r.rollAll()
	d := r.s.days.get(dayOf(ms(noon)))
	inside, end, read := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	go func() {
		read <- d.view(func(*bolt.Tx) error {
			close(inside)
			<-end
			return nil
		})
	}()
	<-inside
	later := noon.Add(3 * 24 * time.Hour)
	r.clock.Set(later)
	retained := make(chan struct{})
	go func() {
		r.s.retain()
		close(retained)
	}()
	await(t, "retention waits for the file", func() bool { return d.wanted.Load() > 0 })
	r.durable(key(0), at(later, 2))
	r.durable(key(1), at(later, 2))
	if err := r.s.catchUp(); err != nil {
		t.Fatal(err)
	}
	if got := r.read(key(1), later, later.Add(time.Minute)).Samples; len(got) != 1 {
		t.Errorf("%d samples while retention waits, want 1", len(got))
	}
	close(end)
	if err := <-read; err != nil {
		t.Error(err)
	}
	<-retained
	if days := r.s.days.existing(0, dayOf(ms(noon))); len(days) != 0 {
		t.Errorf("days %v are left", days)
	}
	r.close()
}
