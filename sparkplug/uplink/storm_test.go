package uplink

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"edge/historian/journal"
	"edge/sparkplug"
)

var storms = flag.Int("storms", 6, "seeds of TestStorm")

// Everything goes wrong in random order: cuts, silence, restarts and crashes of the uplink, deaths and births in the
// plant, rebirth requests, slow sockets. At the end every sample has come, what came twice was announced unless a crash
// forgot it, and the reports add up. The checker judges every message on the way.
func TestStorm(t *testing.T) {
	for seed := range uint64(*storms) {
		t.Run(fmt.Sprint("seed=", seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { storm(t, rand.New(rand.NewPCG(seed, 7))) })
		})
	}
}

func storm(t *testing.T, rnd *rand.Rand) {
	s := newServer(t)
	c := judge(t, s)
	o := quick(s.as())
	o.LiveSamples, o.HistoryMetrics, o.FlushSamplesPerSecond, o.KeepAlive = 50, 20, 200, 2*time.Second
	o.BarrierMessages = 1 + rnd.IntN(20)
	r := newRig(t, o)
	var state crashingState
	r.state = &state
	state.StateStore = r.st
	r.start()
	nodes := []string{"a", "b", "c"}
	alive, device := map[string]bool{}, map[string]bool{}
	total, crashes := 0, 0
	write := func(n string, samples int) {
		for range samples {
			at, d := time.Now(), ""
			if device[n] && rnd.IntN(2) == 0 {
				d = "d"
			}
			smp := r.sample("g", n, d, oven[rnd.IntN(2)].name, at, float64(total))
			if rnd.IntN(10) == 0 {
				smp.At -= 60_000
				smp.Historical = true
			}
			r.samples(smp)
			total++
			pass(time.Millisecond)
		}
	}
	for range 150 {
		n := nodes[rnd.IntN(len(nodes))]
		switch k := rnd.IntN(20); {
		case k < 8:
			if alive[n] {
				write(n, rnd.IntN(40))
			}
		case k == 8 && alive[n]:
			r.death("g", n, "", "storm")
			alive[n], device[n] = false, false
		case k < 11 && !alive[n]:
			r.birth("g", n, "", oven...)
			alive[n] = true
		case k < 13 && alive[n] && !device[n]:
			r.birth("g", n, "d", oven...)
			device[n] = true
		case k == 13 && device[n]:
			r.death("g", n, "d", "")
			device[n] = false
		case k == 14:
			s.cut()
		case k == 15:
			s.mu.Lock()
			s.mute = !s.mute
			s.mu.Unlock()
		case k == 16:
			ask := sparkplug.RebirthRequest(sparkplug.NodeRef{Group: "g", Node: n}, time.Now())
			s.publish(ask.Topic, ask.Payload, false)
		case k == 17 && rnd.IntN(4) == 0: // stop and start; the plant is born again
			if rnd.IntN(2) == 0 {
				s.cut()
				state.dead.Store(true)
				crashes++
			}
			r.stop()
			state.dead.Store(false)
			r.start()
			for n := range alive {
				alive[n], device[n] = false, false
			}
		default:
			s.restore()
		}
		pass(time.Duration(rnd.IntN(500)) * time.Millisecond)
	}
	s.mu.Lock()
	s.mute = false
	s.mu.Unlock()
	s.restore()
	for _, n := range nodes {
		if !alive[n] {
			r.birth("g", n, "", oven...)
		}
	}
	pass(2 * time.Minute)
	c.verdict()
	st := r.up.Status()
	distinct, again := c.counts()
	if distinct != total || st.Owed != 0 {
		t.Errorf("%d samples of %d came, %d owed", distinct, total, st.Owed)
	}
	if crashes == 0 && uint64(again) > r.announced+st.Duplicated {
		t.Errorf("%d came twice, announced %d", again, r.announced+st.Duplicated)
	}
	for _, o := range r.up.Outages() {
		if o.To.IsZero() || o.Owed != o.Delivered+o.Waived || o.Waived != 0 {
			t.Errorf("outage %+v", o)
		}
	}
	bdSeq := map[string]int{}
	for _, e := range s.entries() {
		if e.kind == "CONNECT" {
			p, err := wire(e.payload)
			if err != nil {
				t.Fatal(err)
			}
			now := int(bdSeqIn(p))
			if last, ok := bdSeq[e.client]; ok && (now-last+256)%256 == 0 || ok && now < last {
				t.Errorf("%s: bdSeq %d after %d", e.client, now, last)
			}
			bdSeq[e.client] = now
		}
	}
	t.Logf("%d samples, %d twice, %d reports, %d crashes", total, again, len(r.up.Outages()), crashes)
}

// A crashingState keeps nothing once it is dead, as a process that was killed.
type crashingState struct {
	StateStore
	dead atomic.Bool
	full atomic.Bool // the nodes' cursors are not kept
}

var errCrashed = errors.New("crashed")

func (s *crashingState) Put(key string, data []byte) (journal.Index, error) {
	if s.dead.Load() || s.full.Load() && strings.Contains(key, "/node/") {
		return 0, errCrashed
	}
	return s.StateStore.Put(key, data)
}

func (s *crashingState) PutSync(ctx context.Context, key string, data []byte) error {
	if s.dead.Load() {
		return errCrashed
	}
	return s.StateStore.PutSync(ctx, key, data)
}

// A cursor that could not be kept holds the feed's position back: nothing is forgotten.
func TestCursorNotKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, s, c := one(t, nil)
		r.stop()
		state := &crashingState{StateStore: r.st}
		r.state = state
		r.start()
		r.alive()
		r.node(1)
		pass(3 * time.Second)
		s.cut()
		pass(time.Second)
		state.full.Store(true)
		r.node(2)
		r.node(3)
		pass(3 * time.Second)
		r.stop()
		state.full.Store(false)
		s.restore()
		r.start()
		r.alive()
		pass(3 * time.Second)
		c.verdict()
		if distinct, _ := c.counts(); distinct != 3 {
			t.Errorf("%d of 3 samples came", distinct)
		}
	})
}
