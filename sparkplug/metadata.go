package sparkplug

import "google.golang.org/protobuf/encoding/protowire"

// Metadata is what a metric's MetaData message says, of a file above all.
type Metadata struct {
	MultiPart       bool // Bytes are one part of a file; Seq tells which
	HasSize, HasSeq bool
	Size            uint64 // bytes of the whole file
	Seq             uint64 // number of the part, from 0
	MD5             string // hex, of the whole file
	ContentType     string
	FileName        string
	FileType        string
	Description     string
	Unknown         []byte // fields this schema does not know, as they came; Bytes appends them
}

// ParseMetadata reads Metric.Metadata.
func ParseMetadata(b []byte) (Metadata, error) {
	var m Metadata
	texts := [...]*string{2: &m.ContentType, 5: &m.FileName, 6: &m.FileType, 7: &m.MD5, 8: &m.Description}
	r := reader{data: b}
	for r.next() {
		num := r.tag >> 3
		switch {
		case r.tag == 1<<3|wireVarint:
			m.MultiPart = r.v != 0
		case r.tag == 3<<3|wireVarint:
			m.Size, m.HasSize = r.v, true
		case r.tag == 4<<3|wireVarint:
			m.Seq, m.HasSeq = r.v, true
		case r.tag&7 == wireBytes && num < uint64(len(texts)) && texts[num] != nil:
			*texts[num] = string(r.b)
		default:
			m.Unknown = append(m.Unknown, r.raw()...)
		}
	}
	return m, r.err()
}

// Bytes returns the MetaData message, for Metric.Metadata.
func (m *Metadata) Bytes() []byte {
	b := []byte{}
	text := func(num protowire.Number, s string) {
		if s != "" {
			b = appendBytes(b, num, []byte(s))
		}
	}
	if m.MultiPart {
		b = appendVarint(b, 1, 1)
	}
	text(2, m.ContentType)
	if m.HasSize {
		b = appendVarint(b, 3, m.Size)
	}
	if m.HasSeq {
		b = appendVarint(b, 4, m.Seq)
	}
	text(5, m.FileName)
	text(6, m.FileType)
	text(7, m.MD5)
	text(8, m.Description)
	return append(b, m.Unknown...)
}
