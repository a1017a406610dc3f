package historian

import (
	"context"
	"edge/historian/gen"
	"fmt"
	"slices"
	"testing"
	"time"

	"edge/historian/journal"
)

// applied is how far the store has read the journal.
func (r *rig) applied() journal.Index {
	r.s.mu.RLock()
	defer r.s.mu.RUnlock()
	return r.s.applied
}

// The goroutine of a small commit takes its samples itself; a large one's it leaves to followLoop, and wakes it.
func TestSmallCommitsWakeNobody(t *testing.T) {
	r := newRig(t, Options{})
	r.add(key(0), at(noon, 0))
	r.follow()
	r.s.setFollows(true) // as if followLoop ran
	var list []journal.Sample
	for i := range smallCommit + 1 {
		list = append(list, at(noon.Add(time.Duration(i+1)*time.Second), 1))
		list[i].Series = 1
	}
	r.append(journal.Record{Kind: journal.KindSamples, Samples: list[:smallCommit]})
	r.durable(key(1), at(noon, 1)) // with its schema two records too many
	await(t, "followLoop is woken", func() bool { return len(r.s.behind) == 1 })
	if got := r.applied(); got != 2 {
		t.Errorf("the store has read up to %d of a large commit, want none of it", got)
	}
	if err := r.s.follow(context.Background()); err != nil {
		t.Fatal(err)
	}
	<-r.s.behind
	r.append(journal.Record{Kind: journal.KindSamples, Samples: list[:smallCommit]})
	if err := r.j.Flush(context.Background()); err != nil {
		t.Fatal(err)
	}
	await(t, "the commit's samples are taken", func() bool { return r.applied() == r.j.Durable() })
	if len(r.s.behind) != 0 {
		t.Error("followLoop was woken for a small commit")
	}
	r.s.setFollows(false)
	r.close()
}

// A commit waits for nobody who looks at the store: followLoop takes its samples then.
func TestACommitDoesNotWaitForAQuestion(t *testing.T) {
	r := newRig(t, Options{})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.s.Run(ctx) }()
	r.durable(key(0), at(noon, 1))
	taken := func(what string) {
		await(t, what, func() bool {
			if !r.s.following.TryLock() { // who takes it is not done
				return false
			}
			defer r.s.following.Unlock()
			return r.applied() == r.j.Durable()
		})
	}
	taken("the first")
	for _, hold := range []struct {
		name         string
		lock, unlock func()
	}{
		{"the head is read", r.s.mu.RLock, r.s.mu.RUnlock},
		{"a flush takes the head", r.s.mu.Lock, r.s.mu.Unlock},
		{"followLoop is at work", r.s.following.Lock, r.s.following.Unlock},
	} {
		hold.lock()
		for i := range 3 { // the second and third would not be durable if the first commit waited
			r.append(journal.Record{Kind: journal.KindSamples, Samples: []journal.Sample{{Series: 1, At: ms(noon) + journal.Millis(i+1), Quality: journal.Good, Value: double(2)}}})
			if err := r.j.Flush(ctx); err != nil {
				t.Fatal(hold.name, err)
			}
		}
		hold.unlock()
		taken(hold.name)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	r.close()
}

// BenchmarkTake takes the samples of a minute into memory: what a sample costs between the journal and its block.
func BenchmarkTake(b *testing.B) {
	for _, set := range []gen.Set{gen.G1, gen.G2} {
		b.Run(fmt.Sprintf("%d metrics", set.Metrics), func(b *testing.B) {
			r := newRig(b, Options{})
			defer r.close()
			set.Start = ms(noon)
			src := gen.New(set)
			for _, k := range src.Keys() {
				r.add(k)
			}
			r.follow()
			var records [][]journal.Sample
			count := 0
			index := r.j.Durable()
			for range 60 {
				messages, _ := src.Next()
				for _, m := range messages {
					for i := range m.Samples {
						index++
						m.Samples[i].Index = index
					}
					records, count = append(records, slices.Clone(m.Samples)), count+len(m.Samples)
				}
			}
			b.ReportAllocs()
			for b.Loop() {
				r.s.head = newHead(r.s.window)
				for _, e := range r.s.catalog.all() {
					e.latest = latest{}
				}
				for _, list := range records {
					r.s.applySamples(list)
				}
				if r.s.head.count != count {
					b.Fatal(r.s.head.count, "samples of", count)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*count), "ns/sample")
			r.s.head = newHead(r.s.window)
		})
	}
}

// While a window hangs on its way into a file, small commits fill memory no further than large ones: what it has no room for stays in the
// journal, and is taken when the window is written.
func TestSmallCommitsWaitForRoom(t *testing.T) {
	r := newRig(t, Options{})
	r.s.o.HeadBytes = 64 << 10
	r.durable(key(0), at(noon, 0))
	r.follow()
	r.flush(flushAll)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.s.Run(ctx) }()
	release := hold(t, r.s.file.update)
	defer release()
	const commits, samples = 200, 250
	for i := range commits {
		list := make([]journal.Sample, samples)
		for k := range list {
			list[k] = at(noon.Add(time.Duration(i*samples+k+1)*time.Millisecond), float64(i*samples+k))
			list[k].Series = 1
		}
		r.append(journal.Record{Kind: journal.KindSamples, Samples: list})
		if err := r.j.Flush(ctx); err != nil {
			t.Fatal(err)
		}
	}
	r.s.mu.RLock()
	got := r.s.head.bytes
	r.s.mu.RUnlock()
	if got > 4*r.s.o.HeadBytes {
		t.Errorf("%d bytes in memory beside those that are being written, want about %d", got, r.s.o.HeadBytes)
	}
	release()
	await(t, "all is taken", func() bool { return r.applied() == r.j.Durable() })
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if got := len(r.read(key(0), noon, noon.Add(time.Minute)).Samples); got != 1+commits*samples {
		t.Errorf("%d samples, want %d", got, 1+commits*samples)
	}
	r.close()
}
