package uplink

import (
	"testing"
	"testing/synctest"
	"time"

	"edge/sparkplug"
)

// judge has the checker read everything that a server gets.
func judge(t testing.TB, s *server) *checker {
	c := newChecker(t)
	s.onEntry = func(e entry) {
		if e.kind == "PUBLISH" || e.kind == "WILL" {
			c.take(e.topic, e.payload)
		}
	}
	return c
}

var oven = []metricSpec{{"temp", sparkplug.Double}, {"speed", sparkplug.Double}}

// What is written while the uplink is cut arrives once, flagged historical, after the birth.
func TestCutAndRestore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		c := judge(t, s)
		r := newRig(t, quick(s.as()))
		r.start()
		r.birth("g", "n", "", oven...)
		r.birth("g", "n", "d", oven...)
		total := 0
		write := func(samples int) {
			for range samples {
				pass(10 * time.Millisecond)
				r.samples(r.sample("g", "n", "", "temp", time.Now(), float64(total)), r.sample("g", "n", "d", "speed", time.Now(), float64(total)))
				total += 2
			}
		}
		pass(time.Second)
		write(100)
		s.cut()
		write(500)
		s.restore()
		write(100)
		pass(3 * time.Second)
		c.verdict()
		distinct, again := c.counts()
		n := c.node("g/n")
		if distinct != total || again > 20 {
			t.Errorf("%d of %d samples came, %d again", distinct, total, again)
		}
		if n.births != 2 || n.deaths != 1 || n.filed < 1000 || n.bdSeq != 1 {
			t.Errorf("births %d, deaths %d, history %d, bdSeq %d", n.births, n.deaths, n.filed, n.bdSeq)
		}
		o := r.up.Outages()
		if len(o) != 1 || o[0].To.IsZero() || o[0].Owed != o[0].Delivered || o[0].Owed < 1000 || o[0].Waived != 0 {
			t.Fatalf("outages %+v", o)
		}
		if st := r.up.Status(); st.Owed != 0 || st.State != Live || uint64(again) > st.Duplicated || st.Delivered != uint64(total) {
			t.Errorf("status %+v", st)
		}
		r.stop()
		if n := c.node("g/n"); n.online {
			t.Error("no NDEATH after the uplink stopped")
		}
	})
}
