package journal

import (
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"
)

// TestAwait appends records that are due in a second and looks when they are durable.
func TestAwait(t *testing.T) {
	const records = Index(enough + 8)
	tests := []struct {
		name  string
		await func(j *Journal, last Index)
		want  time.Duration
	}{
		{"nobody", func(*Journal, Index) {}, time.Second},
		{"one", func(j *Journal, last Index) { j.Await(last, 10*time.Millisecond, false) }, 10 * time.Millisecond},
		{"one who has time", func(j *Journal, last Index) { j.Await(last, time.Minute, false) }, time.Second},
		{"one at once", func(j *Journal, last Index) { j.Await(last, 10*time.Millisecond, true) }, 0},
		{"one less than enough", func(j *Journal, last Index) {
			for i := range Index(enough - 1) {
				j.Await(last-i, 10*time.Millisecond, false)
			}
		}, 10 * time.Millisecond},
		{"enough", func(j *Journal, last Index) {
			for i := range Index(enough) {
				j.Await(last-i, 10*time.Millisecond, false)
			}
		}, 0},
		{"what is durable", func(j *Journal, last Index) { j.Await(last-records, 0, true) }, time.Second},
		{"what is not given yet", func(j *Journal, last Index) { j.Await(last+1, 0, true) }, time.Second},
	}
	for _, x := range tests {
		t.Run(x.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				j, stop := startJournal(t, filepath.Join(t.TempDir(), "j"), small())
				defer stop()
				if _, err := j.Append(0, Record{Kind: KindSession}); err != nil {
					t.Fatal(err)
				}
				synctest.Wait()
				start := time.Now()
				var last Index
				for range records {
					var err error
					if last, err = j.Append(time.Second, Record{Kind: KindSession, Data: []byte("x")}); err != nil {
						t.Fatal(err)
					}
				}
				x.await(j, last)
				if err := j.Wait(t.Context(), last); err != nil {
					t.Fatal(err)
				}
				if took := time.Since(start); took != x.want {
					t.Errorf("durable after %v, want %v", took, x.want)
				}
			})
		})
	}
}

// TestHurriedCommitsAreBounded lets someone hurry every small commit: when the reserve is used up they come as often as their interval
// makes them, in the long run, while commits that fill a page are never kept back.
func TestHurriedCommitsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j, stop := startJournal(t, filepath.Join(t.TempDir(), "j"), small())
		defer stop()
		took := func(bytes int) time.Duration {
			t.Helper()
			start := time.Now()
			i, err := j.Append(time.Second, Record{Kind: KindSession, Data: make([]byte, bytes)})
			if err != nil {
				t.Fatal(err)
			}
			j.Await(i, 10*time.Millisecond, true)
			if err := j.Wait(t.Context(), i); err != nil {
				t.Fatal(err)
			}
			return time.Since(start)
		}
		for range 10 {
			if d := took(100); d != 0 {
				t.Fatalf("took %v", d)
			}
		}
		j.mu.Lock()
		if j.hurried != 10 {
			t.Errorf("%d are counted", j.hurried)
		}
		j.hurried = hurriedReserve
		j.mu.Unlock()
		if d := took(100); d != 10*time.Millisecond {
			t.Errorf("without a reserve it took %v", d)
		}
		if d := took(2 * pageBytes); d != 0 {
			t.Errorf("a page took %v", d)
		}
		<-time.After(time.Second)
		for n := range hurriedPerSecond {
			if d := took(100); d != 0 {
				t.Fatalf("%d after a second took %v", n, d)
			}
		}
		j.mu.Lock()
		defer j.mu.Unlock()
		if j.hurried < hurriedReserve-1 {
			t.Errorf("%d are counted after as many as a second forgives", j.hurried)
		}
	})
}
