package historian

import (
	"cmp"
	"context"
	"slices"

	"edge/historian/journal"

	bolt "go.etcd.io/bbolt"
)

const (
	defaultEvents = 100
	maxEvents     = 1000
)

// Events returns events, newest first, without their payloads: Birth has them.
func (s *Store) Events(ctx context.Context, q EventQuery) ([]journal.Event, error) {
	limit := min(q.Limit, maxEvents)
	if limit <= 0 {
		limit = defaultEvents
	}
	out := s.eventsInMemory(q) // before the files: what moves there meanwhile is then seen twice, not never
	out = newest(out, limit)
	for _, day := range s.eventDays() {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		_, t := s.days.info(day)
		if len(out) == limit && t.lastEvent < out[limit-1].Index {
			continue
		}
		found, err := s.eventsOf(ctx, day, q, limit)
		if err != nil {
			return nil, err
		}
		out = newest(append(out, found...), limit)
	}
	return out, s.whenReceived(ctx, out)
}

// whenReceived fills in when events of files were received. Most have the appliance's own time; of what a node or device said of
// itself, and of gaps, it stands with their life.
func (s *Store) whenReceived(ctx context.Context, list []journal.Event) error {
	for i := range list {
		e := &list[i]
		switch {
		case e.Received != 0:
		case e.Kind == journal.NodeDeath || !isLife(e.Kind):
			e.Received = e.At
		default:
			if err := s.receivedByLife(ctx, e); err != nil {
				return err
			}
		}
	}
	return nil
}

// receivedByLife finds an event among the births and deaths of its day. One that retention has left no row of stays without.
func (s *Store) receivedByLife(ctx context.Context, e *journal.Event) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	day := dayOf(e.At)
	if len(s.days.existing(day, day)) == 0 {
		return nil
	}
	rows, err := s.lifeOf(day)
	if err != nil {
		return err
	}
	for _, row := range rows[owner{e.Group, e.Node, e.Device}.keyed()] {
		if row.Index == e.Index {
			e.Received = row.logged
		}
	}
	return nil
}

func (q *EventQuery) wants(e *journal.Event) bool {
	return (q.After == 0 || e.Index < q.After) && (len(q.Kinds) == 0 || slices.Contains(q.Kinds, e.Kind)) &&
		(q.Group == "" || e.Group == q.Group) && (q.Node == "" || e.Node == q.Node) &&
		e.At >= q.From && (q.To == 0 || e.At < q.To)
}

// newest sorts events by index, newest first, each once, and cuts the list.
func newest(list []journal.Event, limit int) []journal.Event {
	slices.SortFunc(list, func(a, b journal.Event) int { return cmp.Compare(b.Index, a.Index) })
	list = slices.CompactFunc(list, func(a, b journal.Event) bool { return a.Index == b.Index })
	return list[:min(len(list), limit)]
}

func (s *Store) eventsInMemory(q EventQuery) (out []journal.Event) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	for _, h := range s.heads() {
		for i := range h.events {
			if e := h.events[i].Event; q.wants(&e) {
				e.Payload = nil
				out = append(out, e)
			}
		}
	}
	return out
}

// eventDays lists the days by their last event, newest first: that is the order of arrival, whatever the clocks did.
func (s *Store) eventDays() []int64 {
	list := s.days.existing(0, 1<<40)
	last := make(map[int64]journal.Index, len(list))
	for _, day := range list {
		_, t := s.days.info(day)
		last[day] = t.lastEvent
	}
	list = slices.DeleteFunc(list, func(day int64) bool { return last[day] == 0 })
	slices.SortFunc(list, func(a, b int64) int { return cmp.Compare(last[b], last[a]) })
	return list
}

// eventsOf returns at most limit events of one file.
func (s *Store) eventsOf(ctx context.Context, day int64, q EventQuery, limit int) (out []journal.Event, err error) {
	err = s.days.get(day).view(func(tx *bolt.Tx) error {
		c := tx.Bucket(bucketEvent).Cursor()
		k, v := c.Last()
		if q.After != 0 {
			k, v = lastBelow(c, big8(uint64(q.After)))
		}
		for n := 0; k != nil && len(out) < limit; k, v = c.Prev() {
			if n++; n%1024 == 0 && ctx.Err() != nil {
				return ctx.Err()
			}
			if e, err := readEvent(k, v); err == nil && q.wants(&e) {
				out = append(out, e)
			}
		}
		return nil
	}, bucketEvent)
	return out, s.survive(err)
}
