package chunk

import (
	"encoding/hex"
	"flag"
	"fmt"
	"math"
	"os"
	"strings"
	"testing"

	"edge/historian/journal"
)

var rewrite = flag.Bool("rewrite", false, "write golden files anew")

// goldenSamples use every form and column once.
func goldenSamples() (out []journal.Sample) {
	index := journal.Index(1000)
	for i := range 40 {
		at := journal.Millis(1_780_000_000_000 + 1000*i + i%3)
		add := func(id journal.SeriesID, v journal.Value) {
			s := journal.Sample{Index: index, Series: id, At: at, Received: at + 20, Value: v, Quality: journal.Good, Birth: i == 0, Historical: i > 30}
			if id == 3 && i == 7 {
				s.Quality = journal.Bad
			}
			if id == 4 {
				s.At += 3
			}
			out = append(out, s)
			index++
		}
		add(1, journal.Value{Type: 4, Num: uint64(500 + 3*i)})
		add(2, journal.Value{Type: 11, Num: uint64(i & 1)})
		if i%4 != 1 {
			add(3, journal.Value{Type: 9, Num: uint64(math.Float32bits(float32(i*i%50) / 10))})
		}
		add(4, journal.Value{Type: 10, Num: math.Float64bits(math.Sin(float64(i)))})
		add(5, journal.Value{Type: 9, Num: uint64(math.Float32bits(float32(7000+i*i*31%997) * float32(100.0/27648)))})
		if i%10 == 0 {
			add(6, journal.Value{Type: 12, Bytes: []byte([]string{"run", "hold"}[i/10%2])})
			add(7, journal.Value{Type: 17, Null: i == 10, Bytes: []byte{byte(i)}})
		}
		index += journal.Index(i % 5)
	}
	return out
}

// codedSamples are noisy enough for codes: members that stamp themselves, by exception.
func codedSamples() (out []journal.Sample) {
	state := uint32(1)
	noise := func(n uint32) (sum int) { // about normally distributed
		for range 4 {
			state = state*1664525 + 1013904223
			sum += int(state >> 16 % n)
		}
		return sum
	}
	index := journal.Index(70)
	for i := range 400 {
		at := journal.Millis(1_780_000_000_000 + 1000*i + noise(5))
		for id := range 4 {
			if id > 0 && noise(10) < 14 {
				continue
			}
			out = append(out, journal.Sample{Index: index, Series: journal.SeriesID(20 + id), At: at + journal.Millis(5*id+noise(3)), Received: at + 40,
				Value: journal.Value{Type: 4, Num: uint64(7000 + noise(12))}, Quality: journal.Good})
			index++
		}
	}
	return out
}

// Codes came with version 2, and are others since version 3.
func TestGoldenCoded(t *testing.T) {
	block, err := Encode(codedSamples())
	if err != nil {
		t.Fatal(err)
	}
	if *rewrite {
		writeHex(t, codedPath(version), block)
	}
	for v := 2; v <= version; v++ {
		golden := readHex(t, codedPath(v))
		b, err := Parse(golden)
		if err != nil {
			t.Fatal(err)
		}
		got, err := b.All(nil)
		if err != nil {
			t.Fatal(err)
		}
		compare(t, codedPath(v), got, codedSamples())
		if v == version && string(golden) != string(block) {
			t.Errorf("Encode writes %d bytes that differ from the golden %d", len(block), len(golden))
		}
		if golden[1] != byte(v) || codedParts(t, b) == 0 {
			t.Errorf("%s is of version %d, or has no codes", codedPath(v), golden[1])
		}
	}
}

// codedParts counts the lists of slots and the values that are coded.
func codedParts(t *testing.T, b *Block) (n int) {
	var line Timeline
	if err := b.Timeline(&line); err != nil {
		t.Fatal(err)
	}
	for i, m := range line.members {
		for _, form := range [...]byte{m[0], b.Entries[i].payload[0]} {
			r := reader{b: []byte{form}, tight: b.version >= 3}
			if r.form(); r.code.on && !r.bad {
				n++
			}
		}
	}
	return n
}

func codedPath(version int) string { return fmt.Sprintf("testdata/coded%d.hex", version) }

// The golden blocks of every version are decoded; Encode writes the last, to the byte.
func TestGoldenBlock(t *testing.T) {
	block, err := Encode(goldenSamples())
	if err != nil {
		t.Fatal(err)
	}
	if *rewrite {
		writeHex(t, goldenPath(version), block)
	}
	for v := 1; v <= version; v++ {
		golden := readHex(t, goldenPath(v))
		b, err := Parse(golden)
		if err != nil {
			t.Fatal(err)
		}
		if golden[1] != byte(v) {
			t.Errorf("%s is of version %d", goldenPath(v), golden[1])
		}
		want := goldenSamples()
		for i := range want {
			if want[i].Value.Null {
				want[i].Value.Bytes = nil
			}
		}
		got, err := b.All(nil)
		if err != nil {
			t.Fatal(err)
		}
		compare(t, "golden", got, want)
		checkColumns(t, b, want)
		if v == version && string(golden) != string(block) {
			t.Errorf("Encode writes %d bytes that differ from the golden %d", len(block), len(golden))
		}
	}
}

func goldenPath(version int) string { return fmt.Sprintf("testdata/block%d.hex", version) }

func writeHex(t testing.TB, path string, b []byte) {
	var lines strings.Builder
	for rest := hex.EncodeToString(b); len(rest) > 0; rest = rest[min(len(rest), 96):] {
		lines.WriteString(rest[:min(len(rest), 96)] + "\n")
	}
	if err := os.WriteFile(path, []byte(lines.String()), 0o644); err != nil {
		t.Fatal(err)
	}
}

func readHex(t testing.TB, path string) []byte {
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	b, err := hex.DecodeString(strings.ReplaceAll(string(text), "\n", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}
