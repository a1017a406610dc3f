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
	b := encodeSegmentHeader(1, epoch, 0, 3*pageBytes)
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
	want := golden(t, "golden.seg", goldenSegment())
	if !bytes.Equal(want, goldenSegment()) {
		t.Error("the encoder writes other bytes than it did: that needs a new format version")
	}
	dir := filepath.Join(t.TempDir(), "j")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, segmentName(1)), want, 0o600); err != nil {
		t.Fatal(err)
	}
	j := openJournal(t, dir, small())
	var records []Record
	for n, first := range []Index{1, 113} {
		for _, rec := range everyKind() {
			rec.Index, rec.At = first, 1_700_000_000_000+100*Millis(n)
			for i := range rec.Samples {
				rec.Samples[i].Index = first + Index(i)
			}
			if rec.Event != nil {
				rec.Event.Index = first
			}
			first += Index(max(1, len(rec.Samples)))
			records = append(records, rec)
		}
	}
	if diff := cmp.Diff(records, readAll(t, j, 0)); diff != "" {
		t.Errorf("golden.seg (-want +got):\n%s", diff)
	}
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
