package uplink

import (
	"time"

	"edge/historian/journal"
)

// liveShare is how many messages the live lane may send before the history lane, if it waits, sends one batch.
const liveShare = 64

// A liveWriter gathers samples of the tail into payloads, and the stretches of indices that these cover.
type liveWriter struct {
	s    *session
	b    batches
	runs []span
	run  span // the present stretch: where it began, and its samples; it ends at s.pos
}

func (s *session) newLiveWriter() *liveWriter {
	return &liveWriter{s: s, b: s.newBatches(), run: span{From: s.pos + 1}}
}

// sample takes one sample. What this session's births do not declare so is left to the history lane.
func (w *liveWriter) sample(it *item) {
	s := w.s
	m := dataMetric(it.metric.m.Name, valueOf(it.sample.Value), it.sample.At, it.sample.Quality, false)
	switch {
	case s.declared[it.device][m.Name] != m.Value.Type || !s.fits(&m):
		w.hole(it)
	case len(s.sent)+len(w.runs) > memorySpans: // sent now, and once more by the history lane
		w.b.add(it.device, m)
		s.barrier.open.again++
		w.hole(it)
	default:
		w.b.add(it.device, m)
		s.pos = it.to
		w.run.N++
		if !s.flushing {
			s.barrier.open.reached = it.sample.Received
		}
	}
}

// hole leaves a stretch to the history lane.
func (w *liveWriter) hole(it *item) {
	if it.from > w.run.From {
		w.runs = append(w.runs, span{w.run.From, it.from - 1, w.run.N})
	}
	w.s.pos = it.to
	w.run = span{From: it.to + 1}
}

// flush writes what is gathered.
func (w *liveWriter) flush() error {
	s := w.s
	if s.pos >= w.run.From {
		w.runs = append(w.runs, span{w.run.From, s.pos, w.run.N})
	}
	w.run = span{From: s.pos + 1}
	if err := s.send(&w.b); err != nil {
		return err
	}
	for _, r := range w.runs {
		s.barrier.covers(r)
		s.sent.add(span{From: r.From, To: r.To})
	}
	w.b, w.runs = s.newBatches(), w.runs[:0]
	return nil
}

// sendLive sends what waits in the tail, in journal order, as far as there is room. It returns an ending when the plant
// node died, or came back to a session that was for its history only.
func (s *session) sendLive() (*ending, error) {
	w := s.newLiveWriter()
	start := s.barrier.msgs()
	for len(s.tail) > 0 && s.barrier.room(s.u.o.BarrierMessages) && s.barrier.msgs()+len(w.b.list)-start < liveShare {
		it := &s.tail[0]
		s.tail = s.tail[1:]
		switch it.kind {
		case itemSkip:
			w.hole(it)
		case itemSample:
			w.sample(it)
		default:
			if err := w.flush(); err != nil {
				return nil, err
			}
			if e, err := s.lifeCycle(it); e != nil || err != nil {
				return e, err
			}
		}
		if w.b.total >= s.u.o.HistoryMetrics {
			if err := w.flush(); err != nil {
				return nil, err
			}
		}
	}
	if err := w.flush(); err != nil {
		return nil, err
	}
	if len(s.tail) > 0 {
		return nil, nil
	}
	s.tail = nil
	err := s.sendNewest()
	s.coverQuiet()
	return nil, err
}

// lifeCycle carries a birth or a death of the plant upstream.
func (s *session) lifeCycle(it *item) (*ending, error) {
	switch it.kind {
	case itemNodeBirth:
		if s.postmortem {
			return &ending{kind: endReborn, reason: "the node is back"}, nil
		}
		return nil, s.births()
	case itemNodeDeath:
		if s.postmortem {
			return nil, nil
		}
		return &ending{kind: endDeath, reason: "the node died in the plant: " + it.reason}, nil
	case itemDeviceBirth:
		delete(s.ghosts, it.device)
		if s.mustRestate() {
			return nil, s.births()
		}
		return nil, s.deviceBirth(it.device)
	case itemDeviceDeath:
		return nil, s.deviceDeath(it.device, time.UnixMilli(int64(it.sample.At)))
	}
	return nil, nil
}

// mustRestate tells whether a DBIRTH of the plant defined a template, which upstream only an NBIRTH may.
func (s *session) mustRestate() bool {
	s.n.mu.Lock()
	defer s.n.mu.Unlock()
	return s.n.model.restate
}

// sendNewest sends the newest value of each metric whose waiting samples were passed to the history lane: the screen
// is never late. They go out again as history, and count as duplicates.
func (s *session) sendNewest() error {
	if s.u.o.FlushMode == modeInOrder {
		s.lagging = nil // it comes when its turn comes
	}
	if len(s.lagging) == 0 {
		return nil
	}
	b := s.newBatches()
	s.n.mu.Lock()
	for m, l := range s.lagging {
		if set := s.n.model.set(l.device); set == nil || set.byName[m.m.Name] != m || s.declared[l.device][m.m.Name] != m.m.Type {
			continue
		}
		b.add(l.device, dataMetric(m.m.Name, m.m.Value, journal.Millis(m.m.Timestamp), m.quality, false))
	}
	s.n.mu.Unlock()
	s.lagging = nil
	s.barrier.open.again += uint64(b.total)
	return s.send(&b)
}

// coverQuiet moves on over what belongs to other nodes.
func (s *session) coverQuiet() {
	if s.takenAt <= s.pos {
		return
	}
	quiet := span{From: s.pos + 1, To: s.takenAt}
	s.sent.add(quiet)
	s.n.mu.Lock()
	s.n.done.add(quiet)
	s.n.mu.Unlock()
	s.pos = s.takenAt
}
