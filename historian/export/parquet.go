package export

import (
	"io"
	"math"
	"unicode/utf8"

	"edge/historian"
	"edge/historian/journal"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/compress/zstd"
)

// record is a row of the file. The names are those of the CSV; a value is in the column of its datatype, a null in none.
type record struct {
	Time     int64  `parquet:"time,timestamp(millisecond),delta"` // UTC; a gap's beginning
	Kind     string `parquet:"kind,dict"`                         // sample, gap
	Group    string `parquet:"group,dict"`
	Node     string `parquet:"node,dict"`
	Device   string `parquet:"device,dict"`
	Metric   string `parquet:"metric,dict"`
	Datatype string `parquet:"datatype,dict"`

	Double *float64 `parquet:"value_double,optional"` // Float, Double; a Float's bits widened, NaN too
	Long   *int64   `parquet:"value_long,optional"`   // Int8 to Int64, UInt8 to UInt32, Boolean, DateTime in ms since 1970
	Ulong  *uint64  `parquet:"value_ulong,optional"`  // UInt64
	Text   *string  `parquet:"value_string,optional,dict"`
	Bytes  []byte   `parquet:"value_bytes,optional"` // everything else, and text that is not UTF-8

	Quality     string `parquet:"quality,dict"`
	QualityCode int32  `parquet:"quality_code,dict"`
	Received    int64  `parquet:"received,timestamp(millisecond),delta"`
	Historical  bool   `parquet:"historical"`
	Birth       bool   `parquet:"birth"`

	Until *int64  `parquet:"until,optional,timestamp(millisecond)"` // of a gap; null: it lasts
	Cause *string `parquet:"cause,optional,dict"`                   // of a gap
}

const (
	groupRows  = 64 << 10 // a row group ends with so many rows
	groupBytes = 8 << 20  // or so many bytes of text
)

// pq writes Parquet: a row group at a time is in memory. It sets values and levels by itself, column by column in the order of
// record: the library's way from structs writes some nil slices as empty ones.
type pq struct {
	w      *parquet.GenericWriter[record]
	rows   []parquet.Row
	names  [4][]byte // of the piece
	inside int       // rows in the row group
	bytes  int       // of text in it
}

func newParquet(w io.Writer) *pq {
	p := &pq{rows: make([]parquet.Row, stretch)}
	p.w = parquet.NewGenericWriter[record](w, parquet.Compression(&zstd.Codec{Level: zstd.SpeedDefault}), parquet.CreatedBy("edge", "1", ""),
		parquet.DefaultEncodingFor(parquet.Int64, &parquet.DeltaBinaryPacked))
	values := make([]parquet.Value, stretch*columns)
	for i := range p.rows {
		p.rows[i] = values[i*columns : (i+1)*columns]
	}
	return p
}

func (p *pq) Write(piece *historian.Piece) error {
	for i, name := range [...]string{piece.Group, piece.Node, piece.Device, piece.Metric} {
		p.names[i] = append(p.names[i][:0], name...)
	}
	for rest := piece.Rows; len(rest) > 0; {
		n := min(len(rest), stretch)
		for i := range n {
			if r := (row{p.rows[i]}); rest[i].Gap != nil {
				r.gap(p, rest[i].Gap)
			} else {
				r.sample(p, &rest[i].Sample)
			}
		}
		rest = rest[n:]
		if _, err := p.w.WriteRows(p.rows[:n]); err != nil {
			return err
		}
		if err := p.endGroup(n); err != nil {
			return err
		}
	}
	return nil
}

// endGroup keeps a row group small.
func (p *pq) endGroup(rows int) error {
	p.inside += rows
	if p.inside < groupRows && p.bytes < groupBytes {
		return nil
	}
	p.inside, p.bytes = 0, 0
	return p.w.Flush()
}

func (p *pq) Close() error { return p.w.Close() }

// The columns, in the order of record.
const (
	colTime = iota
	colKind
	colGroup
	colNode
	colDevice
	colMetric
	colDatatype
	colDouble
	colLong
	colUlong
	colString
	colBytes
	colQuality
	colCode
	colReceived
	colHistorical
	colBirth
	colUntil
	colCause
	columns
)

// row sets the values of one row.
type row struct{ values []parquet.Value }

func (r row) set(column int, v parquet.Value) { r.values[column] = v.Level(0, 0, column) }

// give sets a value that may be null, none leaves it null.
func (r row) give(column int, v parquet.Value) { r.values[column] = v.Level(0, 1, column) }

func (r row) none(list ...int) {
	for _, column := range list {
		r.values[column] = parquet.NullValue().Level(0, 0, column)
	}
}

var wordGap, wordSample = []byte("gap"), []byte("sample")

func (r row) head(p *pq, at journal.Millis, kind []byte, datatype string) {
	r.set(colTime, parquet.Int64Value(int64(at)))
	r.set(colKind, parquet.ByteArrayValue(kind))
	for i, name := range p.names {
		r.set(colGroup+i, parquet.ByteArrayValue(name))
	}
	r.set(colDatatype, parquet.ByteArrayValue([]byte(datatype)))
	r.none(colDouble, colLong, colUlong, colString, colBytes)
}

func (r row) gap(p *pq, g *historian.Gap) {
	r.head(p, g.From, wordGap, "")
	r.tail(wordGap, 0, g.From, false, false)
	r.give(colCause, parquet.ByteArrayValue([]byte(g.Cause)))
	if g.To != 0 {
		r.give(colUntil, parquet.Int64Value(int64(g.To)))
	}
}

func (r row) tail(quality []byte, code journal.Quality, received journal.Millis, historical, birth bool) {
	r.set(colQuality, parquet.ByteArrayValue(quality))
	r.set(colCode, parquet.Int32Value(int32(code)))
	r.set(colReceived, parquet.Int64Value(int64(received)))
	r.set(colHistorical, parquet.BooleanValue(historical))
	r.set(colBirth, parquet.BooleanValue(birth))
	r.none(colUntil, colCause)
}

func (r row) sample(p *pq, s *journal.Sample) {
	r.head(p, s.At, wordSample, typeName(s.Value.Type))
	r.tail([]byte(qualityWord(s)), s.Quality, s.Received, s.Historical, s.Birth)
	switch v, t := s.Value, s.Value.Type; {
	case v.Null:
	case t == typeUInt64:
		r.give(colUlong, parquet.Int64Value(int64(v.Num)))
	case t >= 1 && t < typeUInt64, t == typeBoolean, t == typeDateTime:
		r.give(colLong, parquet.Int64Value(int64(v.Num)))
	case t == typeFloat:
		r.give(colDouble, parquet.DoubleValue(widen(uint32(v.Num))))
	case t == typeDouble:
		r.give(colDouble, parquet.DoubleValue(math.Float64frombits(v.Num)))
	case isText(t) && utf8.Valid(v.Bytes):
		p.bytes += len(v.Bytes)
		r.give(colString, parquet.ByteArrayValue(v.Bytes))
	default:
		p.bytes += len(v.Bytes)
		r.give(colBytes, parquet.ByteArrayValue(v.Bytes))
	}
}

// widen gives a float32's value as a float64; the bits of a NaN are kept, which a conversion would change.
func widen(bits uint32) float64 {
	f := math.Float32frombits(bits)
	if f == f {
		return float64(f)
	}
	return math.Float64frombits(uint64(bits>>31)<<63 | 0x7ff<<52 | uint64(bits&(1<<23-1))<<29)
}
