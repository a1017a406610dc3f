package journal

import "encoding/binary"

// kindSkip is an entry without content: count indices are never given (see Owner.Checkpoint).
const kindSkip Kind = 127

// The flags of a sample. What a flag says to be as expected is not written.
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

// appendEntry appends rec as one entry. base is the commit's time; body is scratch and is returned grown.
func appendEntry(b, body []byte, rec *Record, base Millis) (entry, scratch []byte) {
	body = appendBody(body[:0], rec)
	b = append(b, byte(rec.Kind))
	if rec.Kind == KindSamples {
		b = binary.AppendUvarint(b, uint64(len(rec.Samples)))
	}
	b = binary.AppendVarint(b, int64(rec.At-base))
	b = binary.AppendUvarint(b, uint64(len(body)))
	return append(b, body...), body
}

func appendBody(b []byte, rec *Record) []byte {
	switch rec.Kind {
	case KindSamples:
		return appendSamples(b, rec.At, rec.Samples)
	case KindSchema:
		return appendSchema(b, rec.Schema)
	case KindEvent:
		return appendEvent(b, rec.Event)
	case KindState:
		b = appendText(b, rec.Owner)
		b = appendText(b, rec.Key)
		return append(b, rec.Data...)
	}
	return append(b, rec.Data...)
}

// appendSamples writes each sample as the difference from the one before it; the first, from the record's time.
func appendSamples(b []byte, at Millis, samples []Sample) []byte {
	prev := Sample{At: at, Received: at}
	for i := range samples {
		b = appendSample(b, &prev, &samples[i])
		prev = samples[i]
	}
	return b
}

func appendSample(b []byte, prev, s *Sample) []byte {
	flags := sampleFlags(prev, s)
	b = append(b, flags)
	if flags&flagNextSeries == 0 {
		b = binary.AppendVarint(b, int64(s.Series)-int64(prev.Series))
	}
	if flags&flagNewType != 0 {
		b = append(b, byte(s.Value.Type))
	}
	if flags&flagSameAt == 0 {
		b = binary.AppendVarint(b, int64(s.At-prev.At))
	}
	if flags&flagSameReceived == 0 {
		b = binary.AppendVarint(b, int64(s.Received-prev.Received))
	}
	if flags&flagNotGood != 0 {
		b = binary.AppendUvarint(b, uint64(s.Quality))
	}
	if flags&flagNull != 0 {
		return b
	}
	return appendValue(b, &s.Value)
}

func sampleFlags(prev, s *Sample) (flags byte) {
	if s.Series == prev.Series+1 {
		flags |= flagNextSeries
	}
	if s.At == prev.At {
		flags |= flagSameAt
	}
	if s.Received == prev.Received {
		flags |= flagSameReceived
	}
	if s.Quality != Good {
		flags |= flagNotGood
	}
	if s.Historical {
		flags |= flagHistorical
	}
	if s.Birth {
		flags |= flagBirth
	}
	if s.Value.Null {
		flags |= flagNull
	}
	if s.Value.Type != prev.Value.Type {
		flags |= flagNewType
	}
	return flags
}

func appendValue(b []byte, v *Value) []byte {
	switch v.Type {
	case 1, 2, 3, 4, 13: // Int8, Int16, Int32, Int64, DateTime
		return binary.AppendVarint(b, int64(v.Num))
	case 5, 6, 7, 8, 11: // UInt8, UInt16, UInt32, UInt64, Boolean
		return binary.AppendUvarint(b, v.Num)
	case 9: // Float
		return binary.LittleEndian.AppendUint32(b, uint32(v.Num))
	case 10: // Double
		return binary.LittleEndian.AppendUint64(b, v.Num)
	}
	b = binary.AppendUvarint(b, uint64(len(v.Bytes)))
	return append(b, v.Bytes...)
}

func appendSchema(b []byte, s *Schema) []byte {
	b = binary.AppendUvarint(b, uint64(s.Series))
	b = append(b, byte(s.Key.Type))
	b = appendText(b, s.Key.Group)
	b = appendText(b, s.Key.Node)
	b = appendText(b, s.Key.Device)
	return appendText(b, s.Key.Metric)
}

func appendEvent(b []byte, e *Event) []byte {
	b = append(b, byte(e.Kind))
	b = binary.AppendVarint(b, int64(e.At))
	b = binary.AppendVarint(b, int64(e.Until))
	for _, s := range [...]string{e.Group, e.Node, e.Device, e.Reason, e.User} {
		b = appendText(b, s)
	}
	b = binary.AppendVarint(b, int64(e.BdSeq))
	b = binary.AppendUvarint(b, e.Count)
	return append(b, e.Payload...)
}

func appendText(b []byte, s string) []byte {
	b = binary.AppendUvarint(b, uint64(len(s)))
	return append(b, s...)
}
