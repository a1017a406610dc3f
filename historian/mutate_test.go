package historian

import (
	"context"
	"maps"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"edge/historian/journal"
)

// mutations damage one page each: what flash, a controller or a cable do to a file.
var mutations = []struct {
	name string
	do   func(rng *rand.Rand, b []byte, page int) []byte
}{
	{"a bit", func(rng *rand.Rand, b []byte, page int) []byte {
		b[page*4096+rng.IntN(4096)] ^= 1 << rng.IntN(8)
		return b
	}},
	{"a bit of the head", func(rng *rand.Rand, b []byte, page int) []byte {
		b[page*4096+rng.IntN(80)] ^= 1 << rng.IntN(8)
		return b
	}},
	{"zeros", func(_ *rand.Rand, b []byte, page int) []byte {
		clear(b[page*4096:][:4096])
		return b
	}},
	{"noise", func(rng *rand.Rand, b []byte, page int) []byte {
		for i := range 4096 {
			b[page*4096+i] = byte(rng.Uint32())
		}
		return b
	}},
	{"another page", func(rng *rand.Rand, b []byte, page int) []byte {
		copy(b[page*4096:][:4096], b[rng.IntN(len(b)/4096)*4096:])
		return b
	}},
	{"the end", func(rng *rand.Rand, b []byte, page int) []byte { return b[:page*4096+rng.IntN(4096)] }},
}

// TestMutations damages every page of every file in every way. The store starts, answers and records; what it answers is what was
// recorded, and what it lacks is in a gap.
func TestMutations(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	r := newRig(t, Options{})
	truth := mutationFill(r)
	files := []string{"catalog.db", "part/2026-03-08.db", "part/2026-03-10.db"}
	if list, _ := filepath.Glob(filepath.Join(r.dir, "history", "trend", "*.db")); len(list) > 0 {
		files = append(files, "trend/"+filepath.Base(list[0]))
	}
	every, done := 41, 0
	if os.Getenv("EDGE_LONG") == "1" {
		every = 1
	}
	n := rng.IntN(every)
	for round := 0; round == 0 || every == 1 && done < 1000; round++ {
		for _, file := range files {
			whole, err := os.ReadFile(filepath.Join(r.dir, "history", file))
			if err != nil {
				t.Fatal(err)
			}
			for page := range len(whole) / 4096 {
				for _, m := range mutations {
					if n++; n%every != 0 {
						continue
					}
					done++
					dir := filepath.Join(t.TempDir(), "copy")
					if err := os.CopyFS(dir, os.DirFS(r.dir)); err != nil {
						t.Fatal(err)
					}
					log := rng.IntN(2) == 0
					if !log {
						if err := os.RemoveAll(filepath.Join(dir, "journal")); err != nil {
							t.Fatal(err)
						}
					}
					b := m.do(rng, append([]byte(nil), whole...), page)
					if err := os.WriteFile(filepath.Join(dir, "history", file), b, 0o640); err != nil {
						t.Fatal(err)
					}
					checkMutation(t, dir, truth, log)
					if t.Failed() {
						t.Fatalf("seed %d: %s in page %d of %s, with the log: %v", seed, m.name, page, file, log)
					}
					if err := os.RemoveAll(dir); err != nil {
						t.Fatal(err)
					}
				}
			}
		}
	}
	t.Logf("%d mutations", done)
}

// mutationFill records two days, of many blocks, with late samples and events, and returns them.
func mutationFill(r *rig) map[journal.Millis]journal.Sample {
	truth := make(map[journal.Millis]journal.Sample)
	for _, start := range []time.Time{noon.Add(-48 * time.Hour), noon.Add(-4 * time.Hour)} {
		var list []journal.Sample
		for i := range 2000 {
			v := at(start.Add(time.Duration(i)*7*time.Second), math.Sin(float64(i)))
			truth[v.At] = v
			list = append(list, v)
		}
		r.add(key(0), list[:1500]...)
		r.addEvent(death(start.Add(time.Hour)))
		r.follow()
		r.flush(flushAll)
		late := at(start.Add(time.Minute+time.Millisecond), -1)
		truth[late.At] = late
		r.add(key(0), append(list[1500:], late)...)
		r.addEvent(birth(journal.NodeBirth, "", start.Add(time.Hour+time.Second)))
		r.addEvent(birth(journal.DeviceBirth, "d", start.Add(time.Hour+time.Second)))
		r.follow()
		r.flush(flushAll)
	}
	r.close()
	return truth
}

func checkMutation(t *testing.T, dir string, truth map[journal.Millis]journal.Sample, log bool) {
	t.Helper()
	truth = maps.Clone(truth)
	r := newRigIn(t, dir, Options{})
	defer func() {
		if err := r.s.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
		r.stop()
	}()
	ctx := context.Background()
	for _, when := range []string{"first", "after writing", "after opening again"} {
		if when == "after opening again" {
			if err := r.s.Close(); err != nil {
				t.Fatalf("close: %v", err)
			}
			r.stop()
			r.open()
		}
		r.follow() // to what mending told
		ask := Range{Group: "g", Node: "n", Device: "d", Metric: "m0", From: ms(noon.Add(-72 * time.Hour)), To: ms(noon), Limit: 10_000}
		out, err := r.s.Read(ctx, ask)
		known := err == nil
		if err != nil && (log || !strings.Contains(err.Error(), "no such metric")) {
			t.Fatalf("%s: Read: %v", when, err)
		}
		for i, v := range out.Samples {
			want, ok := truth[v.At]
			if !ok || want.Value.Num != v.Value.Num || i > 0 && v.At <= out.Samples[i-1].At {
				t.Fatalf("%s: sample %d was never recorded: %+v", when, i, v)
			}
		}
		if known && len(out.Samples) < len(truth) {
			lacks(t, r, when, truth, out)
		}
		if _, _, err := r.s.Buckets(ctx, ask, 100); known && err != nil {
			t.Fatalf("%s: Buckets: %v", when, err)
		}
		r.s.Last("g", "n", "d", "m0")
		if _, err := r.s.Events(ctx, EventQuery{Limit: 1000}); err != nil {
			t.Fatalf("%s: Events: %v", when, err)
		}
		backlog, _, err := r.s.Backlog(ctx, "g", "n", 1, r.j.Durable()+1, 10_000)
		if err != nil {
			t.Fatalf("%s: Backlog: %v", when, err)
		}
		for i, v := range backlog {
			if want, ok := truth[v.At]; v.At < ms(noon) && (!ok || want.Value.Num != v.Value.Num || i > 0 && v.Index <= backlog[i-1].Index) {
				t.Fatalf("%s: backlog sample %d was never recorded: %+v", when, i, v)
			}
		}
		r.s.mendHurt()
		r.add(key(0), at(noon.Add(time.Second), 7), at(noon.Add(-48*time.Hour-time.Second), 7))
		truth[ms(noon.Add(-48*time.Hour-time.Second))] = at(noon, 7)
		r.follow()
		if err := r.s.flush(flushAll); err != nil {
			t.Fatalf("%s: flush: %v", when, err)
		}
		if got := r.read(key(0), noon, noon.Add(time.Minute)).Samples; len(got) != 1 {
			t.Fatalf("%s: %d samples of 1 that came after the damage", when, len(got))
		}
	}
}

// lacks checks that every sample that is missing is told of.
func lacks(t *testing.T, r *rig, when string, truth map[journal.Millis]journal.Sample, out Samples) {
	t.Helper()
	have := make(map[journal.Millis]bool)
	for _, v := range out.Samples {
		have[v.At] = true
	}
	missing := 0
	var first journal.Millis
	for at := range truth {
		covered := have[at]
		for _, g := range out.Gaps {
			covered = covered || g.From <= at && (g.To == 0 || at < g.To)
		}
		if !covered {
			if missing++; first == 0 || at < first {
				first = at
			}
		}
	}
	if missing > 0 {
		t.Errorf("%s: %d samples are missing and in no gap, from %s on; gaps %v\nevents:\n%s", when, missing, stampText(first), out.Gaps, r.events())
	}
}
