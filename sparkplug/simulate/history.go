package simulate

import (
	"context"
	"time"

	"edge/sparkplug"
)

// replay walks through the past of one node, oldest first, and remembers where it is over connections.
type replay struct {
	tags      []*tag
	value     func(*tag, time.Time) sparkplug.Value
	at, to    time.Time // the next look, and the end (not included)
	step      time.Duration
	gap, till time.Time // no look at gap <= t < till
	burst     bool      // not paced
	last      []sparkplug.Value
	known     []bool
	batches   []batch // cut, not yet sent
	filling   map[string]*batch
	order     []string // devices in birth order
}

// batch is what one historical message carries.
type batch struct {
	device  string
	samples []sample
}

type sample struct {
	tag   *tag
	at    time.Time
	value sparkplug.Value
}

const (
	historyStep = time.Minute
	batchSize   = 100 // samples in a message
)

func newReplay(n *node, from, to time.Time, step time.Duration) *replay {
	r := &replay{tags: n.tags, value: n.value, at: from, to: to, step: step,
		last: make([]sparkplug.Value, len(n.tags)), known: make([]bool, len(n.tags)), filling: map[string]*batch{}}
	r.order = append(r.order, "")
	for _, d := range n.spec.Devices {
		r.order = append(r.order, d.Device)
	}
	return r
}

// planHistory queues what is owed of the past: all of Options.History after the first birth, a backlog after a cut.
func (s *session) planHistory() {
	now := s.now()
	if s.opt.History > 0 && s.view().Births == 1 && !s.twin {
		r := newReplay(s.node, now.Add(-s.opt.History).Truncate(historyStep).Add(historyStep), now, historyStep)
		r.gap, r.till = s.spec.machine.rest(now.Add(-s.opt.History/2), mix(s.opt.Seed, s.spec.Group, s.spec.Node))
		s.replays = append(s.replays, r)
	}
	if !s.missed.IsZero() {
		s.replays = append(s.replays, s.missedReplay(now))
	}
}

// sendPast sends one historical message, and says how long to wait for the next. Data is flagged as historical
// and carries the sample's own time. [tck-id-operational-behavior-data-publish-dbirth-values]
func (s *session) sendPast(ctx context.Context) (time.Duration, error) {
	if len(s.replays) == 0 {
		return 0, nil
	}
	r := s.replays[0]
	b, ok := r.next()
	if !ok {
		s.replays = s.replays[1:]
		s.update(func(st *Status) { st.HistoryDone = true })
		return 0, nil
	}
	if b.device != "" && b.device == s.lost {
		return s.opt.Interval, nil // its next DBIRTH comes first
	}
	metrics := make([]sparkplug.Metric, len(b.samples))
	for i, x := range b.samples {
		metrics[i] = s.dataMetric(x.tag, x.at, x.value)
		metrics[i].Historical = true
	}
	kind := sparkplug.NDATA
	if b.device != "" {
		kind = sparkplug.DDATA
	}
	if err := s.send(ctx, kind, b.device, s.now(), metrics); err != nil {
		return 0, err // the batch stays the first to be sent
	}
	r.batches = r.batches[1:]
	s.update(func(st *Status) { st.HistorySent += len(metrics) })
	if r.burst {
		return 0, nil
	}
	return time.Duration(len(metrics)) * time.Second / time.Duration(s.opt.HistoryRate), nil
}

// next is the oldest message not yet sent; false when there is none left. The caller removes it.
func (r *replay) next() (batch, bool) {
	for len(r.batches) == 0 && r.at.Before(r.to) {
		r.look()
		r.at = r.at.Add(r.step)
	}
	if len(r.batches) == 0 {
		for _, d := range r.order {
			r.cut(d)
		}
	}
	if len(r.batches) == 0 {
		return batch{}, false
	}
	return r.batches[0], true
}

// look is one moment of the past: what has changed since the last is put into its device's batch.
func (r *replay) look() {
	if !r.at.Before(r.gap) && r.at.Before(r.till) {
		return
	}
	for i, t := range r.tags {
		if r.known[i] && r.skips(t) {
			continue
		}
		v := r.value(t, r.at)
		if r.known[i] && !changed(t.Signal, r.last[i], v) {
			continue
		}
		r.last[i], r.known[i] = v, true
		b := r.filling[t.device]
		if b == nil {
			b = &batch{device: t.device}
			r.filling[t.device] = b
		}
		b.samples = append(b.samples, sample{t, r.at, v})
		if len(b.samples) == batchSize {
			r.cut(t.device)
		}
	}
}

// skips tells whether a tag with a wider spacing than the step has its turn at another look.
func (r *replay) skips(t *tag) bool {
	return t.Spacing > r.step && r.at.UnixNano()/int64(r.step)%int64(t.Spacing/r.step) != 0
}

func (r *replay) cut(device string) {
	if b := r.filling[device]; b != nil {
		r.batches = append(r.batches, *b)
		delete(r.filling, device)
	}
}
