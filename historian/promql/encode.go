package promql

import (
	"bufio"
	"encoding/json"
	"math"
	"net/http"
	"strconv"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
)

// encoder writes JSON as Prometheus does: times in seconds with at most three decimals, values as strings, so that NaN and
// infinities fit. What cannot be written has no reader any more; bufio.Writer then swallows the rest.
type encoder struct {
	*bufio.Writer
	buf []byte
}

// writeAnswer writes the body series by series; a result is not held a second time as text.
func writeAnswer(w http.ResponseWriter, a answer, query string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusOK)
	e := &encoder{Writer: bufio.NewWriterSize(w, 32<<10)}
	e.raw(`{"status":"success","data":`)
	switch data := a.data.(type) {
	case result:
		e.result(data)
	case []labels.Labels:
		e.raw(`[`)
		for i := range data {
			e.comma(i).labels(data[i])
		}
		e.raw(`]`)
	default:
		e.json(data)
	}
	warnings, infos := a.warnings.AsStrings(query, 10, 10)
	if len(warnings) > 0 {
		e.raw(`,"warnings":`).json(warnings)
	}
	if len(infos) > 0 {
		e.raw(`,"infos":`).json(infos)
	}
	e.raw(`}`)
	e.Flush() // an error means the reader has gone: nobody is left to tell
}

func (e *encoder) result(r result) {
	e.raw(`{"resultType":`).text(string(r.value.Type())).raw(`,"result":`)
	switch v := r.value.(type) {
	case promql.Vector:
		e.raw(`[`)
		for i := range v {
			e.comma(i).raw(`{"metric":`).labels(v[i].Metric).raw(`,"value":`).point(v[i].T, v[i].F).raw(`}`)
		}
		e.raw(`]`)
	case promql.Matrix:
		e.raw(`[`)
		for i := range v {
			e.comma(i).series(&v[i])
		}
		e.raw(`]`)
	case promql.Scalar:
		e.point(v.T, v.V)
	case promql.String:
		e.raw(`[`).seconds(v.T).raw(`,`).text(v.V).raw(`]`)
	}
	if r.stats != nil {
		e.raw(`,"stats":`).json(r.stats)
	}
	e.raw(`}`)
}

func (e *encoder) series(s *promql.Series) {
	e.raw(`{"metric":`).labels(s.Metric)
	if len(s.Floats) > 0 {
		e.raw(`,"values":[`)
		for i, p := range s.Floats {
			e.comma(i).point(p.T, p.F)
		}
		e.raw(`]`)
	}
	e.raw(`}`)
}

func (e *encoder) labels(l labels.Labels) *encoder {
	e.raw(`{`)
	i := 0
	l.Range(func(l labels.Label) {
		e.comma(i).text(l.Name).raw(`:`).text(l.Value)
		i++
	})
	return e.raw(`}`)
}

// point writes [ 1435781451.781, "1.5" ].
func (e *encoder) point(t int64, f float64) *encoder {
	format := byte('f')
	if a := math.Abs(f); a != 0 && (a < 1e-6 || a >= 1e21) {
		format = 'e'
	}
	e.raw(`[`).seconds(t).raw(`,"`)
	e.buf = strconv.AppendFloat(e.buf[:0], f, format, -1, 64)
	e.Write(e.buf)
	return e.raw(`"]`)
}

// seconds writes milliseconds as seconds.
func (e *encoder) seconds(t int64) *encoder {
	e.buf = strconv.AppendInt(e.buf[:0], t/1000, 10)
	if ms := t % 1000; ms != 0 { // no time of ours is negative
		e.buf = append(e.buf, '.', byte('0'+ms/100), byte('0'+ms/10%10), byte('0'+ms%10))
	}
	e.Write(e.buf)
	return e
}

func (e *encoder) text(s string) *encoder {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c >= 0x7f || c == '"' || c == '\\' {
			return e.json(s)
		}
	}
	e.WriteByte('"')
	e.WriteString(s)
	e.WriteByte('"')
	return e
}

// json writes what is small.
func (e *encoder) json(v any) *encoder {
	b, err := json.Marshal(v)
	if err != nil {
		panic("BUG: an answer is not JSON: " + err.Error())
	}
	e.Write(b)
	return e
}

func (e *encoder) raw(s string) *encoder {
	e.WriteString(s)
	return e
}

func (e *encoder) comma(i int) *encoder {
	if i > 0 {
		e.WriteByte(',')
	}
	return e
}
