package journal

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestDirectFileTakesAnything(t *testing.T) {
	tests := []struct {
		name  string
		write func(f *directFile, b []byte, off int64) error
	}{
		{"written", func(f *directFile, b []byte, off int64) error { _, err := f.WriteAt(b, off); return err }},
		{"written durably", (*directFile).WriteDurable},
		{"written durably by a kernel that cannot", func(f *directFile, b []byte, off int64) error {
			f.apart = true
			return f.WriteDurable(b, off)
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			name := filepath.Join(t.TempDir(), "f")
			if err := createZeroed(OS{}, name, 1<<20); err != nil {
				t.Fatal(err)
			}
			file, err := OS{}.Open(name, os.O_RDWR|Direct)
			if err != nil {
				t.Fatal(err)
			}
			defer file.Close()
			f, ok := file.(*directFile)
			if !ok {
				f = &directFile{osFile: file.(osFile)} // of a file system without
			}
			want := make([]byte, 1<<20)
			put := func(off, n, skip int) {
				t.Helper()
				b := make([]byte, n+skip)[skip:] // where no disk would read it from
				for i := range b {
					b[i] = byte(i*7 + off + 1)
				}
				copy(want[off:], b)
				if err := tt.write(f, b, int64(off)); err != nil {
					t.Fatal(err)
				}
			}
			put(4096, 4096, 1)
			put(8192, 3*4096, 511)
			put(65536, directRoom+8192, 3)
			put(8192, 100, 0) // no whole page: in the usual way, from then on
			put(20480, 4096, 8)
			if got, err := os.ReadFile(name); err != nil || !bytes.Equal(got, want) {
				t.Errorf("the file is not what was written, %v", err)
			}
		})
	}
}

// watchedFiles notes what is done with segments.
type watchedFiles struct {
	unsynced
	done *[]string
}

type watchedFile struct {
	File
	done *[]string
}

func (w watchedFiles) Open(name string, flag int) (File, error) {
	f, err := w.unsynced.Open(name, flag)
	if err == nil && strings.HasSuffix(name, segmentSuffix) && flag&os.O_RDWR != 0 {
		return watchedFile{f, w.done}, nil
	}
	return f, err
}

func (f watchedFile) WriteAt(b []byte, off int64) (int, error) {
	what := "write"
	if off == 0 {
		what = "header"
	}
	*f.done = append(*f.done, what)
	return f.File.WriteAt(b, off)
}

func (f watchedFile) Datasync() error {
	*f.done = append(*f.done, "flush")
	return f.File.Datasync()
}

func (f watchedFile) WriteDurable(b []byte, off int64) error {
	*f.done = append(*f.done, "durable")
	_, err := f.File.WriteAt(b, off)
	return err
}

// A write that is durable by itself says nothing of what was written before: a segment's first commit is flushed with its header.
func TestASegmentsHeaderIsFlushed(t *testing.T) {
	var done []string
	o := small()
	o.Files = watchedFiles{done: &done}
	dir := filepath.Join(t.TempDir(), "j")
	j := openJournal(t, dir, o)
	for range 4 { // three fill a segment
		appendNow(t, j, Record{Kind: KindSession, Data: make([]byte, 16<<10)})
	}
	want := []string{"header", "write", "flush", "durable", "durable", "header", "write", "flush"}
	if !slices.Equal(done, want) {
		t.Errorf("%v, want %v", done, want)
	}
}

// plainFiles is a file layer that knows no direct writes.
type plainFiles struct{ OS }

func (p plainFiles) Open(name string, flag int) (File, error) { return p.OS.Open(name, flag&^Direct) }

// A disk that takes no direct writes is written to all the same, and the log says so, once.
func TestNoDirectWrites(t *testing.T) {
	var log bytes.Buffer
	o := small()
	o.Files, o.Log = plainFiles{}, slog.New(slog.NewTextHandler(&log, nil))
	dir := filepath.Join(t.TempDir(), "j")
	j, err := Open(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	for range 8 {
		appendNow(t, j, Record{Kind: KindSession, Data: make([]byte, 16<<10)})
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(log.String(), "in two steps"); n != 1 {
		t.Errorf("said %d times:\n%s", n, &log)
	}
	if j, err = Open(dir, o); err != nil || j.Durable() != 8 {
		t.Errorf("%d records are back, %v", j.Durable(), err)
	}
	if err := j.Close(); err != nil {
		t.Error(err)
	}
}
