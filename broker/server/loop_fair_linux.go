package server

import (
	"slices"
	"time"
)

// A loop's turn is kept short, whatever its connections bring: a client with little to say waits for no more than one turn of the others.
//
//	events ─► a slice of what each brought ─► write what that caused
//	       ─► a portion of one packet that takes long (rests)
//	       ─► some of those that have more left (behind): packets, writes ─► the next events
//
// What is left of a connection is in one of the two, and the connection is not read meanwhile: its packets stay in order, and it brings
// no more than is done for it.

// The bounds of a turn, beside the time that each connection has in it.
const (
	behindPerTurn  = 8         // connections that go on with what they have left
	flushesPerTurn = 128       // writes that are caused by the events of a turn, shared between them
	leastFlushes   = 8         // that each event may cause, however many there are
	flushPortion   = 16        // of what one connection caused beyond its share
	writtenPerTurn = 512 << 10 // bytes, beyond which what can wait does
)

// maxRestBytes is how many bytes of messages wait for their turn among the rests before no more large packets are read to their end.
const maxRestBytes = 16 << 20

// shareOf is how many writes each of n events may cause in the same turn.
func shareOf(n int) int { return max(flushesPerTurn/max(1, n), leastFlushes) }

// busy tells whether something is left to be done.
func (l *loop) busy() bool { return len(l.rests)+len(l.behind) > 0 }

// onlyOne tells whether the n events were those of one connection that goes on at once: nobody waits for what it has caused so far.
func (l *loop) onlyOne(n int) bool {
	return n == 1 && len(l.rests) == 0 && len(l.behind) == 1 && int(l.events[0].Fd) == l.behind[0].fd
}

// queue puts w among those that have more left.
func (l *loop) queue(w *looped) {
	if !w.queued {
		w.queued = true
		l.behind = append(l.behind, w)
	}
}

// queueRest has w go on with its packet after the others that take long.
func (l *loop) queueRest(w *looped) {
	w.yielded = true
	if w.routing != nil {
		w.restBytes = w.routing.Message().Size()
		l.restBytes += w.restBytes
		if len(l.rests) > 0 {
			w.routing.Wait()
		}
	}
	l.rests = append(l.rests, w)
}

// goOn does some of what earlier turns have left.
func (l *loop) goOn() {
	if l.share = flushPortion; len(l.behind) == 1 {
		l.share = flushesPerTurn
	}
	if len(l.rests) > 0 {
		l.goOnResting()
	}
	began := time.Now()
	l.slice = sliceOf(min(len(l.behind), behindPerTurn))
	done := 0
	for done < min(len(l.behind), behindPerTurn) && (done == 0 || time.Since(began) < turnTime) && l.wrote.Load() < writtenPerTurn {
		w := l.behind[done]
		w.queued = false
		w.goOnBehind()
		done++
	}
	l.behind = slices.Delete(l.behind, 0, done)
	l.delivering.turn.flush()
}

// goOnResting does a portion of the first packet that takes long. The others wait until it is through: what a packet needs in memory
// is needed once.
func (l *loop) goOnResting() {
	w := l.rests[0]
	before := len(l.delivering.turn.conns)
	err := w.conn.goOn()
	w.spread(before)
	if w.rest != nil {
		return
	}
	l.rests = slices.Delete(l.rests, 0, 1)
	l.restBytes -= w.restBytes
	w.restBytes = 0
	if err == nil {
		err = w.ended
	}
	if err != nil {
		w.endNow(err)
		return
	}
	w.pauseReading()
	l.queue(w)
}

// spread has what w's packet caused to be written beyond its share written in later turns. before is how much there was to be
// written in this one already.
func (w *looped) spread(before int) {
	l := w.loop
	t := &l.delivering.turn
	if most := before + l.share; len(t.conns) > most {
		w.caused = append(w.caused, t.conns[most:]...)
		clear(t.conns[most:])
		t.conns = t.conns[:most]
		w.yielded = true
		l.queue(w)
	}
}

// goOnBehind writes a portion of what w has caused, or else handles more of what it has brought.
func (w *looped) goOnBehind() {
	if w.writesMore {
		w.writesMore = false
		w.flush()
	}
	if len(w.caused) > 0 {
		w.flushCaused()
		w.loop.queue(w)
		return
	}
	if w.stage != live || !w.yielded || w.rest != nil || w.isFull() {
		return
	}
	w.endPause()
	w.in.heard = w.loop.now // its bytes came before, and were not looked at
	w.takeKept()
}

func (w *looped) flushCaused() {
	n := 0
	for n < min(len(w.caused), flushPortion) && w.loop.wrote.Load() < writtenPerTurn {
		w.caused[n].wire.flush()
		n++
	}
	if w.caused = slices.Delete(w.caused, 0, n); len(w.caused) == 0 {
		w.caused = nil
	}
}
