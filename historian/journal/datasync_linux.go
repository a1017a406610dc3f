package journal

import (
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// datasync leaves out the time stamps, which would cost the file system a journal commit of its own.
func datasync(f *os.File) error {
	for {
		if err := syscall.Fdatasync(int(f.Fd())); err != syscall.EINTR {
			return err
		}
	}
}

// Direct opens a file whose writes go past the kernel's memory.
const Direct = syscall.O_DIRECT

// endDirect lets a file's writes go through the kernel's memory again.
func endDirect(f *os.File) bool {
	flags, _, errno := syscall.Syscall(syscall.SYS_FCNTL, f.Fd(), syscall.F_GETFL, 0)
	if errno != 0 || flags&Direct == 0 {
		return false
	}
	_, _, errno = syscall.Syscall(syscall.SYS_FCNTL, f.Fd(), syscall.F_SETFL, flags&^Direct)
	return errno == 0
}

func writeDurable(f *os.File, b []byte, off int64) (n int, err error) {
	for {
		if n, err = unix.Pwritev2(int(f.Fd()), [][]byte{b}, off, unix.RWF_DSYNC); err != unix.EINTR {
			return n, err
		}
	}
}
