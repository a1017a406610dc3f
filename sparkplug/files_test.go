package sparkplug

import (
	"bytes"
	"crypto/md5"
	"encoding/hex"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// part is one part of a file as a test sends it.
type part struct {
	md   Metadata
	data string
}

// parts cuts a file into parts of n bytes, with size and md5 on each of them.
func parts(file string, n int) (out []part) {
	sum := md5.Sum([]byte(file))
	for seq := uint64(0); len(file) > 0 || seq == 0; seq++ {
		k := min(n, len(file))
		out = append(out, part{Metadata{MultiPart: true, HasSeq: true, Seq: seq, HasSize: true, MD5: hex.EncodeToString(sum[:]), FileName: "recipe.xml"}, file[:k]})
		file = file[k:]
	}
	size := 0
	for _, p := range out {
		size += len(p.data)
	}
	for i := range out {
		out[i].md.Size = uint64(size)
	}
	return out
}

// eachPart changes the metadata of all parts.
func eachPart(list []part, change func(i int, m *Metadata)) []part {
	for i := range list {
		change(i, &list[i].md)
	}
	return list
}

func TestFiles(t *testing.T) {
	const file = "0123456789"
	noSize := func(_ int, m *Metadata) { m.HasSize, m.Size = false, 0 }
	noMD5 := func(_ int, m *Metadata) { m.MD5 = "" }
	tests := []struct {
		name    string
		parts   []part
		want    string // the file; "": it does not get whole
		problem string
	}{
		{"three parts", parts(file, 4), file, ""},
		{"one part", parts(file, 10), file, ""},
		{"from 1", eachPart(parts(file, 4), func(i int, m *Metadata) { m.Seq++ }), file, ""},
		{"an empty file", parts("", 4), "", ""},
		{"size alone", eachPart(parts(file, 4), noMD5), file, ""},
		{"md5 alone", eachPart(parts(file, 4), noSize), file, ""},
		{"md5 in capitals", eachPart(parts(file, 4), func(_ int, m *Metadata) { m.MD5 = strings.ToUpper(m.MD5) }), file, ""},
		{"size and md5 on the last part only", eachPart(parts(file, 4), func(i int, m *Metadata) {
			if i < 2 {
				m.HasSize, m.MD5 = false, ""
			}
		}), file, ""},
		{"each part says its own size", eachPart(parts(file, 5), func(i int, m *Metadata) { m.Size = 5 }), file, ""},
		{"a wrong md5", eachPart(parts(file, 4), func(_ int, m *Metadata) { m.MD5 = strings.Repeat("0", 32) }), "", "another md5"},
		{"more bytes than its size", eachPart(parts(file, 4), func(_ int, m *Metadata) { m.Size = 9; m.MD5 = "" }), "", "more bytes"},
		{"the second part is missing", append(parts(file, 4)[:1], parts(file, 4)[2:]...), "", "part 1 of file \"recipe.xml\" is missing"},
		{"the first part is missing", parts(file, 4)[2:], "", "without those before it"},
		{"a new file begins in the middle", append(parts(file, 4)[:2], parts(file, 4)...), file, "part 2 of file \"recipe.xml\" is missing"},
		{"neither size nor md5", append(eachPart(eachPart(parts(file, 4), noSize), noMD5), eachPart(eachPart(parts(file, 4), noSize), noMD5)...), "", "cannot be known"},
		{"no seq", eachPart(parts(file, 4), func(_ int, m *Metadata) { m.HasSeq = false }), "", "no seq"},
		{"larger than the limit, and says so", eachPart(parts(file, 4), func(_ int, m *Metadata) { m.Size = 1 << 40 }), "", "too large"},
		{"larger than the limit", eachPart(eachPart(parts(strings.Repeat("x", 4000), 100), noSize), func(_ int, m *Metadata) { m.MD5 = "x" }), "", "too large"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := Files[string]{MaxBytes: 2000}
			var whole []byte
			done, problems := 0, ""
			for _, p := range tt.parts {
				data := []byte(p.data)
				got, problem := f.Add("m", p.md, data, t0)
				for i := range data {
					data[i] = '!' // what was added is a copy
				}
				problems += problem + "\n"
				if got != nil {
					whole, done = got, done+1
				}
			}
			if wanted := tt.want != "" || tt.name == "an empty file"; string(whole) != tt.want || (done == 1) != wanted {
				t.Errorf("%q, whole %d times; want %q", whole, done, tt.want)
			}
			if problems = strings.TrimSpace(problems); (problems == "") != (tt.problem == "") || !strings.Contains(problems, tt.problem) {
				t.Errorf("problems %q, want %q", problems, tt.problem)
			}
			if tt.name != "neither size nor md5" && (f.bytes != 0 || len(f.open) != 0) {
				t.Errorf("%d bytes, %d files are still held", f.bytes, len(f.open))
			}
		})
	}
}

// TestFilesBounded: files that never end take no more than their room, and go when nothing comes.
func TestFilesBounded(t *testing.T) {
	f := Files[int]{MaxBytes: 10_000, MaxOpen: 3, Patience: time.Minute}
	refused := ""
	for key := range 5 {
		md := Metadata{MultiPart: true, HasSeq: true, MD5: "x", FileName: "endless"}
		for md.Seq = range 20 {
			if _, problem := f.Add(key, md, nil, t0); problem != "" {
				refused += problem + "\n"
			}
			if f.bytes > 10_000 || len(f.open) > 3 {
				t.Fatalf("%d bytes, %d files", f.bytes, len(f.open))
			}
		}
	}
	if !strings.Contains(refused, "3 others are not whole yet") {
		t.Errorf("%q", refused)
	}
	if due := f.Due(); !due.Equal(t0.Add(time.Minute)) {
		t.Errorf("due %v", due)
	}
	if _, problem := f.Add(0, Metadata{HasSeq: true, Seq: 20}, []byte("x"), t0.Add(30*time.Second)); problem != "" {
		t.Error(problem)
	}
	told := map[int]string{}
	f.Expire(t0.Add(time.Minute), func(key int, problem string) { told[key] = problem })
	if len(told) != 2 || !strings.Contains(told[1], "part 20 of file \"endless\" is missing, it did not come for 1m0s") {
		t.Errorf("told %v", told)
	}
	f.Expire(t0.Add(90*time.Second), func(key int, problem string) { told[key] = problem })
	if len(told) != 3 || f.bytes != 0 || !f.Due().IsZero() {
		t.Errorf("told %v; %d bytes, due %v", told, f.bytes, f.Due())
	}
}

// TestFilesAgainstModel: parts of three files are lost, come twice, or in another order, between restarts of a file. What gets whole is
// always a file as it was sent, and without a loss it does get whole; what is held is bounded.
func TestFilesAgainstModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := Files[int]{MaxBytes: 4000, MaxOpen: 2}
		sent, next, sound := map[int][]part{}, map[int]int{}, map[int]bool{}
		now := t0
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			key := rapid.IntRange(0, 2).Draw(t, "file")
			now = now.Add(time.Duration(rapid.IntRange(0, 20).Draw(t, "seconds")) * time.Second)
			f.Expire(now, func(key int, problem string) { sound[key] = false })
			list := sent[key]
			if next[key] >= len(list) {
				body := rapid.StringN(0, 30, -1).Draw(t, "file's text")
				list = parts(body, rapid.IntRange(1, 9).Draw(t, "part"))
				sent[key], next[key], sound[key] = list, 0, true
			}
			k := next[key]
			switch rapid.SampledFrom([]string{"send", "send", "send", "send", "lose", "repeat"}).Draw(t, "step") {
			case "lose":
				next[key]++
				sound[key] = false
				continue
			case "repeat":
				k, sound[key] = max(0, k-1), false
			default:
				next[key]++
			}
			whole, problem := f.Add(key, list[k].md, []byte(list[k].data), now)
			if problem != "" && len(f.open) == 2 {
				sound[key] = false // no room
			}
			var text strings.Builder
			for _, p := range list {
				text.WriteString(p.data)
			}
			if whole != nil && string(whole) != text.String() {
				t.Fatalf("%q gets whole, sent %q", whole, text.String())
			}
			if last := k == len(list)-1; last && sound[key] && whole == nil {
				t.Fatalf("%q does not get whole: %q", text.String(), problem)
			}
			if f.bytes > 4000 || len(f.open) > 2 || f.bytes == 0 != (len(f.open) == 0) {
				t.Fatalf("%d bytes, %d files", f.bytes, len(f.open))
			}
		}
	})
}

func TestMetadata(t *testing.T) {
	in := raw(t, `
		08 01          // is_multi_part
		12 01 63       // content_type "c"
		18 0a          // size 10
		20 00          // seq 0: present
		2a 01 6e       // file_name "n"
		32 01 74       // file_type "t"
		3a 02 61 62    // md5 "ab"
		42 01 64       // description "d"
		fa 07 01 41    // field 127`)
	want := Metadata{MultiPart: true, ContentType: "c", HasSize: true, Size: 10, HasSeq: true, FileName: "n", FileType: "t", MD5: "ab",
		Description: "d", Unknown: raw(t, "fa 07 01 41")}
	got, err := ParseMetadata(in)
	if err != nil || got.FileName != want.FileName || !bytes.Equal(got.Bytes(), in) || !bytes.Equal(want.Bytes(), in) {
		t.Errorf("%+v, %v", got, err)
	}
	if _, err := ParseMetadata([]byte{0xff}); err == nil {
		t.Error("garbage is metadata")
	}
}
