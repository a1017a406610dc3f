package main

import (
	"fmt"
	"time"

	"edge/historian/journal"
	"edge/sparkplug"
)

// seriesOf finds or gives a metric's series; historian.Store does.
type seriesOf interface {
	Resolve(k journal.SeriesKey) (id journal.SeriesID, fresh bool)
}

// recorder turns what the host says into journal records. It belongs to the plant and is guarded by its lock.
//
// When the journal takes nothing (its buffer is full, or the disk is), samples are counted as lost and events wait,
// at most maxWaiting of them; the first append that works is preceded by those events and a GapEvent for each node.
type recorder struct {
	journal  *journal.Journal
	series   seriesOf
	waiting  []journal.Record          // schemas and events that must not be lost
	schemas  map[journal.SeriesID]bool // in waiting
	payloads int                       // bytes of births in waiting
	lost     map[sparkplug.NodeRef]lostSpan
	refused  uint64    // samples without a series: the catalog is full
	most     int       // bytes of a value; a larger one is told of and not recorded. 0: no limit
	large    time.Time // when one was told of

	recs    []journal.Record // memory of one append: the journal keeps nothing of it
	samples []journal.Sample
}

const (
	maxWaiting      = 4096    // bounds the events kept while the journal takes nothing
	maxWaitingBytes = 2 << 20 // bounds the births kept with them; what is above waits without
	keptSamples     = 4096    // room for so many is kept from one append to the next; a birth may need more
	portion         = 256     // records that are appended at once when the journal takes them again: they fit its buffer
)

// lostSpan is what one node lost while the journal took nothing.
type lostSpan struct {
	from, to time.Time
	count    uint64
}

// append writes the host's records in their order, due at the latest. It returns the index that makes them durable
// and the events as the event log will have them, on an error those that had waited and were written.
func (r *recorder) append(due time.Duration, records []sparkplug.Record) (journal.Index, []journal.Event, error) {
	recs := r.convert(records)
	events, err := r.settle(due)
	var index journal.Index
	if err == nil {
		index, err = r.journal.Append(due, recs...)
	}
	if err != nil {
		r.keep(recs, records)
		return 0, events, err
	}
	return index, appendEvents(events, recs), nil
}

// settle writes what waits and the gaps.
func (r *recorder) settle(due time.Duration) (events []journal.Event, err error) {
	for len(r.waiting) > 0 {
		recs := r.waiting[:min(portion, len(r.waiting))]
		if _, err := r.journal.Append(due, recs...); err != nil {
			return events, err
		}
		events, r.waiting = appendEvents(events, recs), r.waiting[len(recs):]
	}
	r.waiting, r.schemas, r.payloads = nil, nil, 0
	for ref, span := range r.lost {
		gap := gapRecord(ref, span)
		if _, err := r.journal.Append(due, gap); err != nil {
			return events, err
		}
		events = append(events, *gap.Event)
		delete(r.lost, ref)
	}
	return events, nil
}

func appendEvents(events []journal.Event, recs []journal.Record) []journal.Event {
	for i := range recs {
		if recs[i].Kind == journal.KindEvent {
			events = append(events, *recs[i].Event)
		}
	}
	return events
}

// convert groups neighbouring samples into one record; a schema precedes the first sample of its series. What it returns is
// good until the next call.
func (r *recorder) convert(records []sparkplug.Record) []journal.Record {
	clear(r.recs)
	clear(r.samples)
	recs, samples, from := r.recs[:0], r.samples[:0], 0
	defer func() {
		if r.recs = recs; cap(samples) <= keptSamples {
			r.samples = samples
		}
	}()
	flush := func() {
		if len(samples) > from {
			recs = append(recs, journal.Record{Kind: journal.KindSamples, Samples: samples[from:len(samples):len(samples)]})
			from = len(samples)
		}
	}
	for _, rec := range records {
		if rec.Event != nil {
			flush()
			recs = append(recs, journal.Record{Kind: journal.KindEvent, Event: journalEvent(rec.Event)})
			continue
		}
		if n := len(rec.Sample.Value.Bytes); r.most > 0 && n > r.most {
			if rec.Sample.Received.Sub(r.large) >= time.Minute {
				r.large = rec.Sample.Received
				flush()
				recs = append(recs, largeRecord(rec.Sample, r.most))
			}
			continue
		}
		id, schema := r.seriesOf(rec.Sample)
		if id == 0 {
			if r.refused++; r.refused == 1 {
				flush()
				recs = append(recs, fullRecord(rec.Sample))
			}
			continue
		}
		if schema != nil {
			flush()
			recs = append(recs, journal.Record{Kind: journal.KindSchema, Schema: schema})
		}
		samples = append(samples, journalSample(id, rec.Sample))
	}
	flush()
	return recs
}

// settled is how long after a series was last announced, or first met in a birth's epoch, its number is known for good:
// until then Resolve may want it announced again, for as long as its schema has not come through the journal.
const settled = 5000 // ms

// seriesOf returns a sample's series, 0 if there is none for it, and its schema when that is to be written first. Once
// it is settled it is in the metric's slot until the next birth: no hashing of four names for each sample.
func (r *recorder) seriesOf(s *sparkplug.Sample) (journal.SeriesID, *journal.Schema) {
	if s.Slot != nil && s.Slot.ID != 0 {
		return journal.SeriesID(s.Slot.ID), nil
	}
	key := seriesKey(s)
	id, fresh := r.series.Resolve(key)
	if id != 0 && fresh {
		if s.Slot != nil {
			s.Slot.At = 0
		}
		return id, &journal.Schema{Series: id, Key: key}
	}
	if id != 0 && s.Slot != nil {
		switch now := sparkplug.Millis(s.Received); {
		case s.Slot.At == 0 || now < s.Slot.At:
			s.Slot.At = now
		case now-s.Slot.At >= settled:
			s.Slot.ID = uint64(id)
		}
	}
	return id, nil
}

// fullRecord says, once, that from now on not everything is recorded.
func fullRecord(s *sparkplug.Sample) journal.Record {
	return journal.Record{Kind: journal.KindEvent, Event: &journal.Event{
		Kind: journal.SystemEvent, Group: s.Group, Node: s.Node, Device: s.Device, BdSeq: -1, At: millis(s.Received),
		Reason: fmt.Sprintf("the history takes no further metrics, it has as many as it can: %.100q and others that are new are not recorded", s.Metric),
	}}
}

// largeRecord says of a value that it is not recorded: it is larger than a packet and than historian.value_bytes, as a file that came in
// parts may be.
func largeRecord(s *sparkplug.Sample, most int) journal.Record {
	return journal.Record{Kind: journal.KindEvent, Event: &journal.Event{
		Kind: journal.SystemEvent, Group: s.Group, Node: s.Node, Device: s.Device, BdSeq: -1, At: millis(s.Received),
		Reason: fmt.Sprintf("a value of %.100q has %d bytes and is not recorded: the journal takes at most %d, raise historian.value_bytes",
			s.Metric, len(s.Value.Bytes), most),
	}}
}

// keep remembers what a failed append must not forget.
func (r *recorder) keep(recs []journal.Record, records []sparkplug.Record) {
	for _, rec := range recs {
		switch rec.Kind {
		case journal.KindSchema: // one for each series, which the catalog bounds, however often it is announced
			if id := rec.Schema.Series; !r.schemas[id] {
				if r.schemas == nil {
					r.schemas = map[journal.SeriesID]bool{}
				}
				r.schemas[id] = true
				r.waiting = append(r.waiting, rec)
			}
		case journal.KindEvent:
			r.keepEvent(rec)
		}
	}
	for _, rec := range records {
		if s := rec.Sample; s != nil {
			r.lose(sparkplug.NodeRef{Group: s.Group, Node: s.Node}, s.Received, 1)
		}
	}
}

// keepEvent keeps an event, or begins a gap in its stead: what it would have ended is not known any more.
func (r *recorder) keepEvent(rec journal.Record) {
	if len(r.waiting)-len(r.schemas) >= maxWaiting {
		r.lose(sparkplug.NodeRef{Group: rec.Event.Group, Node: rec.Event.Node}, time.UnixMilli(int64(rec.Event.At)), 0)
		return
	}
	if n := len(rec.Event.Payload); r.payloads+n <= maxWaitingBytes {
		r.payloads += n
	} else {
		rec.Event.Payload = nil
	}
	r.waiting = append(r.waiting, rec)
}

// lose widens the gap of a node.
func (r *recorder) lose(ref sparkplug.NodeRef, at time.Time, samples uint64) {
	if r.lost == nil {
		r.lost = map[sparkplug.NodeRef]lostSpan{}
	}
	span, ok := r.lost[ref]
	if !ok {
		span.from = at
	}
	span.to, span.count = at, span.count+samples
	r.lost[ref] = span
}

func gapRecord(ref sparkplug.NodeRef, span lostSpan) journal.Record {
	return journal.Record{Kind: journal.KindEvent, Event: &journal.Event{
		Kind: journal.GapEvent, Group: ref.Group, Node: ref.Node, Count: span.count, BdSeq: -1,
		At: millis(span.from), Until: millis(span.to), Reason: "the journal could not take these samples: disk full, or slower than the data",
	}}
}

func seriesKey(s *sparkplug.Sample) journal.SeriesKey {
	return journal.SeriesKey{Group: s.Group, Node: s.Node, Device: s.Device, Metric: s.Metric, Type: journal.DataType(s.Value.Type)}
}

func journalSample(id journal.SeriesID, s *sparkplug.Sample) journal.Sample {
	return journal.Sample{
		Series: id, At: millis(s.At), Received: millis(s.Received), Quality: journal.Quality(s.Quality),
		Value:      journal.Value{Type: journal.DataType(s.Value.Type), Null: s.Value.Null, Num: s.Value.Num, Bytes: s.Value.Bytes},
		Historical: s.Historical, Birth: s.Birth,
	}
}

// eventKinds maps the host's events to the journal's.
var eventKinds = map[sparkplug.EventKind]journal.EventKind{
	sparkplug.NodeBorn: journal.NodeBirth, sparkplug.NodeDied: journal.NodeDeath,
	sparkplug.DeviceBorn: journal.DeviceBirth, sparkplug.DeviceDied: journal.DeviceDeath,
	sparkplug.SeqGap: journal.SeqGap, sparkplug.RebirthAsked: journal.RebirthAsked, sparkplug.RebirthDone: journal.RebirthDone,
	sparkplug.ClockStepped: journal.ClockEvent, sparkplug.StateDuel: journal.SystemEvent,
}

func journalEvent(e *sparkplug.Event) *journal.Event {
	return &journal.Event{
		Kind: eventKinds[e.Kind], At: millis(e.At), Group: e.Group, Node: e.Node, Device: e.Device,
		Reason: e.Reason, BdSeq: int16(e.BdSeq), Payload: e.Payload,
	}
}

func millis(t time.Time) journal.Millis {
	if t.IsZero() {
		return 0
	}
	return journal.Millis(t.UnixMilli())
}
