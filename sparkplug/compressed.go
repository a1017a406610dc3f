package sparkplug

import (
	"bytes"
	"compress/gzip"
	"compress/zlib"
	"io"
)

// compressedUUID marks a payload whose body is another payload, compressed: a convention of the
// Tahu programs, not of the specification.
const compressedUUID = "SPBV1.0_COMPRESSED"

// inflate replaces p by the payload in its body; seq, and the timestamp if the inner payload has none, stay those
// of the outer one.
func (p *Payload) inflate(l Limits) error {
	body, err := inflateBody(p.Body, p.algorithm(), l.Inflated)
	if err != nil {
		return err
	}
	outer := *p
	*p = Payload{Names: outer.Names}
	if err := p.read(body, l); err != nil {
		*p = Payload{Names: outer.Names}
		return err
	}
	if p.UUID == compressedUUID {
		return malformed("a compressed payload inside a compressed payload")
	}
	p.Compressed = true
	p.Seq, p.HasSeq = outer.Seq, outer.HasSeq
	if !p.HasTimestamp {
		p.Timestamp, p.HasTimestamp = outer.Timestamp, outer.HasTimestamp
	}
	return nil
}

// algorithm returns the name in the metric "algorithm", DEFLATE without one.
func (p *Payload) algorithm() string {
	for i := range p.Metrics {
		if m := &p.Metrics[i]; m.Name == "algorithm" && m.Field == FieldString {
			return string(m.Value.Bytes)
		}
	}
	return "DEFLATE"
}

// inflateBody inflates a body twice: once to learn its size, so that nothing is allocated for one that is too large.
func inflateBody(body []byte, algorithm string, limit int) ([]byte, error) {
	r, err := inflater(body, algorithm)
	if err != nil {
		return nil, err
	}
	n, err := io.Copy(io.Discard, io.LimitReader(r, int64(limit)+1))
	if err != nil {
		return nil, malformed("compressed body: %v", err)
	}
	if n > int64(limit) {
		return nil, overLimit("inflated bytes", limit)
	}
	if r, err = inflater(body, algorithm); err != nil {
		return nil, err
	}
	out := make([]byte, n)
	if _, err := io.ReadFull(r, out); err != nil {
		return nil, malformed("compressed body: %v", err)
	}
	return out, nil
}

func inflater(body []byte, algorithm string) (r io.Reader, err error) {
	switch algorithm {
	case "GZIP":
		r, err = gzip.NewReader(bytes.NewReader(body))
	case "DEFLATE": // with zlib's header, as java.util.zip writes it
		r, err = zlib.NewReader(bytes.NewReader(body))
	default:
		return nil, malformed("compression %.20q is unknown", algorithm)
	}
	if err != nil {
		return nil, malformed("compressed body: %v", err)
	}
	return r, nil
}
