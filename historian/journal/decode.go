package journal

import (
	"encoding/binary"
	"errors"
)

// errDamaged says that an entry is not as the encoder writes it. A commit with the right checksum never has it.
var errDamaged = errors.New("damaged entry")

// The flags of a sample in format version 1. What a flag says to be as expected was not written.
const (
	flagNextSeries = 1 << iota // series = the previous sample's + 1
	flagSameAt                 // At = the previous sample's
	flagSameReceived
	flagNotGood // the quality follows
	flagHistorical
	flagBirth
	flagNull    // no value follows
	flagNewType // the type follows; otherwise the previous sample's
)

// entry is the outer part of an entry: enough to skip it.
type entry struct {
	kind  Kind
	short bool   // samples of format version 2
	count uint64 // indices that it takes
	at    Millis
	body  []byte // lies in the commit's payload
}

// nextEntry splits the first entry off b. It does not look into the body.
func nextEntry(b []byte, base Millis) (e entry, rest []byte, err error) {
	d := decoder{Fields: Fields{B: b}}
	e.kind, e.count = Kind(d.Byte()), 1
	if e.kind == kindShort {
		e.kind, e.short = KindSamples, true
	}
	if e.kind == KindSamples || e.kind == kindSkip {
		e.count = d.Uvarint()
	}
	e.at = base + Millis(d.Varint())
	e.body = d.Take(d.Uvarint())
	if d.Bad || e.count == 0 || e.kind == KindSamples && e.count > uint64(len(e.body)) {
		return entry{}, nil, errDamaged // a sample takes at least one byte
	}
	return e, d.B, nil
}

// record decodes an entry that begins at first, for a reader that wants what is at or above from. Samples are put into buf if they fit.
func (e entry) record(first, from Index, buf []Sample) (Record, error) {
	rec := Record{Index: first, At: e.at, Kind: e.kind}
	// The record is its reader's, and the payload is shared: text is copied out, all of it at once.
	d := decoder{Fields: Fields{B: e.body}}
	switch e.kind {
	case KindSamples:
		skip := uint64(0)
		if from > first {
			skip, rec.Index = uint64(from-first), from
		}
		rec.Samples = d.samples(e, first, skip, buf)
	case KindSchema:
		rec.Schema = d.schema()
	case KindEvent:
		rec.Event = d.event(first)
		rec.Event.Received = rec.At
	case KindState:
		rec.Owner, rec.Key = d.Text(), d.Text()
		rec.Data = d.rest()
	default:
		rec.Data = d.rest()
	}
	if !d.Whole() {
		return Record{}, errDamaged
	}
	return rec, nil
}

// decoder reads an entry's body.
type decoder struct {
	Fields
	copied bool // B is our own copy, so values may lie in it
}

// samples decodes an entry's samples and returns them without the first skip.
func (d *decoder) samples(e entry, first Index, skip uint64, buf []Sample) []Sample {
	out := buf[:0]
	if uint64(cap(buf)) < e.count {
		out = make([]Sample, 0, min(e.count, 1<<16)) // beyond it the count is believed as samples come
	}
	prev := &Sample{At: e.at, Received: e.at, Quality: Good}
	for i := range e.count {
		out = append(out, Sample{Index: first + Index(i)})
		s := &out[i]
		if e.short {
			d.shortSample(s, prev)
		} else {
			d.sample(s, prev)
		}
		if d.Bad {
			return nil
		}
		prev = s
	}
	return out[min(skip, e.count):]
}

// sample reads a sample of format version 1.
func (d *decoder) sample(s, prev *Sample) {
	flags := d.Byte()
	s.Series = prev.Series + 1
	if flags&flagNextSeries == 0 {
		s.Series = SeriesID(int64(prev.Series) + d.Varint())
	}
	s.Value.Type = prev.Value.Type
	if flags&flagNewType != 0 {
		s.Value.Type = DataType(d.Byte())
	}
	s.At, s.Received, s.Quality = prev.At, prev.Received, Good
	if flags&flagSameAt == 0 {
		s.At += Millis(d.Varint())
	}
	if flags&flagSameReceived == 0 {
		s.Received += Millis(d.Varint())
	}
	if flags&flagNotGood != 0 {
		s.Quality = Quality(d.Uvarint())
	}
	s.Historical = flags&flagHistorical != 0
	s.Birth = flags&flagBirth != 0
	if s.Value.Null = flags&flagNull != 0; !s.Value.Null {
		d.value(&s.Value)
	}
}

func (d *decoder) value(v *Value) {
	switch v.Type {
	case 1, 2, 3, 4, 13:
		v.Num = uint64(d.Varint())
	case 5, 6, 7, 8, 11:
		v.Num = d.Uvarint()
	case 9:
		if p := d.Take(4); p != nil {
			v.Num = uint64(binary.LittleEndian.Uint32(p))
		}
	case 10:
		if p := d.Take(8); p != nil {
			v.Num = binary.LittleEndian.Uint64(p)
		}
	default:
		v.Bytes = d.bytes()
	}
}

func (d *decoder) schema() *Schema {
	s := &Schema{Series: SeriesID(d.Uvarint())}
	s.Key.Type = DataType(d.Byte())
	s.Key.Group, s.Key.Node, s.Key.Device, s.Key.Metric = d.Text(), d.Text(), d.Text(), d.Text()
	return s
}

func (d *decoder) event(i Index) *Event {
	e := &Event{Index: i, Kind: EventKind(d.Byte()), At: Millis(d.Varint()), Until: Millis(d.Varint())}
	e.Group, e.Node, e.Device, e.Reason, e.User = d.Text(), d.Text(), d.Text(), d.Text(), d.Text()
	e.BdSeq = int16(d.Varint())
	e.Count = d.Uvarint()
	e.Payload = d.rest()
	return e
}

// bytes returns a length and that many bytes; nil for none.
func (d *decoder) bytes() []byte {
	n := d.Uvarint()
	if n == 0 {
		return nil
	}
	d.own()
	return d.Take(n)
}

// rest returns all that is left; nil for nothing.
func (d *decoder) rest() []byte {
	if len(d.B) == 0 {
		return nil
	}
	d.own()
	return d.Take(uint64(len(d.B)))
}

// own makes the rest of the body the record's own, so that its reader shares nothing with others.
func (d *decoder) own() {
	if !d.copied {
		d.B, d.copied = append([]byte(nil), d.B...), true
	}
}
