package historian

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// What the store takes on the disk, and may take. A file that is written anew stands beside the one that it is to replace, until it
// has its name. So that the limit holds even then, retention leaves as much of it free as the largest file takes:
//
//	0 ................... ceiling ............ MaxBytes
//	  the files                  spare: the largest file again, at most two fifths of the limit
//
// A flush goes into what is spare; retention, after it, makes it up.

// ceiling is what retention brings the store down to.
func (s *Store) ceiling() int64 {
	return s.o.MaxBytes - min(s.largest.Load(), s.o.MaxBytes/5*2)
}

// hasRoom says that a file of so many bytes may be written beside what is there.
func (s *Store) hasRoom(bytes int64) bool {
	return s.o.MaxBytes <= 0 || s.bytes.Load()+bytes <= s.o.MaxBytes
}

// measure looks at what the files take, those in the quarantine too, but not one that is being written anew.
func (s *Store) measure() {
	sum, largest := int64(0), int64(0)
	eachFile(s.dir, s.o.Quarantine, func(path string, bytes int64) {
		if strings.HasSuffix(path, ".tmp") || path == s.ballastPath() {
			return // the one lies in what is spare, the other goes when it must
		}
		sum += bytes
		if strings.HasSuffix(path, ".db") {
			largest = max(largest, bytes)
		}
	})
	for _, path := range wrecks(s.o.Quarantine) {
		sum += bytesOf(path)
	}
	s.bytes.Store(sum)
	s.largest.Store(largest)
}

// eachFile goes through the files below dir, but not those below except.
func eachFile(dir, except string, f func(path string, bytes int64)) {
	_ = filepath.WalkDir(dir, func(path string, e os.DirEntry, err error) error {
		switch {
		case err != nil: // what vanished meanwhile takes nothing
		case e.IsDir() && path == except:
			return filepath.SkipDir
		case e.Type().IsRegular():
			f(path, bytesOf(path))
		}
		return nil
	})
}

// diskBytes is what the files below dir take on the disk; holes do not count.
func diskBytes(dir string) (n int64) {
	eachFile(dir, "", func(_ string, bytes int64) { n += bytes })
	return n
}

func bytesOf(path string) int64 {
	info, err := os.Lstat(path)
	if err != nil {
		return 0
	}
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return st.Blocks * 512
	}
	return info.Size()
}

// boundWrecks keeps the store below its limit while damaged files are mended one after the other, before retention has its turn: of a
// mended file there is the wreck, too. more is what is about to be written.
func (s *Store) boundWrecks(more int64) {
	s.measure()
	for !s.hasRoom(more) && s.dropWreck(whyBytes) {
	}
}

// dropWreck removes the oldest damaged file that was moved aside; false: there is none.
func (s *Store) dropWreck(why string) bool {
	list := wrecks(s.o.Quarantine)
	if len(list) == 0 || os.Remove(list[0]) != nil {
		return false
	}
	s.measure()
	s.o.Log.Info("damaged file removed from the quarantine", "part", "historian", "file", list[0], "reason", why)
	return true
}
