package journal

import (
	"errors"
	"syscall"
	"unsafe"
)

// directFile is a file opened with Direct: what is written goes to the disk without a copy in the kernel's memory, which for
// the page or two of a commit is a third of what the processor does for it. Writes begin and end at multiples of pageBytes.
type directFile struct {
	osFile
	room  []byte // begins where the disk can read it from
	apart bool   // the kernel cannot write and flush in one call
	usual bool   // writes go through the kernel's memory after all
}

// Slow says that a commit takes more than one direct write.
func (f *directFile) Slow() bool { return f.apart || f.usual }

// directRoom is how much one write takes at most; a commit has mostly less.
const directRoom = 256 << 10

// WriteAt writes b by way of room. A file system that does not write so after all gets it in the usual way, from then on.
func (f *directFile) WriteAt(b []byte, off int64) (n int, err error) {
	for n < len(b) {
		part := f.place(b[n:])
		done, err := f.osFile.WriteAt(part, off+int64(n))
		n += done
		if errors.Is(err, syscall.EINVAL) && endDirect(f.File) {
			f.usual = true
			done, err = f.osFile.WriteAt(b[n:], off+int64(n))
			return n + done, err
		}
		if err != nil {
			return n, err
		}
	}
	return n, nil
}

// place copies the beginning of b to the room.
func (f *directFile) place(b []byte) []byte {
	if n := min(len(b), directRoom); n > len(f.room) {
		size := directRoom
		if n <= directRoom/16 {
			size = directRoom / 16
		}
		all := make([]byte, size+pageBytes)
		skip := -uintptr(unsafe.Pointer(unsafe.SliceData(all))) % pageBytes
		f.room = all[skip : skip+uintptr(size)]
	}
	return f.room[:copy(f.room, b)]
}

// WriteDurable writes b, and returns when it is on the medium: one wait instead of two. What was written before need not be.
func (f *directFile) WriteDurable(b []byte, off int64) error {
	if !f.apart && len(b) <= directRoom {
		n, err := writeDurable(f.File, f.place(b), off)
		if err == nil && n == len(b) {
			return nil
		}
		if f.apart = true; err != nil && !unknownCall(err) {
			return err
		}
	}
	if _, err := f.WriteAt(b, off); err != nil {
		return err
	}
	return f.Datasync()
}

// unknownCall says that a kernel or file system does not know what it was asked for.
func unknownCall(err error) bool {
	return errors.Is(err, syscall.EINVAL) || errors.Is(err, syscall.ENOSYS) || errors.Is(err, syscall.EOPNOTSUPP)
}
