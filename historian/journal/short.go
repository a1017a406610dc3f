package journal

import (
	"encoding/binary"
	"math"
)

// kindShort is how samples are written since format version 2; they are read as KindSamples.
const kindShort Kind = 6

// A sample's first byte: form of the value, step from the series before, and what follows.
const (
	shortForm = 7 // mask
	shortStep = 3 // shift; 1 to 7 is the step itself, at 0 it follows
	shortAt   = 1 << 6
	shortMore = 1 << 7 // a byte follows in which something is not as with the sample before
)

// The forms of a value. Forms 0 and 1 are for all types, the value as appendValue writes it.
const (
	formType         = iota // the type follows
	formSame                // the type is the previous sample's
	formFloat               // 4 bytes
	formFloatDecimal        // uvarint: zigzag of a whole number, times four, and a power of ten to divide it by
	formDouble              // 8 bytes
	formDoubleDecimal
	formInt64 // varint
	formInt32 // varint
)

const (
	moreReceived = 1 << iota // follows
	moreQuality              // follows
	moreHistorical
	moreBirth
	moreNull // no value follows; the form is 0 or 1
)

// appendShort writes each sample as the difference from the one before it; the first, from the record's time.
func appendShort(b []byte, at Millis, samples []Sample) []byte {
	first := Sample{At: at, Received: at, Quality: Good}
	prev := &first
	for i := range samples {
		b = appendShortSample(b, prev, &samples[i])
		prev = &samples[i]
	}
	return b
}

func appendShortSample(b []byte, prev, s *Sample) []byte {
	form, decimal := shortFormOf(prev, &s.Value)
	head := form
	step := int64(s.Series) - int64(prev.Series)
	if step >= 1 && step <= 7 {
		head |= byte(step) << shortStep
	}
	if s.At != prev.At {
		head |= shortAt
	}
	more := moreOf(prev, s)
	if more != moreOf(prev, prev)&^moreNull {
		head |= shortMore
		b = append(b, head, more)
	} else {
		b = append(b, head)
	}
	if head>>shortStep&7 == 0 {
		b = binary.AppendVarint(b, step)
	}
	if head&shortAt != 0 {
		b = binary.AppendVarint(b, int64(s.At-prev.At))
	}
	if more&moreReceived != 0 {
		b = binary.AppendVarint(b, int64(s.Received-prev.Received))
	}
	if more&moreQuality != 0 {
		b = binary.AppendUvarint(b, uint64(s.Quality))
	}
	if form == formType {
		b = append(b, byte(s.Value.Type))
	}
	if more&moreNull != 0 {
		return b
	}
	if form == formFloatDecimal || form == formDoubleDecimal {
		return binary.AppendUvarint(b, decimal)
	}
	return appendValue(b, &s.Value)
}

func moreOf(prev, s *Sample) (more byte) {
	if s.Received != prev.Received {
		more |= moreReceived
	}
	if s.Quality != prev.Quality {
		more |= moreQuality
	}
	if s.Historical {
		more |= moreHistorical
	}
	if s.Birth {
		more |= moreBirth
	}
	if s.Value.Null {
		more |= moreNull
	}
	return more
}

func shortFormOf(prev *Sample, v *Value) (form byte, decimal uint64) {
	if !v.Null {
		switch v.Type {
		case 3:
			return formInt32, 0
		case 4:
			return formInt64, 0
		case 9:
			f := math.Float32frombits(uint32(v.Num))
			if d, ok := toDecimal(float64(f)); ok && d < 1<<21 && math.Float32bits(float32(fromDecimal(d))) == uint32(v.Num) {
				return formFloatDecimal, d
			}
			return formFloat, 0
		case 10:
			if d, ok := toDecimal(math.Float64frombits(v.Num)); ok && d < 1<<49 && math.Float64bits(fromDecimal(d)) == v.Num {
				return formDoubleDecimal, d
			}
			return formDouble, 0
		}
	}
	if v.Type == prev.Value.Type {
		return formSame, 0
	}
	return formType, 0
}

var powersOfTen = [4]float64{1, 10, 100, 1000}

// toDecimal looks for a number with at most three decimals; the caller sees whether fromDecimal gives x again.
func toDecimal(x float64) (d uint64, ok bool) {
	y := math.RoundToEven(x * 1000)
	if !(math.Abs(y) < 1<<52) {
		return 0, false
	}
	m, e := int64(y), uint64(3)
	for e > 0 && m%10 == 0 {
		m, e = m/10, e-1
	}
	return uint64(m<<1^m>>63)<<2 | e, true
}

func fromDecimal(d uint64) float64 {
	m := d >> 2
	return float64(int64(m>>1)^-int64(m&1)) / powersOfTen[d&3]
}

func (d *decoder) shortSample(s, prev *Sample) {
	head := d.Byte()
	s.At, s.Received, s.Quality, s.Historical, s.Birth = prev.At, prev.Received, prev.Quality, prev.Historical, prev.Birth
	more := byte(0)
	if head&shortMore != 0 {
		more = d.Byte()
		s.Historical, s.Birth, s.Value.Null = more&moreHistorical != 0, more&moreBirth != 0, more&moreNull != 0
	}
	step := int64(head >> shortStep & 7)
	if step == 0 {
		step = d.Varint()
	}
	s.Series = SeriesID(int64(prev.Series) + step)
	if head&shortAt != 0 {
		s.At += Millis(d.Varint())
	}
	if more&moreReceived != 0 {
		s.Received += Millis(d.Varint())
	}
	if more&moreQuality != 0 {
		s.Quality = Quality(d.Uvarint())
	}
	d.shortValue(&s.Value, head&shortForm, prev.Value.Type)
}

func (d *decoder) shortValue(v *Value, form byte, last DataType) {
	v.Type = [8]DataType{0, last, 9, 9, 10, 10, 4, 3}[form]
	if form == formType {
		v.Type = DataType(d.Byte())
	}
	switch {
	case v.Null:
	case form == formFloatDecimal:
		v.Num = uint64(math.Float32bits(float32(fromDecimal(d.Uvarint()))))
	case form == formDoubleDecimal:
		v.Num = math.Float64bits(fromDecimal(d.Uvarint()))
	default:
		d.value(v)
	}
}
