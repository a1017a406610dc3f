package export

import (
	"bytes"
	"encoding/base64"
	"errors"
	"io"
	"math"
	"strconv"
	"strings"
	"testing"
	"time"

	"edge/historian"
	"edge/historian/journal"
	"edge/sparkplug"

	"github.com/google/go-cmp/cmp"
	"github.com/parquet-go/parquet-go"
	"go.uber.org/goleak"
	"pgregory.net/rapid"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// drawPiece is a piece of random rows of every datatype.
func drawPiece(t *rapid.T) *historian.Piece {
	name := rapid.SampledFrom([]string{"g", "Plant, 1", `say "on"`, "line\r\nbreak", "=1+1", "Öl", ""})
	p := &historian.Piece{Group: name.Draw(t, "group"), Node: name.Draw(t, "node"), Device: name.Draw(t, "device"), Metric: name.Draw(t, "metric")}
	for range rapid.IntRange(0, 40).Draw(t, "rows") {
		at := journal.Millis(rapid.Int64Range(0, 4e12).Draw(t, "at"))
		if rapid.IntRange(0, 5).Draw(t, "kind") == 0 {
			g := &historian.Gap{From: at, Cause: name.Draw(t, "cause")}
			if rapid.Bool().Draw(t, "ends") {
				g.To = at + journal.Millis(rapid.Int64Range(0, 1e9).Draw(t, "to"))
			}
			p.Rows = append(p.Rows, historian.Row{Gap: g})
			continue
		}
		s := journal.Sample{At: at, Received: at + journal.Millis(rapid.IntRange(-1000, 1000).Draw(t, "received")),
			Quality:    rapid.SampledFrom([]journal.Quality{journal.Good, journal.Bad, journal.Stale, 1, 65535}).Draw(t, "q"),
			Historical: rapid.Bool().Draw(t, "historical"), Birth: rapid.Bool().Draw(t, "birth")}
		s.Value = drawValue(t)
		s.Received = max(0, s.Received)
		p.Rows = append(p.Rows, historian.Row{Sample: s})
	}
	return p
}

func drawValue(t *rapid.T) journal.Value {
	v := journal.Value{Type: journal.DataType(rapid.IntRange(1, 34).Draw(t, "type"))}
	bits := rapid.OneOf(rapid.Uint64(), rapid.SampledFrom([]uint64{0, 1, 1 << 63, math.MaxUint64, math.Float64bits(math.NaN()),
		0x7ff0000000000001, math.Float64bits(math.Inf(-1)), uint64(math.Float32bits(float32(math.Inf(1)))), 0x7f800001, 0xffc12345}))
	v.Num = bits.Draw(t, "bits")
	switch t := v.Type; {
	case t >= 1 && t <= 3: // sign-extended
		v.Num = uint64(int64(v.Num<<(64-8<<(t-1))) >> (64 - 8<<(t-1)))
	case t >= 5 && t <= 7:
		v.Num &= 1<<(8<<(t-5)) - 1
	case t == typeFloat:
		v.Num &= 1<<32 - 1
	case t == typeBoolean:
		v.Num &= 1
	case t == typeDateTime:
		v.Num %= 4e12
	case t > typeDateTime || t == typeString:
		v.Num = 0
	}
	if v.Type == typeString || v.Type > typeDateTime {
		v.Bytes = rapid.OneOf(rapid.SliceOfN(rapid.Byte(), 0, 8), rapid.Map(rapid.SampledFrom([]string{"", "on", "a,b", "\"", "\n", "=SUM(A1)", "é"}),
			func(s string) []byte { return []byte(s) })).Draw(t, "bytes")
		if isText(v.Type) && bytes.Contains(v.Bytes, []byte{0}) {
			v.Bytes = []byte{}
		}
	}
	if rapid.IntRange(0, 9).Draw(t, "null") == 0 {
		v.Null, v.Num, v.Bytes = true, 0, nil
	}
	return v
}

func encode(t rapid.TB, format string, pieces ...*historian.Piece) []byte {
	t.Helper()
	var out bytes.Buffer
	e, err := New(format, &out)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range pieces {
		if err := e.Write(p); err != nil {
			t.Fatal(err)
		}
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// line is a row of either format, read back.
type line struct {
	Group, Node, Device, Metric string
	At, Until                   int64 // Until of a gap
	Gap                         bool
	Cause, Quality              string
	Sample                      journal.Sample // NaNs as their bits in Num
}

// lines is what a file should say.
func lines(pieces []*historian.Piece, canonical func(journal.Value) journal.Value) (out []line) {
	for _, p := range pieces {
		for _, r := range p.Rows {
			l := line{Group: p.Group, Node: p.Node, Device: p.Device, Metric: p.Metric}
			if r.Gap != nil {
				l.Gap, l.At, l.Until, l.Cause, l.Quality = true, int64(r.Gap.From), int64(r.Gap.To), r.Gap.Cause, "gap"
			} else {
				l.At, l.Sample, l.Quality = int64(r.At), r.Sample, qualityWord(&r.Sample)
				l.Sample.Value = canonical(l.Sample.Value)
			}
			out = append(out, l)
		}
	}
	return out
}

func TestParquetReadsBackBitByBit(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		pieces := []*historian.Piece{drawPiece(t), drawPiece(t)}
		file := encode(t, Parquet, pieces...)
		rows := readParquet(t, file)
		var got []line
		for i := range rows {
			got = append(got, parquetLine(t, &rows[i]))
		}
		want := lines(pieces, func(v journal.Value) journal.Value {
			if len(v.Bytes) == 0 {
				v.Bytes = nil
			}
			return v
		})
		if d := cmp.Diff(want, got); d != "" {
			t.Error(d)
		}
	})
}

// A row group has no more text than it may, whatever a piece brings: the text is copied.
func TestParquetGroupsOfLongTexts(t *testing.T) {
	const long = 64 << 10
	rows := make([]historian.Row, 1000)
	for i := range rows {
		rows[i].Sample = journal.Sample{At: journal.Millis(i), Value: journal.Value{Type: typeString, Bytes: bytes.Repeat([]byte{byte('a' + i%26)}, long)}}
	}
	file := encode(t, Parquet, &historian.Piece{Group: "g", Rows: rows})
	f, err := parquet.OpenFile(bytes.NewReader(file), int64(len(file)))
	if err != nil {
		t.Fatal(err)
	}
	n := int64(0)
	for _, g := range f.RowGroups() {
		n += g.NumRows()
		if g.NumRows() > groupBytes/long+1 {
			t.Errorf("%d rows in a group", g.NumRows())
		}
	}
	if n != int64(len(rows)) {
		t.Errorf("%d rows, want %d", n, len(rows))
	}
}

func readParquet(t rapid.TB, file []byte) []record {
	t.Helper()
	r := parquet.NewGenericReader[record](bytes.NewReader(file))
	rows := make([]record, r.NumRows())
	if n, err := r.Read(rows); n != len(rows) || err != nil && !errors.Is(err, io.EOF) {
		t.Fatalf("%d of %d rows: %v", n, len(rows), err)
	}
	f, err := parquet.OpenFile(bytes.NewReader(file), int64(len(file)))
	if err != nil {
		t.Fatal(err)
	}
	column, _ := f.Schema().Lookup("value_bytes")
	n := 0
	for _, g := range f.RowGroups() { // the reader of structs leaves a slice where null should be
		raw := make([]parquet.Row, g.NumRows())
		read := g.Rows()
		if got, err := read.ReadRows(raw); got != len(raw) || err != nil && !errors.Is(err, io.EOF) {
			t.Fatalf("%d of %d rows: %v", got, len(raw), err)
		}
		for _, row := range raw {
			if row[column.ColumnIndex].IsNull() {
				rows[n].Bytes = nil
			}
			n++
		}
		if err := read.Close(); err != nil {
			t.Fatal(err)
		}
	}
	return rows
}

func parquetLine(t *rapid.T, r *record) line {
	l := line{Group: r.Group, Node: r.Node, Device: r.Device, Metric: r.Metric, At: r.Time, Quality: r.Quality}
	if r.Kind == "gap" {
		l.Gap, l.Cause = true, *r.Cause
		if r.Until != nil {
			l.Until = *r.Until
		}
		return l
	}
	kind, ok := sparkplug.ParseDataType(r.Datatype)
	if !ok && r.Datatype != "PropertySet" && r.Datatype != "PropertySetList" {
		t.Fatalf("datatype %q", r.Datatype)
	}
	v := journal.Value{Type: journal.DataType(kind)}
	columns := 0
	is := func(there bool) bool {
		if there {
			columns++
		}
		return there
	}
	if is(r.Double != nil) {
		v.Num = math.Float64bits(*r.Double)
		if v.Type == typeFloat {
			v.Num = narrow(*r.Double)
		}
	}
	if is(r.Long != nil) {
		v.Num = uint64(*r.Long)
	}
	if is(r.Ulong != nil) {
		v.Num = *r.Ulong
	}
	if is(r.Text != nil) {
		v.Bytes = []byte(*r.Text)
	}
	if is(r.Bytes != nil) {
		v.Bytes = r.Bytes
	}
	if v.Null = columns == 0; columns > 1 || v.Null != (r.Quality == "null") {
		t.Fatalf("%d values, quality %s: %+v", columns, r.Quality, r)
	}
	if len(v.Bytes) == 0 {
		v.Bytes = nil
	}
	l.Sample = journal.Sample{At: journal.Millis(r.Time), Received: journal.Millis(r.Received), Value: v, Quality: journal.Quality(r.QualityCode),
		Historical: r.Historical, Birth: r.Birth}
	return l
}

// narrow is the inverse of widen.
func narrow(f float64) uint64 {
	b := math.Float64bits(f)
	if f != f {
		return b>>63<<31 | 0xff<<23 | b>>29&(1<<23-1)
	}
	return uint64(math.Float32bits(float32(f)))
}

func TestCSVReadsBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		pieces := []*historian.Piece{drawPiece(t), drawPiece(t)}
		var got []line
		for i, f := range parseCSV(t, encode(t, CSV, pieces...)) {
			if i == 0 {
				if strings.Join(f, ",")+"\n" != csvHeader {
					t.Fatalf("header %q", f)
				}
				continue
			}
			got = append(got, csvLine(t, f))
		}
		want := lines(pieces, func(v journal.Value) journal.Value {
			f, number := v.Float64()
			if number && f != f { // "NaN" has no payload
				v.Num = 0
			}
			if len(v.Bytes) == 0 {
				v.Bytes = nil
			}
			return v
		})
		if d := cmp.Diff(want, got); d != "" {
			t.Error(d)
		}
	})
}

// parseCSV is RFC 4180 with line feeds: nothing in quotes is changed.
func parseCSV(t *rapid.T, b []byte) (out [][]string) {
	var fields []string
	for len(b) > 0 {
		var f []byte
		if b[0] == '"' {
			b = b[1:]
			for {
				i := bytes.IndexByte(b, '"')
				if i < 0 {
					t.Fatal("a quote does not end")
				}
				f, b = append(f, b[:i]...), b[i+1:]
				if len(b) == 0 || b[0] != '"' {
					break
				}
				f, b = append(f, '"'), b[1:]
			}
		} else {
			i := bytes.IndexAny(b, ",\n")
			f, b = b[:i], b[i:]
			if bytes.ContainsAny(f, "\"\r") {
				t.Fatalf("field %q is not quoted", f)
			}
		}
		fields = append(fields, string(f))
		if b[0] == '\n' {
			out, fields = append(out, fields), nil
		}
		b = b[1:]
	}
	return out
}

func csvLine(t *rapid.T, f []string) line {
	if len(f) != 14 {
		t.Fatalf("%d fields: %q", len(f), f)
	}
	at := func(s string) int64 {
		when, err := time.Parse("2006-01-02T15:04:05.000Z", s)
		if err != nil {
			ms, err := strconv.ParseInt(s, 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			return ms
		}
		return when.UnixMilli()
	}
	l := line{At: at(f[0]), Group: f[1], Node: f[2], Device: f[3], Metric: f[4], Quality: f[7]}
	if f[7] == "gap" {
		l.Gap, l.Cause = true, f[13]
		if f[12] != "" {
			l.Until = at(f[12])
		}
		return l
	}
	kind, _ := sparkplug.ParseDataType(f[5])
	code, err := strconv.ParseUint(f[8], 10, 16)
	l.Sample = journal.Sample{At: journal.Millis(l.At), Received: journal.Millis(at(f[9])), Quality: journal.Quality(code),
		Historical: f[10] == "true", Birth: f[11] == "true", Value: journal.Value{Type: journal.DataType(kind)}}
	v := &l.Sample.Value
	if err != nil {
		t.Fatal(err)
	}
	if v.Null = f[7] == "null"; v.Null {
		return l
	}
	switch k := v.Type; {
	case k <= typeInt64:
		n, bad := strconv.ParseInt(f[6], 10, 64)
		v.Num, err = uint64(n), bad
	case k <= typeUInt64:
		v.Num, err = strconv.ParseUint(f[6], 10, 64)
	case k == typeFloat:
		n, bad := strconv.ParseFloat(f[6], 32)
		v.Num, err = uint64(math.Float32bits(float32(n))), bad
	case k == typeDouble:
		n, bad := strconv.ParseFloat(f[6], 64)
		v.Num, err = math.Float64bits(n), bad
	case k == typeBoolean:
		v.Num = map[string]uint64{"true": 1}[f[6]]
	case k == typeDateTime:
		v.Num = uint64(at(f[6]))
	case isText(k):
		v.Bytes = []byte(f[6])
	default:
		v.Bytes, err = base64.StdEncoding.DecodeString(f[6])
	}
	if err != nil {
		t.Fatalf("value %q: %v", f[6], err)
	}
	if x, number := v.Float64(); number && x != x {
		v.Num = 0
	}
	if len(v.Bytes) == 0 {
		v.Bytes = nil
	}
	return l
}

func TestCSVText(t *testing.T) {
	at := journal.Millis(time.Date(2026, 3, 10, 12, 0, 0, 7e6, time.UTC).UnixMilli())
	sample := func(kind journal.DataType, num uint64, text string) historian.Row {
		s := journal.Sample{At: at, Received: at + 1, Quality: journal.Good, Value: journal.Value{Type: kind, Num: num}}
		if text != "" {
			s.Value.Bytes = []byte(text)
		}
		return historian.Row{Sample: s}
	}
	null := sample(10, 0, "")
	null.Value.Null, null.Historical, null.Birth, null.Quality = true, true, true, journal.Bad
	p := &historian.Piece{Group: "Plant 1", Node: "oven", Metric: "Zone 1/Temp, actual", Rows: []historian.Row{
		sample(9, uint64(math.Float32bits(20.1)), ""), sample(10, math.Float64bits(-0.1), ""), sample(10, math.Float64bits(math.NaN()), ""),
		sample(4, math.MaxUint64, ""), sample(8, math.MaxUint64, ""), sample(11, 1, ""), sample(13, 0, ""), sample(12, 0, `say "hi"`), sample(12, 0, "=1+1"),
		sample(17, 0, "\x00\xff"), null,
		{Gap: &historian.Gap{From: at, To: at + 60_000, Cause: "node death: will, published"}}, {Gap: &historian.Gap{From: at, Cause: "device death"}},
	}}
	const head = `2026-03-10T12:00:00.007Z,Plant 1,oven,,"Zone 1/Temp, actual",`
	want := csvHeader
	for _, l := range []string{"Float,20.1,good,192", "Double,-0.1,good,192", "Double,NaN,good,192", "Int64,-1,good,192", "UInt64,18446744073709551615,good,192",
		"Boolean,true,good,192", "DateTime,1970-01-01T00:00:00.000Z,good,192", `String,"say ""hi""",good,192`, "String,=1+1,good,192", "Bytes,AP8=,good,192"} {
		want += head + l + ",2026-03-10T12:00:00.008Z,,,,\n"
	}
	want += head + "Double,,null,0,2026-03-10T12:00:00.008Z,true,true,,\n"
	want += head + ",,gap,,,,,2026-03-10T12:01:00.007Z,\"node death: will, published\"\n" + head + ",,gap,,,,,,device death\n"
	if d := cmp.Diff(want, string(encode(t, CSV, p))); d != "" {
		t.Error(d)
	}
}

func TestNamesAreSparkplugs(t *testing.T) {
	for i, name := range typeNames {
		if want := sparkplug.DataType(i).String(); name != want {
			t.Errorf("datatype %d is %s, want %s", i, name, want)
		}
	}
	if len(typeNames) != 35 || typeName(99) != "datatype 99" {
		t.Errorf("%d names; the 99th is %s", len(typeNames), typeName(99))
	}
}

func TestUnknownFormat(t *testing.T) {
	if _, err := New("xlsx", io.Discard); err == nil {
		t.Error("xlsx is written")
	}
	if _, ok := ContentType("xlsx"); ok {
		t.Error("xlsx has a media type")
	}
}

// failing takes so many bytes.
type failing struct{ left int }

var errFull = errors.New("full")

func (f *failing) Write(b []byte) (int, error) {
	if f.left -= len(b); f.left < 0 {
		return 0, errFull
	}
	return len(b), nil
}

func TestAWriterThatFails(t *testing.T) {
	p := &historian.Piece{Group: "g"}
	for i := range 10_000 {
		p.Rows = append(p.Rows, historian.Row{Sample: journal.Sample{At: journal.Millis(i), Value: journal.Value{Type: 10, Num: uint64(i) * 0x9e3779b97f4a7c15}}})
	}
	for _, format := range []string{CSV, Parquet} {
		e, err := New(format, &failing{left: 40_000})
		if err != nil {
			t.Fatal(err)
		}
		err = e.Write(p)
		if err = errors.Join(err, e.Close()); !errors.Is(err, errFull) {
			t.Errorf("%s: %v, want the writer's error", format, err)
		}
	}
}
