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
		{"one", func(j *Journal, last Index) { j.Await(last, 10*time.Millisecond) }, 10 * time.Millisecond},
		{"one who has time", func(j *Journal, last Index) { j.Await(last, time.Minute) }, time.Second},
		{"one at once", func(j *Journal, last Index) { j.Await(last, 0) }, 0},
		{"one less than enough", func(j *Journal, last Index) {
			for i := range Index(enough - 1) {
				j.Await(last-i, 10*time.Millisecond)
			}
		}, 10 * time.Millisecond},
		{"enough", func(j *Journal, last Index) {
			for i := range Index(enough) {
				j.Await(last-i, 10*time.Millisecond)
			}
		}, 0},
		{"what is durable", func(j *Journal, last Index) { j.Await(last-records, 0) }, time.Second},
		{"what is not given yet", func(j *Journal, last Index) { j.Await(last+1, 0) }, time.Second},
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
