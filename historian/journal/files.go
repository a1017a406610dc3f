package journal

import (
	"errors"
	"io"
	"os"
	"syscall"
)

// Files is the file layer. Tests replace it to count, to fail and to fill the disk.
type Files interface {
	MkdirAll(dir string) error
	ReadDir(dir string) ([]os.DirEntry, error)
	Open(name string, flag int) (File, error) // flag as in os.OpenFile, and Direct; new files get mode 0600
	Rename(from, to string) error
	Link(from, to string) error
	Remove(name string) error
	SyncDir(dir string) error
}

// File is one open file.
type File interface {
	io.ReaderAt
	io.WriterAt
	Size() (int64, error)
	Datasync() error // data, and what is needed to read it back, are on the medium
	Close() error
}

// OS is the operating system's file layer.
type OS struct{}

// MkdirAll makes a folder that only this user may enter.
func (OS) MkdirAll(dir string) error { return os.MkdirAll(dir, 0o700) }

// ReadDir lists a folder, sorted by name.
func (OS) ReadDir(dir string) ([]os.DirEntry, error) { return os.ReadDir(dir) }

// Open opens or creates a file. Where the file system knows no Direct, it does without.
func (OS) Open(name string, flag int) (File, error) {
	f, err := os.OpenFile(name, flag, 0o600)
	if flag&Direct != 0 {
		if err == nil {
			return &directFile{osFile: osFile{f}}, nil
		}
		if errors.Is(err, syscall.EINVAL) {
			f, err = os.OpenFile(name, flag&^Direct, 0o600)
		}
	}
	if err != nil {
		return nil, err
	}
	return osFile{f}, nil
}

// Rename renames a file over another.
func (OS) Rename(from, to string) error { return os.Rename(from, to) }

// Link gives a file a second name.
func (OS) Link(from, to string) error { return os.Link(from, to) }

// Remove removes a file.
func (OS) Remove(name string) error { return os.Remove(name) }

// SyncDir makes creations and renames in dir durable.
func (OS) SyncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	err = d.Sync()
	if cerr := d.Close(); err == nil {
		err = cerr
	}
	return err
}

type osFile struct{ *os.File }

func (f osFile) Size() (int64, error) {
	st, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return st.Size(), nil
}

func (f osFile) Datasync() error { return datasync(f.File) }
