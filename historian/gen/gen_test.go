package gen

import (
	"math"
	"os"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// tally counts a set's samples by class, and what is wrong with them.
type tally struct {
	samples, births, own int // own: messages whose samples have several time stamps
	messages             int
	class                [Classes]int
}

func count(t *testing.T, set Set) (n tally) {
	s := New(set)
	keys := s.Keys()
	for {
		list, ok := s.Next()
		if !ok {
			return n
		}
		for _, m := range list {
			n.messages++
			n.samples += len(m.Samples)
			if m.Birth {
				n.births++
			}
			own := false
			for i, v := range m.Samples {
				n.class[s.Class(v.Series)]++
				own = own || v.At != m.Samples[0].At
				if v.Value.Type != keys[v.Series-1].Type || v.Received != m.Received || i > 0 && v.Series <= m.Samples[i-1].Series {
					t.Fatalf("%+v in %+v", v, m)
				}
			}
			if own {
				n.own++
			}
		}
	}
}

func TestMix(t *testing.T) {
	set := G1
	set.Duration = 4 * time.Hour // and one scan less than the second births
	n := count(t, set)
	if n.samples != 4_054_831 || n.births != 20 {
		t.Errorf("%d samples, %d births", n.samples, n.births)
	}
	// In per cent of the samples, over the whole of G1: what the sizes depend on.
	want := [Classes]float64{27.1, 15.1, 16.8, 18.4, 21.6, 0.85, 0.01, 0.08, 0, 0.06}
	for c, share := range want {
		if got := 100 * float64(n.class[c]) / float64(n.samples); math.Abs(got-share) > 1 {
			t.Errorf("%s: %.2f %% of the samples, want %.2f", Class(c), got, share)
		}
	}
	set = Set{Metrics: 40_000, PerDevice: 20, Duration: time.Second}
	n = count(t, set)
	if got := float64(n.own) / float64(n.messages); got < 0.25 || got > 0.35 {
		t.Errorf("%.0f %% of the messages have several time stamps, want 30", 100*got)
	}
}

// The sets as a whole have the counts that their comments say.
func TestWholeSets(t *testing.T) {
	if os.Getenv("EDGE_LONG") != "1" {
		t.Skip("the whole of G1 and G2 take 8 s: EDGE_LONG=1")
	}
	if n := count(t, G1); n.samples != 24_387_433 {
		t.Errorf("G1 has %d samples", n.samples)
	}
	if n := count(t, G2); n.samples != 20_274_199 {
		t.Errorf("G2 has %d samples", n.samples)
	}
}

func TestSameSeedSameSamples(t *testing.T) {
	set := Set{Metrics: 130, PerDevice: 50, Duration: time.Minute, Seed: 7}
	a, b := New(set), New(set)
	set.Seed = 8
	other, same := New(set), true
	for {
		x, ok := a.Next()
		y, _ := b.Next()
		z, _ := other.Next()
		if !ok {
			break
		}
		if diff := cmp.Diff(x, y); diff != "" {
			t.Fatal(diff)
		}
		same = same && cmp.Equal(x, z)
	}
	if same {
		t.Error("another seed gives the same samples")
	}
	if _, ok := b.Next(); ok {
		t.Error("a source goes on after its end")
	}
}
