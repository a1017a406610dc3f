package router

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"edge/broker"
)

// portions remembers what each Deliver got.
type portions struct {
	sizes []int
	more  []bool
	qos   [][]byte
	to    map[string]int
	fails int // the portion that fails, from 1; 0: none
}

var errPortion = errors.New("not stored")

func (p *portions) Deliver(_ *broker.Message, to []Delivery, also Elsewhere) (broker.Index, error) {
	p.sizes, p.more = append(p.sizes, len(to)), append(p.more, also.More)
	var qos []byte
	for _, d := range to {
		qos = append(qos, d.QoS)
		if p.to == nil {
			p.to = make(map[string]int)
		}
		p.to[d.To.ClientID()]++
	}
	p.qos = append(p.qos, qos)
	if p.fails == len(p.sizes) {
		return 0, errPortion
	}
	return broker.Index(100 - len(p.sizes)), nil
}

// TestManyDeliveries: no more are made in one go than may be, but for those of QoS 2, which are the last together; a large message has more, as it is
// written with each.
func TestManyDeliveries(t *testing.T) {
	const n = 100
	for name, c := range map[string]struct {
		qos   byte
		bytes int
		sizes []int // of portions
	}{
		"QoS 0":           {0, 1, []int{16, 16, 16, 16, 16, 16, 4}},
		"QoS 1":           {1, 1, []int{16, 16, 16, 16, 16, 16, 4}},
		"QoS 2":           {2, 1, []int{16, 16, 16, 16, 36}}, // 67 are of QoS 0 and 1
		"a large message": {1, 64 * 34, []int{50, 50}},
		"a larger one":    {1, 64 * 84, []int{100}},
	} {
		t.Run(name, func(t *testing.T) {
			r := New(Options{Deliveries: 16})
			for i := range n {
				r.Subscribe(Subscription{Subscriber: &subscriber{id: fmt.Sprint(i)}, Filter: "a", QoS: byte(i % 3)})
			}
			m := msg("a", string(make([]byte, c.bytes)))
			m.QoS = c.qos
			var p portions
			index, err := r.Route(m, &p)
			if err != nil || index != 99 || !slices.Equal(p.sizes, c.sizes) {
				t.Errorf("portions %v, want %v; index %d, %v", p.sizes, c.sizes, index, err)
			}
			for i, more := range p.more {
				if last := i == len(p.more)-1; more == last || !last && slices.Contains(p.qos[i], 2) {
					t.Errorf("portion %d of %d: more %v, QoS %v", i, len(p.more), more, p.qos[i])
				}
			}
			for who, times := range p.to {
				if times != 1 {
					t.Errorf("%s got it %d times", who, times)
				}
			}
			if len(p.to) != n {
				t.Errorf("%d of %d got it", len(p.to), n)
			}
		})
	}
}

// TestPortionFails: what fails is not gone on with, and does not hold what the next message needs.
func TestPortionFails(t *testing.T) {
	r := New(Options{Deliveries: 4})
	for i := range 20 {
		r.Subscribe(Subscription{Subscriber: &subscriber{id: fmt.Sprint(i)}, Filter: "a", QoS: 1})
	}
	p := portions{fails: 2}
	if _, err := r.Route(msg("a", "x"), &p); !errors.Is(err, errPortion) || len(p.sizes) != 2 {
		t.Errorf("%d portions, %v", len(p.sizes), err)
	}
	p = portions{}
	if _, err := r.Route(msg("a", "y"), &p); err != nil || len(p.to) != 20 {
		t.Errorf("%d got the next message, %v", len(p.to), err)
	}
}
