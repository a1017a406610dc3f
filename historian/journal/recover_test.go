package journal

import (
	"bytes"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// written is the bytes of a journal's only segment after commits of the given records.
func written(t testing.TB, dir string, recs ...Record) []byte {
	t.Helper()
	j := openJournal(t, dir, small())
	for _, rec := range recs {
		appendNow(t, j, rec)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(filepath.Join(dir, segmentName(1)))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestTornTail cuts the last commit at every byte: what was before is there, the rest never was, and the log goes on.
func TestTornTail(t *testing.T) {
	dir := t.TempDir()
	long := Record{Kind: KindSession, Data: bytes.Repeat([]byte("torn"), 300)}
	whole := written(t, filepath.Join(dir, "j"), sessionRecord(1), long)
	begin := 2 * pageBytes // header, first commit
	end := begin + frameHeader + len(long.Data) + 4
	torn := 0
	for cut := begin; cut < end; cut++ {
		b := bytes.Clone(whole)
		clear(b[cut:])
		scan := scanSegment(b, 1)
		if len(scan.seg.frames) != 1 || len(scan.damage) != 0 || scan.seg.end != int64(begin) {
			t.Fatalf("cut at %d: %d frames, damage %v, goes on at %d", cut, len(scan.seg.frames), scan.damage, scan.seg.end)
		}
		if scan.torn > 0 {
			torn++
		}
	}
	if torn < end-begin-16 { // before the epoch is written, nothing shows
		t.Errorf("%d cuts of %d reported as torn", torn, end-begin)
	}
	if scan := scanSegment(whole, 1); len(scan.seg.frames) != 2 {
		t.Errorf("uncut: %d frames", len(scan.seg.frames))
	}

	clear(whole[end-10:])
	path := filepath.Join(dir, "j", segmentName(1))
	if err := os.WriteFile(path, whole, 0o600); err != nil {
		t.Fatal(err)
	}
	j := openJournal(t, filepath.Join(dir, "j"), small())
	if r := j.Recovered(); r.TornBytes == 0 || r.Last != 1 || len(r.Quarantined) > 0 {
		t.Errorf("recovery: %+v", r)
	}
	appendNow(t, j, sessionRecord(2))
	j.Close()
	checkSessionRecords(t, filepath.Join(dir, "j"), 2)
}

// TestBitFlips flips each bit of the first of two commits: the second proves that it had been durable. The rest is kept, the
// file copied to the quarantine folder, and indices stay.
func TestBitFlips(t *testing.T) {
	dir := t.TempDir()
	whole := written(t, filepath.Join(dir, "j"), sessionRecord(1), sessionRecord(2))
	end := pageBytes + frameHeader + len(sessionRecord(1).Data) + 3
	for at := pageBytes; at < end; at++ {
		for bit := range 8 {
			b := bytes.Clone(whole)
			b[at] ^= 1 << bit
			scan := scanSegment(b, 1)
			if len(scan.seg.frames) != 1 || scan.seg.frames[0].first != 2 || len(scan.damage) != 1 || scan.damage[0].From != 1 || scan.damage[0].To != 1 {
				t.Fatalf("bit %d of byte %d: frames %v, damage %v", bit, at, scan.seg.frames, scan.damage)
			}
		}
	}
	for at := range segmentHeader { // the header: all records are kept
		b := bytes.Clone(whole)
		b[at] ^= 1
		if scan := scanSegment(b, 1); len(scan.seg.frames) != 2 || len(scan.damage) != 1 {
			t.Fatalf("header byte %d: %d frames, damage %v", at, len(scan.seg.frames), scan.damage)
		}
	}
}

func TestDamagedSegmentIsCopiedAndRead(t *testing.T) {
	dir := t.TempDir()
	jdir := filepath.Join(dir, "j")
	whole := written(t, jdir, sessionRecord(1), sessionRecord(2), sessionRecord(3))
	whole[2*pageBytes+frameHeader] ^= 1
	if err := os.WriteFile(filepath.Join(jdir, segmentName(1)), whole, 0o600); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second start finds the same, and keeps one copy
		j := openJournal(t, jdir, small())
		r := j.Recovered()
		if len(r.Lost) != 1 || r.Lost[0].From != 2 || r.Lost[0].To != 2 || r.Last != 3 {
			t.Fatalf("recovery: %+v", r)
		}
		recs := readAll(t, j, 0)
		if len(recs) < 2 || recs[0].Index != 1 || recs[1].Index != 3 {
			t.Fatalf("records: %+v", recs)
		}
		if err := j.Close(); err != nil {
			t.Fatal(err)
		}
	}
	copied, err := os.ReadFile(filepath.Join(dir, "quarantine", "journal-"+segmentName(1)))
	if err != nil || !bytes.Equal(copied, whole) {
		t.Errorf("no true copy in quarantine: %v", err)
	}
	j := openJournal(t, jdir, small())
	if i := appendNow(t, j, sessionRecord(4)); i != 4 {
		t.Errorf("goes on at %d, want 4", i)
	}
	if s := j.Stats(); s.Segments != 2 {
		t.Errorf("%d segments: a damaged one must not be written to", s.Segments)
	}
}

func TestMissingSegmentIsReported(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "j")
	j := openJournal(t, dir, small())
	for n := range 40 { // 15 pages a segment
		appendNow(t, j, sessionRecord(n+1))
	}
	j.Close()
	if err := os.Remove(filepath.Join(dir, segmentName(2))); err != nil {
		t.Fatal(err)
	}
	j = openJournal(t, dir, small())
	if lost := j.Recovered().Lost; len(lost) != 1 || lost[0].From != 16 || lost[0].To != 30 {
		t.Errorf("lost %+v, want 16 to 30", lost)
	}
	if recs := readAll(t, j, 0); len(recs) != 25 || recs[15].Index != 31 {
		t.Errorf("%d records", len(recs))
	}
}

func TestUnreadableSegmentIsMovedAside(t *testing.T) {
	dir := t.TempDir()
	jdir := filepath.Join(dir, "j")
	whole := written(t, jdir, sessionRecord(1))
	for i := range whole {
		whole[i] ^= 0x55
	}
	if err := os.WriteFile(filepath.Join(jdir, segmentName(1)), whole, 0o600); err != nil {
		t.Fatal(err)
	}
	j := openJournal(t, jdir, small())
	if r := j.Recovered(); len(r.Quarantined) != 1 || len(r.Lost) != 1 {
		t.Errorf("recovery: %+v", r)
	}
	if _, err := os.Stat(filepath.Join(jdir, segmentName(1))); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("still there: %v", err)
	}
	if i := appendNow(t, j, sessionRecord(2)); i <= 1<<32 {
		t.Errorf("index %d may have been given before", i)
	}
}

// TestRecycledSegment makes a segment of one that is full of records: they do not come back.
func TestRecycledSegment(t *testing.T) {
	o := small()
	o.MaxBytes, o.Spares = minSegmentBytes, 1
	dir := filepath.Join(t.TempDir(), "j")
	j := openJournal(t, dir, o)
	for n := range 31 { // two full segments, one record in the third
		appendNow(t, j, sessionRecord(n+1))
	}
	name, ok := j.recycleOldest(o.MaxBytes)
	if !ok {
		t.Fatal("nothing recycled")
	}
	j.keepSpare(name)
	for n := 31; n < 46; n++ { // fills the third, one record in the recycled one
		appendNow(t, j, sessionRecord(n+1))
	}
	j.Close()
	raw, err := os.ReadFile(filepath.Join(dir, segmentName(4)))
	if err != nil || !bytes.Contains(raw, sessionRecord(15).Data) {
		t.Fatalf("segment 4 is not the recycled segment 1: %v", err)
	}
	j = openJournal(t, dir, o)
	recs := readAll(t, j, 0)
	if len(recs) != 31 || recs[0].Index != 16 || recs[30].Index != 46 || len(j.Recovered().Lost) > 0 {
		t.Errorf("%d records; recovery %+v", len(recs), j.Recovered())
	}
}

func TestNewerFormatIsRefused(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "j")
	whole := written(t, dir, sessionRecord(1))
	copy(whole, encodeSegmentHeader(formatVersion+1, uint64(1)<<32, 0, minSegmentBytes))
	path := filepath.Join(dir, segmentName(1))
	if err := os.WriteFile(path, whole, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := Open(dir, small())
	var newer *VersionError
	if !errors.As(err, &newer) || !errors.Is(err, ErrNewer) || newer.Found != formatVersion+1 || newer.File != path {
		t.Fatalf("Open: %v", err)
	}
	after, err := os.ReadFile(path)
	if err != nil || !bytes.Equal(after, whole) {
		t.Errorf("file was changed, or %v", err)
	}
}

// TestOpenSurvivesAnything mutates a journal's files and opens it: it always opens, and what it reads, had been written.
func TestOpenSurvivesAnything(t *testing.T) {
	base := t.TempDir()
	pristine := filepath.Join(base, "pristine")
	const n = 40
	j := openJournal(t, pristine, small())
	for i := range n {
		appendNow(t, j, sessionRecord(i+1))
	}
	j.Close()
	names, err := filepath.Glob(filepath.Join(pristine, "*"+segmentSuffix))
	if err != nil || len(names) != 3 {
		t.Fatalf("%d segments, %v", len(names), err)
	}
	round := 0
	rapid.Check(t, func(rt *rapid.T) {
		round++
		dir := filepath.Join(base, "round", "j")
		if err := os.MkdirAll(dir, 0o700); err != nil {
			rt.Fatal(err)
		}
		defer os.RemoveAll(filepath.Join(base, "round"))
		for _, name := range names {
			b, err := os.ReadFile(name)
			if err != nil {
				rt.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(dir, filepath.Base(name)), mutate(rt, b), 0o600); err != nil {
				rt.Fatal(err)
			}
		}
		o := small()
		o.Files = unsynced{}
		j, err := Open(dir, o)
		if err != nil {
			rt.Fatal(err)
		}
		defer j.Close()
		for _, rec := range readAll(t, j, 0) {
			if want := sessionRecord(int(rec.Index)); !bytes.Equal(rec.Data, want.Data) {
				rt.Fatalf("record %d is %q", rec.Index, rec.Data)
			}
		}
		if i := appendNow(t, j, sessionRecord(0)); i <= j.Recovered().Last {
			rt.Fatalf("index %d given twice", i)
		}
	})
}

// mutate damages a file as disks do.
func mutate(rt *rapid.T, b []byte) []byte {
	at := rapid.IntRange(0, len(b)-1).Draw(rt, "at")
	switch rapid.SampledFrom([]string{"nothing", "bit", "zero page", "garbage page", "truncate", "swap pages"}).Draw(rt, "damage") {
	case "bit":
		b[at] ^= 1 << (at % 8)
	case "zero page":
		clear(b[at&^(pageBytes-1):][:pageBytes])
	case "garbage page":
		page := b[at&^(pageBytes-1):][:pageBytes]
		for i := range page {
			page[i] ^= byte(i*7 + 1)
		}
	case "truncate":
		return b[:at]
	case "swap pages":
		p, q := b[at&^(pageBytes-1):][:pageBytes], b[pageBytes:][:pageBytes]
		tmp := bytes.Clone(p)
		copy(p, q)
		copy(q, tmp)
	}
	return b
}

// FuzzSegment reads any bytes as a segment: no panic, and every frame it finds reads to its end.
func FuzzSegment(f *testing.F) {
	whole := written(f, filepath.Join(f.TempDir(), "j"), everyKind()...)
	f.Add(whole[:8*pageBytes])
	f.Add(whole[:pageBytes])
	f.Add([]byte(strings.Repeat("x", 2*pageBytes)))
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) > pageBytes+frameHeader { // let the fuzzer past the checksum of the first frame
			n := min(int(binary.LittleEndian.Uint32(b[pageBytes+4:])), len(b)-pageBytes-frameHeader)
			first := Index(binary.LittleEndian.Uint64(b[pageBytes+16:]))
			sealFrame(b[pageBytes:][:frameHeader+n], 1<<32, first, max(first, 1)+9, 0)
			copy(b, encodeSegmentHeader(formatVersion, 1<<32, 0, int64(len(b)))[:segmentHeader])
		}
		scan := scanSegment(b, 1)
		for _, ref := range scan.seg.frames {
			fr, state := parseFrame(b[ref.off:], scan.seg.epoch)
			if state != frameGood {
				t.Fatal("frame found and not found")
			}
			for rest := fr.payload; len(rest) > 0; {
				e, next, err := nextEntry(rest, fr.base)
				if err != nil {
					break
				}
				if e.kind != kindSkip && e.count < 1<<20 {
					e.record(fr.first, fr.first, nil)
				}
				rest = next
			}
		}
	})
}
