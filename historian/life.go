package historian

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"slices"

	"edge/historian/journal"

	bolt "go.etcd.io/bbolt"
)

// lookBack is how far before a range a gap may have begun and still be found, and how far a value is carried.
const lookBack = 3 * dayMillis

// maxLife is how many births, deaths and gaps one answer looks at.
const maxLife = 100_000

// isLife says that an event of this kind bears on what may be believed of samples.
func isLife(k journal.EventKind) bool {
	switch k {
	case journal.NodeBirth, journal.NodeDeath, journal.DeviceBirth, journal.DeviceDeath, journal.GapEvent:
		return true
	}
	return false
}

// maxKeyName is how long a name may be in a key: an MQTT topic has 64 KB, a key of bbolt 32.
const maxKeyName = 4096

// keyed is o as keys have it: of a name that is too long for one its beginning and its SHA-256 stand there.
func (o owner) keyed() owner {
	short := func(name string) string {
		if len(name) <= maxKeyName {
			return name
		}
		sum := sha256.Sum256([]byte(name))
		return name[:maxKeyName-2*len(sum)] + hex.EncodeToString(sum[:])
	}
	return owner{short(o.group), short(o.node), short(o.device)}
}

// lifePrefix begins the keys of one owner's rows; with all names empty those of everybody.
func lifePrefix(o owner) []byte {
	o = o.keyed()
	var b []byte
	for _, name := range [...]string{o.group, o.node, o.device} {
		b = appendText(b, name)
	}
	return b
}

func lifeKey(e loggedEvent) []byte {
	b := binary.BigEndian.AppendUint64(lifePrefix(owner{e.Group, e.Node, e.Device}), uint64(e.At))
	return binary.BigEndian.AppendUint64(b, uint64(e.Index))
}

func appendLife(e loggedEvent) []byte {
	b := append([]byte(nil), byte(e.Kind))
	b = binary.AppendVarint(b, int64(e.Until))
	b = binary.AppendVarint(b, int64(e.logged))
	return appendText(b, e.Reason)
}

func readLife(o owner, k, v []byte) (e loggedEvent, err error) {
	n := len(k) - 16
	f := &journal.Fields{B: v}
	e.Kind = journal.EventKind(f.Uvarint())
	e.Until, e.logged = journal.Millis(f.Varint()), journal.Millis(f.Varint())
	e.Reason = f.Text()
	if n < 0 || !f.Whole() {
		return e, errMalformed
	}
	e.At = journal.Millis(binary.BigEndian.Uint64(k[n:]))
	e.Index = journal.Index(binary.BigEndian.Uint64(k[n+8:]))
	e.Group, e.Node, e.Device = o.group, o.node, o.device
	return e, nil
}

// concerns are the owners whose life bears on a metric of o: everybody, its node, its device.
func concerns(o owner) []owner {
	out := []owner{{}, {o.group, o.node, ""}}
	if o.device != "" {
		out = append(out, o)
	}
	return out
}

// turn is what an event does to a metric: it ends its truth, begins it, or neither.
type turn int

const (
	turnNone turn = iota
	turnDeath
	turnBirth
)

// turnOf: a node's death is its devices' too; a device lives again with its own birth only.
func turnOf(o owner, k journal.EventKind) turn {
	switch {
	case k == journal.NodeDeath || k == journal.DeviceDeath:
		return turnDeath
	case k == journal.NodeBirth && o.device == "", k == journal.DeviceBirth:
		return turnBirth
	}
	return turnNone
}

// gaps returns the stretches of from <= t < to without truth for a metric of o, oldest first. To 0: it lasts.
func (s *Store) gaps(ctx context.Context, o owner, from, to journal.Millis) ([]Gap, error) {
	list, err := s.turns(ctx, o, max(0, from-lookBack), to)
	if err != nil {
		return nil, err
	}
	return clip(deadSpans(o, list), from, to), nil
}

// turns returns the births, deaths and gaps of from <= At < to that concern o and the last birth or death before, in order of
// arrival. That is the order of life: a birth has the device's clock, a death may have ours.
func (s *Store) turns(ctx context.Context, o owner, from, to journal.Millis) ([]loggedEvent, error) {
	list, err := s.lifeBetween(ctx, o, from, to)
	if err != nil {
		return nil, err
	}
	before, err := s.lifeBefore(ctx, o, from)
	if err != nil {
		return nil, err
	}
	if before != nil {
		list = append(list, *before)
	}
	state, err := s.stateOf(o)
	now := s.now()
	for _, e := range state { // if their day is gone, or cannot be read
		if e.At > now+2*farFuture { // stamped by our clock while it was wrong: it has been by now
			e.At = now
		}
		if e.At < to {
			list = append(list, e)
		}
	}
	return onceEach(list), err
}

// onceEach sorts by arrival, each event once: of a gap that is there in parts (see putLongGap) the bounds of all that were found.
func onceEach(list []loggedEvent) []loggedEvent {
	slices.SortStableFunc(list, byArrival)
	out := list[:0]
	for _, e := range list {
		if n := len(out); n > 0 && out[n-1].Index == e.Index {
			out[n-1].At, out[n-1].Until = min(out[n-1].At, e.At), max(out[n-1].Until, e.Until)
			continue
		}
		out = append(out, e)
	}
	return out
}

func byArrival(a, b loggedEvent) int { return cmp.Compare(a.Index, b.Index) }

// deadSpans turns events in order of arrival into gaps.
func deadSpans(o owner, list []loggedEvent) (out []Gap) {
	open := -1
	for _, e := range list {
		switch t := turnOf(o, e.Kind); {
		case e.Kind == journal.GapEvent:
			out = append(out, Gap{From: e.At, To: max(e.Until, e.At), Cause: e.Reason})
		case t == turnDeath && open < 0:
			open = len(out)
			out = append(out, Gap{From: e.At, Cause: cause(e)})
		case t == turnBirth && open >= 0:
			end := e.At
			if end < out[open].From {
				end = max(e.logged, out[open].From) // clocks differ: the birth's arrival
			}
			out[open].To = end
			if end == out[open].From {
				out = slices.Delete(out, open, open+1)
			}
			open = -1
		}
	}
	slices.SortStableFunc(out, func(a, b Gap) int { return cmp.Compare(a.From, b.From) })
	return out
}

func cause(e loggedEvent) string {
	what := "node death"
	if e.Kind == journal.DeviceDeath {
		what = "device death"
	}
	if e.Reason == "" {
		return what
	}
	return what + ": " + e.Reason
}

// clip keeps the gaps that touch the range. They keep their own bounds: a reader sees since when it lasts.
func clip(list []Gap, from, to journal.Millis) []Gap {
	return slices.DeleteFunc(list, func(g Gap) bool { return g.From >= to || g.To != 0 && (g.To <= from || g.To == g.From) })
}

// lifeBetween collects the events with from <= At < to, of memory and of the files; also a longer gap that began before.
func (s *Store) lifeBetween(ctx context.Context, o owner, from, to journal.Millis) ([]loggedEvent, error) {
	who := concerns(o)
	out := s.lifeInMemory(who, from, to)
	for _, day := range s.days.existing(dayOf(from), dayOf(max(from, to-1))) {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		rows, err := s.lifeOf(day)
		if err != nil {
			return nil, err
		}
		for _, w := range who {
			for _, e := range rows[w.keyed()] {
				if e.At >= from && e.At < to && len(out) < maxLife {
					out = append(out, e)
				}
			}
		}
	}
	for _, month := range s.trends.existing(monthOf(from), monthOf(max(from, to-1))) {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		rows, err := s.lifeOfMonth(month)
		if err != nil {
			return nil, err
		}
		for _, w := range who {
			for _, e := range rows[w.keyed()] {
				if e.At < to && (e.At >= from || e.Kind == journal.GapEvent && e.Until > from) && len(out) < maxLife {
					out = append(out, e)
				}
			}
		}
	}
	return out, nil
}

func (s *Store) lifeInMemory(who []owner, from, to journal.Millis) (out []loggedEvent) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	for _, h := range s.heads() {
		for _, e := range h.events {
			if isLife(e.Kind) && (e.At >= from || e.Until > from) && e.At < to && slices.Contains(who, owner{e.Group, e.Node, e.Device}) {
				out = append(out, e)
			}
		}
	}
	return out
}

// lifeBefore finds the last birth or death before a time. It looks at memory, then at the days backwards, then at the months.
func (s *Store) lifeBefore(ctx context.Context, o owner, at journal.Millis) (*loggedEvent, error) {
	who := concerns(o)
	var last *loggedEvent
	take := func(e loggedEvent) {
		if turnOf(o, e.Kind) != turnNone && (last == nil || e.Index > last.Index) {
			last = &e
		}
	}
	for _, e := range s.lifeInMemory(who, 0, at) {
		take(e)
	}
	back := func(units []int64, lifeOf func(int64) (map[owner][]loggedEvent, error)) error {
		for i := len(units) - 1; i >= 0 && last == nil; i-- {
			if err := ctx.Err(); err != nil {
				return err
			}
			rows, err := lifeOf(units[i])
			if err != nil {
				return err
			}
			for _, w := range who {
				if e, ok := lastTurn(rows[w.keyed()], o, at); ok {
					take(e)
				}
			}
		}
		return nil
	}
	err := back(s.days.existing(0, dayOf(at)), s.lifeOf)
	if err == nil {
		err = back(s.trends.existing(0, monthOf(at)), s.lifeOfMonth)
	}
	return last, err
}

// lastTurn is the last of one owner's rows before a time that is a birth or a death for o.
func lastTurn(rows []loggedEvent, o owner, at journal.Millis) (loggedEvent, bool) {
	for _, e := range slices.Backward(rows) {
		if e.At < at && turnOf(o, e.Kind) != turnNone {
			return e, true
		}
	}
	return loggedEvent{}, false
}

// lastBelow moves the cursor to the last row whose key is below key.
func lastBelow(c *bolt.Cursor, key []byte) (k, v []byte) {
	if k, _ := c.Seek(key); k == nil {
		return c.Last()
	}
	return c.Prev()
}
