package uplink

import (
	"testing"
	"testing/synctest"
	"time"

	"edge/historian/journal"
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

// A host that reads UInt32 in long_value only gets it there, in births and in data; others get what the specification says.
func TestUInt32AsLong(t *testing.T) {
	for name, asLong := range map[string]bool{"int_value": false, "long_value": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newServer(t)
				want, met := sparkplug.FieldInt, 0
				if asLong {
					want = sparkplug.FieldLong
				}
				s.onEntry = func(e entry) {
					p, err := sparkplug.Decode(e.payload, sparkplug.Limits{})
					if e.kind != "PUBLISH" || err != nil {
						return
					}
					for _, m := range p.Metrics {
						if m.Field == sparkplug.FieldInt || m.Field == sparkplug.FieldLong && m.Name != sparkplug.NameBdSeq {
							if met++; m.Field != want {
								t.Errorf("%s: field %d, want %d", e.topic, m.Field, want)
							}
						}
					}
				}
				o := quick(s.as())
				o.UInt32AsLong = asLong
				r := newRig(t, o)
				r.start()
				r.birth("g", "n", "", metricSpec{"count", sparkplug.UInt32})
				count := func(n uint64) {
					r.samples(journal.Sample{Series: r.id(journal.SeriesKey{Group: "g", Node: "n", Metric: "count", Type: journal.DataType(sparkplug.UInt32)}),
						At: journal.Millis(time.Now().UnixMilli()), Received: journal.Millis(time.Now().UnixMilli()), Quality: journal.Good,
						Value: journal.Value{Type: journal.DataType(sparkplug.UInt32), Num: n}})
					pass(time.Second)
				}
				count(4_000_000_000)
				count(4_000_000_001)
				s.cut()
				count(4_000_000_002)
				s.restore()
				pass(5 * time.Second)
				if met < 3 {
					t.Errorf("%d values, want those of a birth and of data", met)
				}
			})
		})
	}
}
