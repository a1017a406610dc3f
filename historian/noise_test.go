package historian

import (
	"context"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"edge/historian/journal"
)

// Whatever the files hold, the store opens, records, answers and closes. The harm is random; the seed is printed.
func TestRandomDamage(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	r := newRig(t, Options{})
	var list []journal.Sample
	for i := range 6000 {
		list = append(list, at(noon.Add(time.Duration(i-6000)*time.Second), math.Sin(float64(i))))
	}
	r.add(key(0), list...)
	r.addEvent(death(noon.Add(-time.Hour)))
	r.follow()
	r.close()
	for range 30 {
		dir := t.TempDir()
		if err := os.CopyFS(dir, os.DirFS(r.dir)); err != nil {
			t.Fatal(err)
		}
		for _, path := range []string{"part/2026-03-10.db", "catalog.db"} {
			damage(t, rng, filepath.Join(dir, "history", path))
		}
		useDamaged(t, dir)
	}
}

// damage flips some bits, or fills a page with another one, or cuts the file.
func damage(t *testing.T, rng *rand.Rand, path string) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	pages := len(b) / 4096
	switch rng.IntN(4) {
	case 0:
		for range 1 + rng.IntN(20) {
			b[rng.IntN(len(b))] ^= 1 << rng.IntN(8)
		}
	case 1: // where the tree is
		for range 1 + rng.IntN(20) {
			b[4096*rng.IntN(pages)+rng.IntN(64)] ^= 1 << rng.IntN(8)
		}
	case 2:
		from, to := rng.IntN(pages), rng.IntN(pages)
		copy(b[4096*to:4096*to+4096], b[4096*from:])
	default:
		b = b[:rng.IntN(len(b))]
	}
	if err := os.WriteFile(path, b, 0o640); err != nil {
		t.Fatal(err)
	}
}

func useDamaged(t *testing.T, dir string) {
	t.Helper()
	r := newRigIn(t, dir, Options{})
	r.add(key(0), at(noon.Add(time.Second), 7))
	r.follow()
	_ = r.s.flush(flushAll)
	ctx := context.Background()
	rng := Range{Group: "g", Node: "n", Device: "d", Metric: "m0", From: ms(noon.Add(-2 * time.Hour)), To: ms(noon.Add(time.Hour))}
	out, err := r.s.Read(ctx, rng)
	if err != nil {
		t.Errorf("Read: %v", err)
	}
	if n := len(out.Samples); n == 0 || out.Samples[n-1].Value.Num != double(7).Num {
		t.Errorf("the sample recorded after the damage is not among %d", n)
	}
	if _, _, err := r.s.Buckets(ctx, rng, 100); err != nil {
		t.Errorf("Buckets: %v", err)
	}
	if _, err := r.s.Events(ctx, EventQuery{}); err != nil {
		t.Errorf("Events: %v", err)
	}
	if _, _, err := r.s.Backlog(ctx, "g", "n", 1, r.j.Durable()+1, 1000); err != nil {
		t.Errorf("Backlog: %v", err)
	}
	_ = r.s.Close()
	r.stop()
}
