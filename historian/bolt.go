package historian

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"syscall"
	"time"

	bolt "go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"
)

const hintQuarantine = "it is moved aside when the appliance starts"

// guard turns what bbolt does with a damaged file, a panic or a fault in its map, into a *CorruptError.
func guard(path string, f func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if r := recover(); r != nil {
			err = &CorruptError{File: path, Err: fmt.Errorf("%v", r), Hint: hintQuarantine}
		}
	}()
	return f()
}

// allocBytes is how far a file grows ahead of its data.
const allocBytes = 256 << 10

// openBolt opens a file that exists; one that will be written is read as a whole before (see readTree).
func openBolt(path string, readOnly bool, capBytes int64) (db *bolt.DB, err error) {
	st, err := os.Stat(path)
	switch {
	case err != nil:
		return nil, err
	case st.Size() < 2*pageBytes: // of none bbolt would make a new one
		return nil, &CorruptError{File: path, Err: fmt.Errorf("it has %d bytes", st.Size()), Hint: hintQuarantine}
	case !readOnly:
		if err := readTree(path); err != nil {
			return nil, err
		}
	}
	err = guard(path, func() error {
		db, err = bolt.Open(path, 0o640, boltOptions(readOnly, capBytes))
		return err
	})
	var corrupt *CorruptError
	var errno syscall.Errno
	switch {
	case err == nil:
	case errors.As(err, &corrupt), errors.Is(err, berrors.ErrTimeout), errors.As(err, &errno) && errno != syscall.EIO:
		return nil, err // the last: the system's trouble (no descriptor, no memory, no permission), not the file's
	default:
		return nil, &CorruptError{File: path, Err: err, Hint: hintQuarantine}
	}
	db.AllocSize = int(min(allocBytes, max(32<<10, capBytes/16)))
	if err := wholeFile(db, path); err != nil {
		_ = db.Close()
		return nil, err
	}
	return db, nil
}

// wholeFile finds a file that was cut: reading behind its end would fault.
func wholeFile(db *bolt.DB, path string) error {
	st, err := os.Stat(path)
	if err != nil {
		return err
	}
	return db.View(func(tx *bolt.Tx) error {
		if tx.Size() > st.Size() {
			return &CorruptError{File: path, Err: fmt.Errorf("%d bytes of %d", st.Size(), tx.Size()), Hint: hintQuarantine}
		}
		return nil
	})
}

func boltOptions(readOnly bool, capBytes int64) *bolt.Options {
	return &bolt.Options{Timeout: time.Second, NoFreelistSync: true, FreelistType: bolt.FreelistMapType, ReadOnly: readOnly,
		PageSize: 4096, MaxSize: int(capBytes), InitialMmapSize: int(min(64<<20, capBytes))}
}

// createBolt makes a file with empty buckets under a temporary name, and gives it its own when it is on disk.
func createBolt(path string, kind *fileKind) error {
	tmp := path + ".tmp"
	if err := os.Remove(tmp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	db, err := bolt.Open(tmp, 0o640, boltOptions(false, 0))
	if err != nil {
		return fmt.Errorf("create %s: %w", path, err)
	}
	err = db.Update(func(tx *bolt.Tx) error {
		for _, name := range slices.Concat(kind.buckets, kind.added) {
			if _, err := tx.CreateBucket(name); err != nil {
				return err
			}
		}
		return put(tx.Bucket(bucketMeta), bucketMeta, metaVersion, versionRow(kind.version))
	})
	if err = errors.Join(err, db.Sync(), db.Close()); err != nil {
		_ = os.Remove(tmp)
		return fmt.Errorf("create %s: %w", path, err)
	}
	if err := os.Rename(tmp, path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

func syncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
