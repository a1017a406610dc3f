package export

import (
	"bytes"
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

// pq writes Parquet: a row group at a time is in memory. It sets values and levels by itself, a column at a time in the order of
// record: the library's way from structs writes some nil slices as empty ones, and its way from rows takes twice the time. Rows of
// several metrics are gathered before they are given to the library, which takes its time for each column that it is given.
type pq struct {
	w      *parquet.GenericWriter[record]
	cells  [columns][]parquet.Value // of a stretch of rows; what is the same in most rows is set once
	rows   [stretch]row
	n      int       // rows that are gathered
	names  [4][]byte // of the piece
	since  [4]int    // the first row that each is to be given to
	named  [4]int    // the first behind it that does not have it
	inside int       // rows in the row group
	bytes  int       // of text in it
}

// row is what a row of cells has beside a sample's time and quality.
type row struct {
	value int  // the column of its value; 0: it is null
	gap   bool // it is one
}

func newParquet(w io.Writer) *pq {
	p := &pq{}
	p.w = parquet.NewGenericWriter[record](w, parquet.Compression(&zstd.Codec{Level: zstd.SpeedDefault}), parquet.CreatedBy("edge", "1", ""),
		parquet.DefaultEncodingFor(parquet.Int64, &parquet.DeltaBinaryPacked))
	for c := range p.cells {
		p.cells[c] = make([]parquet.Value, stretch)
		for i := range stretch {
			p.none(i, c)
		}
	}
	for i := range stretch {
		p.set(i, colKind, wordSample)
	}
	return p
}

func (p *pq) Write(piece *historian.Piece) error {
	p.name(piece)
	for i := range piece.Rows {
		p.clear(p.n)
		if r := &piece.Rows[i]; r.Gap != nil {
			p.gap(p.n, r.Gap)
		} else {
			p.sample(p.n, &r.Sample)
		}
		if p.n++; p.n == stretch || p.bytes >= groupBytes {
			if err := p.write(); err != nil {
				return err
			}
		}
	}
	p.callRows()
	return nil
}

// name takes the names of a piece.
func (p *pq) name(piece *historian.Piece) {
	for k, name := range [...]string{piece.Group, piece.Node, piece.Device, piece.Metric} {
		if p.names[k] == nil || string(p.names[k]) != name {
			p.names[k], p.since[k], p.named[k] = append([]byte{}, name...), p.n, p.n
		}
	}
}

// callRows gives the names to the rows that are gathered.
func (p *pq) callRows() {
	for k, name := range p.names {
		if p.named[k] >= p.n {
			continue
		}
		v := parquet.ByteArrayValue(name)
		for ; p.named[k] < p.n; p.named[k]++ {
			p.set(p.named[k], colGroup+k, v)
		}
	}
}

// textRows is how many rows with text or bytes, which may be long, are given to the library at once: it ends a page in between only.
const textRows = 64

// write gives the gathered rows to the library.
func (p *pq) write() error {
	p.callRows()
	n := p.n
	for c, w := range p.w.ColumnWriters() {
		step := n
		if c == colString || c == colBytes || c == colCause {
			step = textRows
		}
		for i := 0; i < n; i += step {
			if _, err := w.WriteRowValues(p.cells[c][i:min(n, i+step)]); err != nil {
				return err
			}
		}
	}
	p.n = 0
	for k, first := range p.since {
		if first > 0 { // those before it have another
			p.since[k], p.named[k] = 0, 0
		}
	}
	return p.endGroup(n)
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

func (p *pq) Close() error {
	if err := p.write(); err != nil {
		return err
	}
	return p.w.Close()
}

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

func (p *pq) set(i, column int, v parquet.Value) { p.cells[column][i] = v.Level(0, 0, column) }

// give sets a value that may be null, none makes it null.
func (p *pq) give(i, column int, v parquet.Value) { p.cells[column][i] = v.Level(0, 1, column) }

func (p *pq) none(i, column int) {
	p.cells[column][i] = parquet.NullValue().Level(0, 0, column)
}

// clear makes null what a row had before.
func (p *pq) clear(i int) {
	r := &p.rows[i]
	if r.value != 0 {
		p.none(i, r.value)
	}
	if r.gap {
		p.none(i, colUntil)
		p.none(i, colCause)
		p.set(i, colKind, wordSample)
	}
	*r = row{}
}

// The words of a file, as values.
var (
	wordSample, wordOfGap = word("sample"), word(gapWord)
	qualityWords          = words(qualityNames[:])
	typeWords             = words(typeNames[:])
)

func word(s string) parquet.Value { return parquet.ByteArrayValue([]byte(s)) }

func words(list []string) (out []parquet.Value) {
	for _, s := range list {
		out = append(out, word(s))
	}
	return out
}

func typeWord(t journal.DataType) parquet.Value {
	if int(t) < len(typeWords) {
		return typeWords[t]
	}
	return word(typeName(t))
}

func (p *pq) gap(i int, g *historian.Gap) {
	p.rows[i].gap = true
	p.set(i, colKind, wordOfGap)
	p.set(i, colDatatype, word(""))
	p.row(i, g.From, wordOfGap, 0, g.From, false, false)
	p.give(i, colCause, word(g.Cause))
	if g.To != 0 {
		p.give(i, colUntil, parquet.Int64Value(int64(g.To)))
	}
}

// row sets what samples and gaps have.
func (p *pq) row(i int, at journal.Millis, quality parquet.Value, code journal.Quality, received journal.Millis, historical, birth bool) {
	p.set(i, colTime, parquet.Int64Value(int64(at)))
	p.set(i, colQuality, quality)
	p.set(i, colCode, parquet.Int32Value(int32(code)))
	p.set(i, colReceived, parquet.Int64Value(int64(received)))
	p.set(i, colHistorical, parquet.BooleanValue(historical))
	p.set(i, colBirth, parquet.BooleanValue(birth))
}

func (p *pq) sample(i int, s *journal.Sample) {
	p.set(i, colDatatype, typeWord(s.Value.Type))
	p.row(i, s.At, qualityWords[qualityOf(s)], s.Quality, s.Received, s.Historical, s.Birth)
	value := func(column int, v parquet.Value) {
		p.rows[i].value = column
		p.give(i, column, v)
	}
	switch v, t := s.Value, s.Value.Type; {
	case v.Null:
	case t == typeUInt64:
		value(colUlong, parquet.Int64Value(int64(v.Num)))
	case t >= 1 && t < typeUInt64, t == typeBoolean, t == typeDateTime:
		value(colLong, parquet.Int64Value(int64(v.Num)))
	case t == typeFloat:
		value(colDouble, parquet.DoubleValue(widen(uint32(v.Num))))
	case t == typeDouble:
		value(colDouble, parquet.DoubleValue(math.Float64frombits(v.Num)))
	case isText(t) && utf8.Valid(v.Bytes):
		p.bytes += len(v.Bytes)
		value(colString, parquet.ByteArrayValue(bytes.Clone(v.Bytes)))
	default:
		p.bytes += len(v.Bytes)
		value(colBytes, parquet.ByteArrayValue(bytes.Clone(v.Bytes)))
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
