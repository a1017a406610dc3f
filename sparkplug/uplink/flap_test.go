package uplink

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"edge/sparkplug"
)

// say has the primary host say something on a server, retained.
func (s *server) say(online bool, at int64) {
	m := sparkplug.StateMessage("scada", sparkplug.HostState{Online: online, Timestamp: at})
	s.publish(m.Topic, m.Payload, true)
}

// A node that is slow to leave does not take along those that have been born again meanwhile where the host is.
func TestLateLeaverTakesNobodyAlong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := newServer(t), newServer(t)
		c := judge(t, a)
		o := quick(a.as(), b.as())
		o.PrimaryHost = "scada"
		r := newRig(t, o)
		r.start()
		a.say(true, 1000)
		r.birth("g", "slow", "", oven[0])
		r.birth("g", "n", "", oven[0])
		pass(time.Second)
		a.mu.Lock()
		slow := a.sessions["edge-up/g/slow"]
		slow.hold = make(chan struct{})
		a.mu.Unlock()
		a.say(false, 2000)
		pass(100 * time.Millisecond)
		a.say(true, 3000)
		r.death("g", "slow", "", "switched off") // else it would find the way back before anybody looks
		pass(10 * time.Second)
		close(slow.hold)
		if n := c.node("g/n"); n.births != 2 || !n.online {
			t.Errorf("%+v", n)
		}
		r.stop()
		c.verdict()
	})
}

// The births and deaths of a host have the same time stamp. What a node's connection brings late is not its birth again.
func TestStaleState(t *testing.T) {
	online := func(at int64) sparkplug.HostState { return sparkplug.HostState{Online: true, Timestamp: at} }
	offline := func(at int64) sparkplug.HostState { return sparkplug.HostState{Timestamp: at} }
	const watcher, node = true, false
	type heard struct {
		by    bool
		state sparkplug.HostState
	}
	for _, tt := range []struct {
		name   string
		heard  []heard
		online bool
		left   uint64
	}{
		{"born and dead, heard late", []heard{{watcher, online(1)}, {watcher, offline(1)}, {node, online(1)}}, false, 1},
		{"what was before, heard late", []heard{{watcher, online(1)}, {watcher, offline(1)}, {watcher, online(2)}, {node, offline(1)}}, true, 1},
		{"always the same time stamp", []heard{{watcher, online(1)}, {watcher, offline(1)}, {watcher, online(1)}, {node, offline(1)}}, true, 1},
		{"heard first by a node", []heard{{watcher, online(1)}, {node, offline(2)}, {watcher, offline(2)}}, false, 1},
		{"the end heard first by a node", []heard{{watcher, online(1)}, {node, offline(1)}, {watcher, offline(1)}}, false, 1},
		{"heard by nobody else", []heard{{node, online(1)}, {node, offline(1)}}, false, 1},
		{"older", []heard{{watcher, online(2)}, {watcher, offline(1)}}, true, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var h hosts
			h.init(1)
			for _, m := range tt.heard {
				h.observe(0, m.state, m.by, time.Now())
			}
			if v := h.servers[0]; v.online != tt.online || v.left != tt.left {
				t.Errorf("online %t, left %d times, want %t, %d", v.online, v.left, tt.online, tt.left)
			}
		})
	}
}

// A host that flaps on two servers, with the same time stamp on its death as on its birth, as the specification has it, makes many nodes
// leave; in the end all are born where it is, and no report is left open or does not add up.
func TestHostFlapsOften(t *testing.T) {
	for seed := range uint64(3) {
		t.Run(fmt.Sprint("seed=", seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { flap(t, rand.New(rand.NewPCG(seed, 3))) })
		})
	}
}

func flap(t *testing.T, rnd *rand.Rand) {
	const nodes = 12
	servers := []*server{newServer(t), newServer(t)}
	checkers := []*checker{judge(t, servers[0]), judge(t, servers[1])}
	o := quick(servers[0].as(), servers[1].as())
	o.PrimaryHost = "scada"
	r := newRig(t, o)
	r.start()
	stamp, total := int64(1000), 0
	servers[0].say(true, stamp)
	for n := range nodes {
		r.birth("g", fmt.Sprint("n", n), "", oven[0])
	}
	pass(time.Second)
	for range 60 {
		k := rnd.IntN(2)
		servers[k].say(false, stamp)
		pass(time.Duration(rnd.IntN(3)) * time.Duration(rnd.IntN(int(100*time.Millisecond))))
		stamp++
		servers[k].say(true, stamp)
		if rnd.IntN(2) == 0 {
			servers[1-k].say(false, stamp)
		}
		r.samples(r.sample("g", fmt.Sprint("n", rnd.IntN(nodes)), "", "temp", time.Now(), float64(total)))
		total++
		pass(time.Duration(rnd.IntN(3)) * time.Duration(rnd.IntN(int(100*time.Millisecond))))
	}
	last := rnd.IntN(2)
	servers[1-last].say(false, stamp)
	servers[last].say(true, stamp+1)
	pass(10 * time.Second)
	for n := range nodes {
		name := fmt.Sprint("g/n", n)
		if !checkers[last].node(name).online || checkers[1-last].node(name).online {
			t.Errorf("%s is at %t, %t, the host at %d", name, checkers[0].node(name).online, checkers[1].node(name).online, last)
		}
	}
	before := checkers[0].births() + checkers[1].births()
	pass(time.Minute)
	if now := checkers[0].births() + checkers[1].births(); now != before {
		t.Errorf("%d more births although nothing happens", now-before)
	}
	r.stop()
	arrived := maps.Clone(checkers[0].seen)
	maps.Copy(arrived, checkers[1].seen)
	if st := r.up.Status(); len(arrived) != total || st.Owed != 0 {
		t.Errorf("%d samples of %d, status %+v", len(arrived), total, st)
	}
	for _, rep := range r.up.Outages() {
		if rep.To.IsZero() || rep.Owed != rep.Delivered+rep.Waived {
			t.Errorf("report %+v", rep)
		}
	}
	for _, c := range checkers {
		c.verdict()
	}
	wills := map[string][]uint64{} // by client: the bdSeqs of its sessions
	for _, e := range append(servers[0].entries(), servers[1].entries()...) {
		if p, err := wire(e.payload); e.kind == "CONNECT" && e.topic != "" && err == nil {
			wills[e.client] = append(wills[e.client], bdSeqIn(p))
		}
	}
	for client, seqs := range wills { // one after the other; what two servers logged has no order
		slices.Sort(seqs)
		for i, bdSeq := range seqs {
			if bdSeq != uint64(i) {
				t.Errorf("%s: bdSeqs %v", client, seqs)
				break
			}
		}
	}
	if len(wills) != nodes {
		t.Errorf("%d nodes had sessions", len(wills))
	}
}

// births is of all nodes together.
func (c *checker) births() (all int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, n := range c.nodes {
		all += n.births
	}
	return all
}
