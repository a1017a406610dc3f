package journal

import "os"

// OpenReadOnly opens the journal in dir for readers only: it recovers in memory and changes nothing on disk, a torn tail stays.
// Nobody else may have it open. Append answers ErrReadOnly; do not Run it.
func OpenReadOnly(dir string, o Options) (*Journal, error) {
	j := newJournal(dir, o)
	j.fs, j.readOnly = lookOnly{j.fs}, true
	if err := j.recover(); err != nil {
		return nil, j.notOpened(err)
	}
	return j, nil
}

// lookOnly is a file layer that takes no change. Removals are passed over: what recovery would remove is left out of the log.
type lookOnly struct{ Files }

// MkdirAll makes nothing.
func (lookOnly) MkdirAll(string) error { return nil }

// Open refuses to write.
func (l lookOnly) Open(name string, flag int) (File, error) {
	if flag != os.O_RDONLY {
		return nil, ErrReadOnly
	}
	return l.Files.Open(name, flag)
}

// Rename refuses.
func (lookOnly) Rename(_, _ string) error { return ErrReadOnly }

// Link refuses.
func (lookOnly) Link(_, _ string) error { return ErrReadOnly }

// Remove removes nothing.
func (lookOnly) Remove(string) error { return nil }

// SyncDir has nothing to make durable.
func (lookOnly) SyncDir(string) error { return nil }
