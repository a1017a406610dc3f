package journal

import "encoding/binary"

// kindSkip is an entry without content: count indices are never given (see Owner.Checkpoint).
const kindSkip Kind = 127

// appendEntry appends rec as one entry. base is the commit's time; body is scratch and is returned grown.
func appendEntry(b, body []byte, rec *Record, base Millis) (entry, scratch []byte) {
	body = appendBody(body[:0], rec)
	if rec.Kind == KindSamples {
		b = binary.AppendUvarint(append(b, byte(kindShort)), uint64(len(rec.Samples)))
	} else {
		b = append(b, byte(rec.Kind))
	}
	b = binary.AppendVarint(b, int64(rec.At-base))
	b = binary.AppendUvarint(b, uint64(len(body)))
	return append(b, body...), body
}

func appendBody(b []byte, rec *Record) []byte {
	switch rec.Kind {
	case KindSamples:
		return appendShort(b, rec.At, rec.Samples)
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
