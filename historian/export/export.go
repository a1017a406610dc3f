package export

import (
	"context"
	"errors"
	"fmt"
	"io"

	"edge/historian"
	"edge/historian/journal"
)

// Encoder writes rows in one format. It keeps nothing of a piece.
type Encoder interface {
	Write(p *historian.Piece) error
	// Close ends the file; one that was not ended is not whole. It does not close the writer.
	Close() error
}

// The formats.
const (
	CSV     = "csv"
	Parquet = "parquet"
)

// ContentType is the media type of a format; ok is false for one that is not known.
func ContentType(format string) (name string, ok bool) {
	switch format {
	case CSV:
		return "text/csv; charset=utf-8; header=present", true
	case Parquet:
		return "application/vnd.apache.parquet", true
	}
	return "", false
}

// New returns the encoder of a format over w.
func New(format string, w io.Writer) (Encoder, error) {
	switch format {
	case CSV:
		return newCSV(w), nil
	case Parquet:
		return newParquet(w), nil
	}
	return nil, fmt.Errorf("format %q: want csv or parquet", format)
}

// Count is what was copied.
type Count struct{ Samples, Gaps uint64 }

// Copy writes all rows and ends the file. It stops at the first error, of the rows, of the writer, or of ctx.
func Copy(ctx context.Context, to Encoder, rows *historian.Rows) (n Count, err error) {
	p := newPace(rows)
	for {
		piece, err := rows.Next(ctx)
		if errors.Is(err, io.EOF) {
			return n, to.Close()
		}
		if err != nil {
			return n, err
		}
		p.rest(ctx)
		if err := n.write(ctx, to, piece, p); err != nil {
			return n, err
		}
	}
}

// stretch is how many rows are encoded before others may run: half a millisecond or so.
const stretch = 1024

func (n *Count) write(ctx context.Context, to Encoder, piece *historian.Piece, p *pace) error {
	part := *piece
	for rest := piece.Rows; len(rest) > 0; {
		part.Rows = rest[:min(stretch, len(rest))]
		rest = rest[len(part.Rows):]
		if err := to.Write(&part); err != nil {
			return err
		}
		for i := range part.Rows {
			if part.Rows[i].Gap != nil {
				n.Gaps++
			} else {
				n.Samples++
			}
		}
		p.rest(ctx)
	}
	return nil
}

// gapWord stands in the column quality of a gap.
const gapWord = "gap"

// qualityNames are qualities in the words of the HTTP interface.
var qualityNames = [...]string{"good", "bad", "stale", "uncertain", "null"}

// qualityOf is the place of a sample's; a code of a device's own counts as uncertain.
func qualityOf(s *journal.Sample) int {
	switch {
	case s.Value.Null:
		return 4
	case s.Quality == journal.Good:
		return 0
	case s.Quality == journal.Bad:
		return 1
	case s.Quality == journal.Stale:
		return 2
	}
	return 3
}

func qualityWord(s *journal.Sample) string { return qualityNames[qualityOf(s)] }

// The datatypes by their codes (Sparkplug 3.0, section 6.4.16).
const (
	typeInt64    = 4
	typeUInt64   = 8
	typeFloat    = 9
	typeDouble   = 10
	typeBoolean  = 11
	typeString   = 12
	typeDateTime = 13
	typeText     = 14
	typeUUID     = 15
)

var typeNames = [...]string{"Unknown", "Int8", "Int16", "Int32", "Int64", "UInt8", "UInt16", "UInt32", "UInt64", "Float",
	"Double", "Boolean", "String", "DateTime", "Text", "UUID", "DataSet", "Bytes", "File", "Template", "PropertySet",
	"PropertySetList", "Int8Array", "Int16Array", "Int32Array", "Int64Array", "UInt8Array", "UInt16Array", "UInt32Array",
	"UInt64Array", "FloatArray", "DoubleArray", "BooleanArray", "StringArray", "DateTimeArray"}

func typeName(t journal.DataType) string {
	if int(t) < len(typeNames) {
		return typeNames[t]
	}
	return fmt.Sprintf("datatype %d", t)
}

func isText(t journal.DataType) bool { return t == typeString || t == typeText || t == typeUUID }
