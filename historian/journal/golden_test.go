package journal

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var rewrite = flag.Bool("rewrite", false, "write the golden files anew; only with a new format version")

// golden compares with a file in testdata, or writes it.
func golden(t *testing.T, name string, got []byte) []byte {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *rewrite {
		if err := os.WriteFile(path, got, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return want
}

// goldenSegment is a segment of a known epoch with two commits: every kind, and one after skipped indices.
func goldenSegment() []byte {
	const epoch, base = 1<<32 | 0xC0FFEE, 1_700_000_000_000
	b := encodeSegmentHeader(formatVersion, epoch, 0, 3*pageBytes)
	for n, first := range []Index{1, 113} {
		frame, index := make([]byte, frameHeader), first
		for _, rec := range everyKind() {
			rec.At = base + 100*Millis(n)
			frame, _ = appendEntry(frame, nil, &rec, base)
			index += Index(max(1, len(rec.Samples)))
		}
		if n == 0 {
			frame = append(frame, byte(kindSkip), 100, 0, 0)
			index += 100
		}
		sealFrame(frame, epoch, first, index-1, base)
		b = append(b, frame...)
		b = append(b, make([]byte, pages(len(b))-len(b))...)
	}
	return b
}

func TestGoldenSegment(t *testing.T) {
	want := golden(t, "golden-2.seg", goldenSegment())
	if !bytes.Equal(want, goldenSegment()) {
		t.Error("the encoder writes other bytes than it did: that needs a new format version")
	}
	readGolden(t, want)
}

// A journal of format version 1 is read, and nothing more is written to its segments.
func TestGoldenSegmentVersion1(t *testing.T) {
	old, err := os.ReadFile("testdata/golden-1.seg")
	if err != nil {
		t.Fatal(err)
	}
	j, dir := readGolden(t, old)
	i, err := j.Append(0, Record{Kind: KindSession, Data: []byte("new")})
	if err != nil {
		t.Fatal(err)
	}
	if err := j.commit(); err != nil {
		t.Fatal(err)
	}
	if recs := readAll(t, j, i); len(recs) != 1 || string(recs[0].Data) != "new" {
		t.Errorf("behind the old records: %+v", recs)
	}
	if now, err := os.ReadFile(filepath.Join(dir, segmentName(1))); err != nil || !bytes.Equal(now, old) {
		t.Errorf("the old segment was written to: %v", err)
	}
	head, err := os.ReadFile(filepath.Join(dir, segmentName(2)))
	if err != nil {
		t.Fatal(err)
	}
	if v, _, after, ok := parseSegmentHeader(head); v != formatVersion || after != i-1 || !ok {
		t.Errorf("the new segment has version %d and goes on after %d", v, after)
	}
}

// readGolden opens a journal of one golden segment and compares its records.
func readGolden(t *testing.T, want []byte) (j *Journal, dir string) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "j")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, segmentName(1)), want, 0o600); err != nil {
		t.Fatal(err)
	}
	j = openJournal(t, dir, small())
	var records []Record
	for n, first := range []Index{1, 113} {
		for _, rec := range everyKind() {
			rec.Index, rec.At = first, 1_700_000_000_000+100*Millis(n)
			for i := range rec.Samples {
				rec.Samples[i].Index = first + Index(i)
			}
			if rec.Event != nil {
				rec.Event.Index, rec.Event.Received = first, rec.At
			}
			first += Index(max(1, len(rec.Samples)))
			records = append(records, rec)
		}
	}
	if diff := cmp.Diff(records, readAll(t, j, 0)); diff != "" {
		t.Errorf("golden segment (-want +got):\n%s", diff)
	}
	return j, dir
}

func TestGoldenState(t *testing.T) {
	data := map[string][]byte{"bdSeq/Plant/Press 1": {7}, "cursor/enterprise": {1, 2, 3}, "empty": {}}
	want := golden(t, "golden.state", encodeState(4711, data))
	if !bytes.Equal(want, encodeState(4711, data)) {
		t.Error("the encoder writes other bytes than it did: that needs a new format version")
	}
	upTo, got, err := decodeState(want)
	if diff := cmp.Diff(data, got); diff != "" || upTo != 4711 || err != nil {
		t.Errorf("up to %d, %v (-want +got):\n%s", upTo, err, diff)
	}
}
