package sparkplug

import (
	"crypto/md5"
	"encoding/hex"
	"fmt"
	"hash"
	"strings"
	"time"
)

// Files puts files together that come in parts: metrics of datatype Bytes or File whose metadata say is_multi_part. K names
// the metric that a file comes through, one file at a time. The zero value works. Not safe for concurrent use.
//
// The specification does not say where parts begin nor how the end is known. Here the first part has seq 0 or 1, each
// further one the next number; the file is whole when it has metadata.size bytes, and then has to have metadata.md5 if there
// is one. Without a size it is whole when the md5 is right. A size that is the first part's own is not the file's if there
// is an md5 that says so. With neither, the end cannot be known.
type Files[K comparable] struct {
	MaxBytes int           // of all files at work together, and of the one that gets whole; default 16 MiB
	MaxOpen  int           // files at work; default 64
	Patience time.Duration // how long the next part is waited for; default 1 min

	open  map[K]*openFile
	bytes int
	due   time.Time // when the patience with one of them ends, or earlier
}

// openFile is a file at work.
type openFile struct {
	name        string
	first, next uint64 // numbers of parts
	parts       [][]byte
	bytes, room int // room: bytes with what a part costs besides
	size        uint64
	sized       bool // size is the whole file's
	md5         string
	sum         hash.Hash
	last        time.Time // when the last part came
}

// partCost is what a part costs besides its bytes.
const partCost = 64

func (f *Files[K]) limits() (bytes, open int, patience time.Duration) {
	bytes, open, patience = f.MaxBytes, f.MaxOpen, f.Patience
	if bytes <= 0 {
		bytes = 16 << 20
	}
	if open <= 0 {
		open = 64
	}
	if patience <= 0 {
		patience = time.Minute
	}
	return bytes, open, patience
}

// Add takes a part, which it copies. whole is the file once its last part came, else nil; problem says, if not empty, why a
// file will not get whole: a part is missing, its md5 is another, or there is no room. The parts that came are then gone.
func (f *Files[K]) Add(key K, m Metadata, part []byte, now time.Time) (whole []byte, problem string) {
	o := f.open[key]
	switch {
	case !m.HasSeq:
		f.Drop(key)
		return nil, fmt.Sprintf("a part of file %.80q has no seq", m.FileName)
	case o == nil && m.Seq > 1:
		return nil, fmt.Sprintf("a part of file %.80q came without those before it", m.FileName)
	case o == nil:
		if problem = f.begin(key, m, now); problem != "" {
			return nil, problem
		}
	case m.Seq == o.first, m.Seq == 0:
		problem = o.lost("a new one began")
		f.Drop(key)
		if again := f.begin(key, m, now); again != "" {
			return nil, again
		}
	case m.Seq != o.next:
		f.Drop(key)
		return nil, o.lost(fmt.Sprintf("part %d came", m.Seq))
	}
	o = f.open[key]
	maxBytes, _, _ := f.limits()
	room := len(part) + partCost
	if f.bytes+room > maxBytes {
		f.Drop(key)
		return nil, fmt.Sprintf("file %.80q is too large: the parts of all files take at most %d bytes", o.name, maxBytes)
	}
	f.bytes, o.room = f.bytes+room, o.room+room
	o.add(m, part, now)
	end, wrong := o.state()
	if !end {
		return nil, problem
	}
	f.Drop(key)
	if wrong != "" {
		return nil, wrong
	}
	whole = make([]byte, 0, o.bytes)
	for _, p := range o.parts {
		whole = append(whole, p...)
	}
	return whole, problem
}

// begin makes room for a file; problem says why there is none.
func (f *Files[K]) begin(key K, m Metadata, now time.Time) (problem string) {
	maxBytes, maxOpen, _ := f.limits()
	switch {
	case m.HasSize && m.Size > uint64(maxBytes):
		return fmt.Sprintf("file %.80q of %d bytes is too large: at most %d", m.FileName, m.Size, maxBytes)
	case len(f.open) >= maxOpen:
		return fmt.Sprintf("file %.80q is not taken: %d others are not whole yet", m.FileName, len(f.open))
	}
	if f.open == nil {
		f.open = map[K]*openFile{}
	}
	if _, _, patience := f.limits(); f.due.IsZero() {
		f.due = now.Add(patience)
	}
	f.open[key] = &openFile{name: m.FileName, first: m.Seq, next: m.Seq, sum: md5.New(), last: now}
	return ""
}

func (o *openFile) add(m Metadata, part []byte, now time.Time) {
	if m.HasSize {
		o.size, o.sized = m.Size, true
	}
	if m.MD5 != "" {
		o.md5 = strings.ToLower(m.MD5)
	}
	if m.FileName != "" {
		o.name = m.FileName
	}
	o.parts = append(o.parts, append([]byte{}, part...))
	o.bytes += len(part)
	o.sum.Write(part) //nolint:errcheck // a hash never fails
	o.next, o.last = m.Seq+1, now
}

// state tells whether the file is at its end, and if so what is wrong with it.
func (o *openFile) state() (end bool, wrong string) {
	right := o.md5 != "" && hex.EncodeToString(o.sum.Sum(nil)) == o.md5
	switch {
	case right && (!o.sized || uint64(o.bytes) == o.size):
		return true, ""
	case right && len(o.parts) > 1 && uint64(len(o.parts[len(o.parts)-1])) == o.size: // each part says its own size
		return true, ""
	case !o.sized || uint64(o.bytes) < o.size:
		return false, ""
	case o.md5 == "" && uint64(o.bytes) == o.size:
		return true, ""
	case o.md5 != "" && uint64(len(o.parts[len(o.parts)-1])) == o.size:
		return false, ""
	case uint64(o.bytes) > o.size:
		return true, fmt.Sprintf("file %.80q has more bytes than its size of %d", o.name, o.size)
	}
	return true, fmt.Sprintf("file %.80q has another md5 than its metadata say", o.name)
}

// lost says that a part is missing.
func (o *openFile) lost(but string) string {
	if !o.sized && o.md5 == "" {
		return fmt.Sprintf("file %.80q has neither size nor md5, its end cannot be known", o.name)
	}
	return fmt.Sprintf("part %d of file %.80q is missing, %s", o.next, o.name, but)
}

// Drop forgets the parts of a file.
func (f *Files[K]) Drop(key K) {
	if o := f.open[key]; o != nil {
		f.bytes -= o.room
		delete(f.open, key)
	}
}

// Due returns when Expire may have something to do; zero: never.
func (f *Files[K]) Due() time.Time { return f.due }

// Expire forgets the files whose next part did not come in time, and calls told with what to say of each.
func (f *Files[K]) Expire(now time.Time, told func(key K, problem string)) {
	if f.due.IsZero() || f.due.After(now) {
		return
	}
	f.due = time.Time{}
	_, _, patience := f.limits()
	for key, o := range f.open {
		if end := o.last.Add(patience); end.After(now) {
			f.due = earliest(f.due, end)
			continue
		}
		f.Drop(key)
		told(key, o.lost(fmt.Sprintf("it did not come for %v", patience)))
	}
}
