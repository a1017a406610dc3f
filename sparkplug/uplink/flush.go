package uplink

import (
	"context"
	"time"

	"edge/sparkplug"
)

// historyDue tells whether the history lane has something to send, and when it may.
func (s *session) historyDue(now time.Time) (due bool, wait time.Duration) {
	_, _, s.flushing = s.sent.gap(s.pos)
	if !s.flushing {
		return false, 0
	}
	return true, max(s.u.samples.wait(now), s.u.bits.wait(now), s.retryAt.Sub(now))
}

// sendHistory sends the oldest owed samples: by name, with their own time stamps, is_historical on every metric.
// [tck-id-operational-behavior-data-publish-nbirth-values]
func (s *session) sendHistory(ctx context.Context) error {
	from, _, ok := s.sent.gap(s.pos)
	if !ok {
		return nil
	}
	upto := s.pos
	if from <= s.restored {
		upto = s.restored // a batch is of one side of the cut
	}
	got, to, err := s.n.readHistory(ctx, from, upto, s.sent, s.u.o.HistoryMetrics)
	if err != nil {
		s.u.o.Log.Warn("read history", "group", s.n.ref.Group, "node", s.n.ref.Node, "err", err)
		s.retryAt = time.Now().Add(time.Second)
	}
	if to < from {
		return nil
	}
	b := s.newBatches()
	var waived []Gap
	if s.u.o.FlushMode == modeElsewhere {
		waived = s.withhold(got)
	} else {
		if err := s.declare(got); err != nil {
			return err
		}
		waived = s.convert(got, &b)
	}
	now := time.Now()
	s.u.samples.take(now, len(got))
	for _, o := range b.list {
		s.u.bits.take(now, 8*o.bytes)
	}
	if err := s.send(&b); err != nil {
		return err
	}
	s.history = s.history || len(b.list) > 0
	g := &s.barrier.open
	g.given = append(g.given, waived...)
	g.waived += uint64(len(waived))
	if from <= s.restored {
		g.outage += uint64(len(got) - len(waived))
		g.owaived += uint64(len(waived))
	}
	if len(got) > 0 {
		g.reached = got[len(got)-1].Received
	}
	for _, gap := range s.sent.gaps(from, to) {
		for len(got) > 0 && got[0].Index <= gap.To {
			gap.N++
			got = got[1:]
		}
		s.barrier.covers(gap)
	}
	s.sent.add(span{From: from, To: to})
	if g.msgs == 0 { // nothing was written: there is nothing to prove
		s.n.confirm(g, s.u.o.Clock())
		s.u.confirmed(s.n.ref, g)
		s.barrier.open = group{}
	}
	return nil
}

// declare sees to it that the births of this session name every metric of a batch: what only the backlog knows is
// born as null with Quality 500, and so is a device that is dead in the plant.
func (s *session) declare(got []owedSample) error {
	node, devices := false, map[string]bool{}
	s.n.mu.Lock()
	for _, o := range got {
		if s.declared[o.device][o.name] != 0 {
			continue
		}
		set := s.n.model.ensure(o.device)
		if set == nil || !set.declares(o.name) && !set.addFormer(o.name, sparkplug.DataType(o.Value.Type)) {
			continue // convert gives it up
		}
		if o.device == "" {
			node = true
			continue
		}
		devices[o.device] = true
		if !set.born {
			s.ghosts[o.device] = true
		}
	}
	s.n.mu.Unlock()
	if node {
		return s.births()
	}
	for d := range devices {
		if err := s.deviceBirth(d); err != nil {
			return err
		}
	}
	return nil
}

// convert makes metrics of samples. It returns what cannot be sent: the datatype changed and the value does not fit the
// new one, or it is larger than the server's packets.
func (s *session) convert(got []owedSample, b *batches) (waived []Gap) {
	for _, o := range got {
		m := dataMetric(o.name, valueOf(o.Value), o.At, o.Quality, true)
		reason, fits := "", false
		if typ := s.declared[o.device][o.name]; typ == 0 {
			reason = reasonSchema
		} else if m.Value, fits = widen(m.Value, typ); !fits {
			reason = reasonType
		} else if !s.fits(&m) {
			reason = reasonSize
		}
		if reason == "" {
			b.add(o.device, m)
			continue
		}
		at := time.UnixMilli(int64(o.At))
		waived = append(waived, Gap{Group: s.n.ref.Group, Node: s.n.ref.Node, From: at, To: at, Count: 1, Reason: reason})
	}
	return waived
}

// withhold gives up what is history, for a host that must not see it; the historian has it.
func (s *session) withhold(got []owedSample) (waived []Gap) {
	for _, o := range got {
		at := time.UnixMilli(int64(o.At))
		waived = append(waived, Gap{Group: s.n.ref.Group, Node: s.n.ref.Node, From: at, To: at, Count: 1, Reason: reasonElsewhere})
	}
	return waived
}

// confirm takes the PINGRESPs that have come.
func (s *session) confirm() {
	for _, g := range s.barrier.taken(s.l.ping.pongs.Load()) {
		s.n.confirm(&g, s.u.o.Clock())
		s.u.confirmed(s.n.ref, &g)
		s.u.duplicate(g.again)
	}
	s.settled()
}

// settled looks whether something is finished: the outage's share of this node, or the whole backlog.
func (s *session) settled() {
	n := s.n
	n.mu.Lock()
	_, _, outage := n.done.gap(s.restored)
	_, _, all := n.done.gap(s.pos)
	rest := uint64(0)
	if !all && s.pos >= n.fed && n.owed > 0 { // counted, but nowhere to be read
		rest, n.owed = n.owed, 0
	}
	n.mu.Unlock()
	if rest > 0 {
		s.u.giveUp(Gap{Group: n.ref.Group, Node: n.ref.Node, Count: rest, Reason: reasonRecycled})
		s.u.waived(n.ref, rest)
	}
	if !outage {
		s.u.drained(n.ref)
	}
	s.caughtUp = !all
}

// finish ends a flush: ghosts die again, and metrics that only the backlog knew leave the births.
func (s *session) finish() error {
	n := s.n
	n.mu.Lock()
	n.model.node.former = nil
	for _, d := range n.model.devices {
		d.former = nil
	}
	n.mu.Unlock()
	if s.postmortem { // its NDEATH says it all
		return nil
	}
	for d := range s.ghosts {
		if err := s.deviceDeath(d, s.u.o.Clock()); err != nil {
			return err
		}
	}
	if again := s.extra || s.history && s.u.o.FlushMode == modeClosing; again {
		s.extra, s.history = false, false
		s.askRebirth()
	}
	return nil
}

// askRebirth has births sent again, at the earliest birthDebounce after the last ones.
func (s *session) askRebirth() {
	if s.rebirthAt.IsZero() {
		s.rebirthAt = s.bornAt.Add(birthDebounce)
	}
}
