package promql

import (
	"context"
	"math"

	"edge/historian/journal"

	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
)

// A read goes so far at first and after a jump; each that follows goes four times as far, to an hour.
const (
	firstRead = journal.Millis(5 * 60 * 1000)
	longRead  = journal.Millis(60 * 60 * 1000)
)

// iterator is one series as the engine wants it: what arrived, in between what holds, again and again, and a stale marker
// where that ends. The engine looks at an instant vector through a window of a lookback, and jumps over what it does not need.
type iterator struct {
	ctx      context.Context
	source   source
	from, to journal.Millis // both inclusive
	now      journal.Millis // nothing is known to hold later
	repeat   journal.Millis // how often what holds is given again; 0: never
	slack    journal.Millis // a point that follows so soon hides what held before it; 0: nothing may be hidden
	once     bool           // only what holds at to is looked at

	list    []point // read and not given yet
	next    journal.Millis
	span    journal.Millis // of the next read
	started bool
	hold    point // the last given point; not known: nothing holds

	t    journal.Millis
	f    float64
	done bool
	err  error
}

var staleNaN = math.Float64frombits(value.StaleNaN)

// Next implements chunkenc.Iterator.
func (it *iterator) Next() chunkenc.ValueType {
	switch {
	case it.done:
		return chunkenc.ValNone
	case !it.started:
		return it.Seek(int64(it.from))
	case it.once:
		return it.end(nil)
	}
	return it.advance()
}

// millis64 is the engine's time. It has a name so that go vet does not take Seek for io.Seeker's.
type millis64 = int64

// Seek implements chunkenc.Iterator.
func (it *iterator) Seek(to millis64) chunkenc.ValueType {
	t := max(journal.Millis(to), it.from)
	switch {
	case it.done:
		return chunkenc.ValNone
	case it.started && it.t >= t:
		return chunkenc.ValFloat
	case it.once:
		return it.only(t)
	case t > it.to:
		return it.end(nil)
	}
	if err := it.jump(t); err != nil {
		return it.end(err)
	}
	it.started, it.t = true, t-1
	return it.advance()
}

// only gives what holds at the end of the range, if it is not before t.
func (it *iterator) only(t journal.Millis) chunkenc.ValueType {
	p, ok, err := it.source.held(it.ctx, it.to+1, 0)
	if !ok || !p.known || p.edge <= it.to || err != nil {
		return it.end(err)
	}
	at := p.at
	if over := min(it.to, max(it.now, p.at)) - p.at; over > 0 {
		at += over / it.repeat * it.repeat
	}
	if at < t {
		return it.end(nil)
	}
	it.started = true
	return it.give(at, p.f)
}

// jump makes t the next time to look at: it drops what lies before, and finds what holds there.
func (it *iterator) jump(t journal.Millis) error {
	for len(it.list) > 0 && it.list[0].at < t {
		it.hold, it.list = it.list[0], it.list[1:]
	}
	if len(it.list) > 0 || it.started && it.next > t {
		return nil
	}
	floor := journal.Millis(0)
	if it.started {
		if t-it.next < longRead { // not far: the way there tells what holds
			return it.readTo(t)
		}
		floor = it.next
	}
	it.span, it.next = firstRead, t
	if it.slack > 0 {
		it.span = it.slack
		if err := it.read(); err != nil {
			return err
		}
		if len(it.list) > 0 {
			it.hold = point{}
			return nil
		}
	}
	if it.repeat == 0 {
		it.hold = point{}
		return nil
	}
	p, ok, err := it.source.held(it.ctx, t, floor)
	if ok {
		it.hold = p
	}
	return err
}

// readTo reads on until something at or after t is known.
func (it *iterator) readTo(t journal.Millis) error {
	for it.next < t {
		if err := it.read(); err != nil {
			return err
		}
		for len(it.list) > 0 && it.list[0].at < t {
			it.hold, it.list = it.list[0], it.list[1:]
		}
		if len(it.list) > 0 {
			return nil
		}
	}
	return nil
}

// read reads the next stretch; list is empty before.
func (it *iterator) read() error {
	from := it.next
	list, next, broken, err := it.source.read(it.ctx, from, min(from+max(it.span, 1), it.to+1))
	it.span = min(4*max(it.span, 1), longRead)
	it.list, it.next = list, next
	it.hold.edge = min(it.hold.edge, broken)
	return err
}

// advance gives the first point later than t: a repetition of what holds, its end, or one that arrived.
func (it *iterator) advance() chunkenc.ValueType {
	for len(it.list) == 0 && it.next <= it.to {
		if err := it.read(); err != nil {
			return it.end(err)
		}
	}
	arrives := never
	if len(it.list) > 0 {
		arrives = it.list[0].at
	}
	if it.hold.known {
		again, ends := it.again(), max(it.hold.edge, it.t+1)
		switch {
		case again < min(it.hold.edge, arrives) && again <= min(it.now, it.to):
			return it.give(again, it.hold.f)
		case ends < arrives && ends <= it.to:
			it.hold.known = false
			return it.give(ends, staleNaN)
		}
	}
	if arrives == never {
		return it.end(nil)
	}
	it.hold, it.list = it.list[0], it.list[1:]
	if !it.hold.known {
		return it.give(arrives, staleNaN)
	}
	return it.give(arrives, it.hold.f)
}

// again is when what holds is given next: at a multiple of repeat since it arrived.
func (it *iterator) again() journal.Millis {
	if it.repeat == 0 {
		return never
	}
	return it.hold.at + ((it.t-it.hold.at)/it.repeat+1)*it.repeat
}

func (it *iterator) give(t journal.Millis, f float64) chunkenc.ValueType {
	it.t, it.f = t, f
	return chunkenc.ValFloat
}

func (it *iterator) end(err error) chunkenc.ValueType {
	it.done, it.err = true, err
	it.free()
	return chunkenc.ValNone
}

// free gives back what was read ahead.
func (it *iterator) free() {
	from := it.source
	if s, ok := from.(*leftSource); ok {
		from, s.points = s.source, nil
	}
	if s, ok := from.(*columnSource); ok {
		s.free()
	}
}

// At implements chunkenc.Iterator.
func (it *iterator) At() (int64, float64) { return int64(it.t), it.f }

// AtT implements chunkenc.Iterator.
func (it *iterator) AtT() int64 { return int64(it.t) }

// AtST implements chunkenc.Iterator: nobody knows when a counter began.
func (it *iterator) AtST() int64 { return 0 }

// AtHistogram implements chunkenc.Iterator; there are none.
func (it *iterator) AtHistogram(*histogram.Histogram) (int64, *histogram.Histogram) { return 0, nil }

// AtFloatHistogram implements chunkenc.Iterator; there are none.
func (it *iterator) AtFloatHistogram(*histogram.FloatHistogram) (int64, *histogram.FloatHistogram) {
	return 0, nil
}

// Err implements chunkenc.Iterator.
func (it *iterator) Err() error { return it.err }

// failed is a series that cannot be read.
func failed(err error) chunkenc.Iterator { return &iterator{done: true, err: err} }
