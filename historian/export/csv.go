package export

import (
	"encoding/base64"
	"io"
	"math"
	"strconv"
	"strings"
	"time"

	"edge/historian"
	"edge/historian/journal"
)

// csvHeader names the columns.
//
//	time, until       RFC 3339 with milliseconds, UTC; until is a gap's end, empty: it lasts
//	value             numbers exact: floats in the fewest digits that read back the same, NaN, Infinity, -Infinity; Boolean
//	                  true, false; DateTime as time; text as it came; anything else base64; quality tells null from empty
//	quality           good, stale, bad, uncertain, null; gap: the row is one, and only time, the names, until and cause are set
//	quality_code      Sparkplug's number
//	historical, birth true or empty
const csvHeader = "time,group,node,device,metric,datatype,value,quality,quality_code,received,historical,birth,until,cause\n"

// csvBuffer is how many bytes go to the writer at once.
const csvBuffer = 32 << 10

// csv writes RFC 4180 with lines that end in a line feed. Text is left as it is, what a spreadsheet would take for a formula
// too: changing it would make the file wrong for everybody else.
type csv struct {
	w   io.Writer
	buf []byte
	err error

	names []byte // of the piece: group, node, device, metric, with commas
	day   journal.Millis
	date  []byte // of day
}

func newCSV(w io.Writer) *csv {
	return &csv{w: w, buf: append(make([]byte, 0, csvBuffer+4096), csvHeader...), day: -1}
}

func (c *csv) Write(p *historian.Piece) error {
	c.names = c.names[:0]
	for _, name := range [...]string{p.Group, p.Node, p.Device, p.Metric} {
		c.names = appendField(append(c.names, ','), name)
	}
	c.names = append(c.names, ',')
	for i := range p.Rows {
		if r := &p.Rows[i]; r.Gap != nil {
			c.gap(r.Gap)
		} else {
			c.sample(&r.Sample)
		}
		if len(c.buf) >= csvBuffer {
			c.flush()
		}
	}
	return c.err
}

func (c *csv) Close() error {
	c.flush()
	return c.err
}

func (c *csv) flush() {
	if c.err == nil && len(c.buf) > 0 {
		_, c.err = c.w.Write(c.buf)
	}
	c.buf = c.buf[:0]
}

func (c *csv) sample(s *journal.Sample) {
	b := append(c.time(c.buf, s.At), c.names...)
	b = append(append(b, typeName(s.Value.Type)...), ',')
	b = append(c.value(b, s.Value), ',')
	b = append(append(b, qualityWord(s)...), ',')
	b = append(strconv.AppendUint(b, uint64(s.Quality), 10), ',')
	b = c.time(b, s.Received)
	b = appendFlag(appendFlag(b, s.Historical), s.Birth)
	c.buf = append(b, ",,\n"...)
}

func (c *csv) gap(g *historian.Gap) {
	b := append(c.time(c.buf, g.From), c.names...)
	b = append(b, ",,"+gapWord+",,,,,"...)
	if g.To != 0 {
		b = c.time(b, g.To)
	}
	c.buf = append(appendField(append(b, ','), g.Cause), '\n')
}

func appendFlag(b []byte, on bool) []byte {
	if on {
		return append(b, ",true"...)
	}
	return append(b, ',')
}

func (c *csv) value(b []byte, v journal.Value) []byte {
	switch {
	case v.Null:
		return b
	case v.Type >= 1 && v.Type <= typeInt64:
		return strconv.AppendInt(b, int64(v.Num), 10)
	case v.Type > typeInt64 && v.Type <= typeUInt64:
		return strconv.AppendUint(b, v.Num, 10)
	case v.Type == typeFloat:
		return appendFloat(b, float64(math.Float32frombits(uint32(v.Num))), 32)
	case v.Type == typeDouble:
		return appendFloat(b, math.Float64frombits(v.Num), 64)
	case v.Type == typeBoolean:
		return strconv.AppendBool(b, v.Num != 0)
	case v.Type == typeDateTime:
		return c.time(b, journal.Millis(v.Num))
	case isText(v.Type):
		return appendField(b, string(v.Bytes))
	}
	return base64.StdEncoding.AppendEncode(b, v.Bytes)
}

func appendFloat(b []byte, f float64, bits int) []byte {
	switch {
	case math.IsNaN(f):
		return append(b, "NaN"...)
	case math.IsInf(f, 1):
		return append(b, "Infinity"...)
	case math.IsInf(f, -1):
		return append(b, "-Infinity"...)
	}
	return strconv.AppendFloat(b, f, 'g', -1, bits)
}

// appendField quotes a text if RFC 4180 wants it.
func appendField(b []byte, s string) []byte {
	if !strings.ContainsAny(s, ",\"\r\n") {
		return append(b, s...)
	}
	b = append(b, '"')
	b = append(b, strings.ReplaceAll(s, `"`, `""`)...)
	return append(b, '"')
}

const dayMillis = journal.Millis(24 * time.Hour / time.Millisecond)

// time appends a time as 2026-03-10T12:00:00.000Z; one beyond the year 9999 as milliseconds since 1970.
func (c *csv) time(b []byte, at journal.Millis) []byte {
	if at < 0 || at > 253402300799999 {
		return strconv.AppendInt(b, int64(at), 10)
	}
	if day := at / dayMillis; day != c.day {
		c.day, c.date = day, time.UnixMilli(int64(at)).UTC().AppendFormat(c.date[:0], "2006-01-02T")
	}
	b = append(b, c.date...)
	ms := int(at % dayMillis)
	b = append(two(b, ms/3600000), ':')
	b = append(two(b, ms/60000%60), ':')
	b = append(two(b, ms/1000%60), '.')
	ms %= 1000
	return append(b, byte('0'+ms/100), byte('0'+ms/10%10), byte('0'+ms%10), 'Z')
}

func two(b []byte, n int) []byte { return append(b, byte('0'+n/10), byte('0'+n%10)) }
