package store

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"syscall"
	"time"

	bolt "go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"

	"edge/broker"
	"edge/broker/session"
	"edge/historian/journal"
)

// formatVersion is that of broker.db, and with it of the journal's session records. Version 1 is read.
const formatVersion = 2

// The buckets of broker.db and the keys of "meta". See FORMAT.md.
var (
	bucketMeta     = []byte("meta")
	bucketSessions = []byte("sessions")
	bucketEntries  = []byte("entries")
	bucketRetained = []byte("retained")
	keyVersion     = []byte("version")
	keyCheckpoint  = []byte("checkpoint")
)

const (
	pageBytes  = 4096
	windowSize = 8 << 20 // journal data that one transaction takes in
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// open opens broker.db, after looking at every page of it; a damaged one is moved aside and a new one made. What the system refuses
// (permission, descriptors, memory) says nothing about the file, which stays as it is.
func (s *Store) open() error {
	err := s.openExisting()
	newer, errno := (*journal.VersionError)(nil), syscall.Errno(0)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, os.ErrNotExist):
		if oldest := s.j.NewReader(0).Pos(); oldest > 1 { // what the journal no longer has was in it
			s.recovered.Reason = "it is missing"
			s.o.Log.Error("broker.db is missing; sessions begin with what the journal has", "file", s.path, "from", oldest)
		}
	case errors.As(err, &newer), errors.Is(err, bolterrors.ErrTimeout), errors.As(err, &errno) && errno != syscall.EIO && errno != syscall.EISDIR:
		return err
	default:
		s.setAside(err)
	}
	if err := s.create(); err != nil {
		// The broker can live without: the journal keeps the sessions, until its limit.
		s.o.Log.Error("no session checkpoints", "file", s.path, "err", err)
	}
	return nil
}

func (s *Store) openExisting() error {
	if err := verify(s.path); err != nil {
		return err
	}
	var db *bolt.DB
	err := guard(func() (err error) {
		db, err = bolt.Open(s.path, 0o600, s.boltOptions())
		return err
	})
	if err != nil {
		return err
	}
	var version uint32
	err = guard(func() error {
		return db.View(func(tx *bolt.Tx) (err error) {
			version, s.upTo, err = readVersion(tx, s.path)
			return err
		})
	})
	if err == nil && version < formatVersion { // before anything that an older program does not read, here or in the journal
		if err := guard(func() error { return db.Update(putVersion) }); err != nil { // a full disk; the next checkpoint says it
			s.o.Log.Error("broker.db is not yet marked as of a newer format: start no older program", "file", s.path, "err", err)
		}
	}
	if err != nil {
		return errors.Join(err, db.Close())
	}
	s.db = db
	s.recovered.Checkpoint = broker.Index(s.upTo)
	return nil
}

// guard turns what bbolt does with a damaged file, a panic or a fault in its map, into an error.
func guard(f func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("damaged: %v", r)
		}
	}()
	return f()
}

func (s *Store) boltOptions() *bolt.Options {
	return &bolt.Options{
		Timeout:        time.Second,
		NoFreelistSync: true,
		FreelistType:   bolt.FreelistMapType,
		PageSize:       pageBytes,
		MaxSize:        int(s.o.MaxBytes),
		NoStatistics:   true,
		NoSync:         s.o.noSync,
	}
}

func readVersion(tx *bolt.Tx, path string) (version uint32, upTo journal.Index, err error) {
	for _, name := range [][]byte{bucketMeta, bucketSessions, bucketEntries, bucketRetained} {
		if tx.Bucket(name) == nil {
			return 0, 0, fmt.Errorf("bucket %s missing", name)
		}
	}
	v, err := open(tx.Bucket(bucketMeta).Get(keyVersion))
	if err != nil || len(v) != 4 {
		return 0, 0, fmt.Errorf("format version: %w", errDamaged)
	}
	if version = binary.BigEndian.Uint32(v); version > formatVersion {
		return 0, 0, &journal.VersionError{File: path, Found: version, Known: formatVersion}
	}
	v, err = open(tx.Bucket(bucketMeta).Get(keyCheckpoint))
	if err != nil || len(v) != 8 {
		return 0, 0, fmt.Errorf("checkpoint: %w", errDamaged)
	}
	return version, journal.Index(binary.BigEndian.Uint64(v)), nil
}

// setAside moves a damaged file to the quarantine folder.
func (s *Store) setAside(why error) {
	to := filepath.Join(s.o.Quarantine, fmt.Sprintf("%s.%s", filepath.Base(s.path), time.Now().UTC().Format("20060102T150405.000")))
	s.o.Log.Error("broker.db damaged, moved aside; sessions begin with what the journal has", "file", to, "reason", why)
	err := os.MkdirAll(s.o.Quarantine, 0o700)
	if err == nil {
		err = os.Rename(s.path, to)
	}
	if err != nil {
		s.o.Log.Error("broker.db is not moved aside", "file", s.path, "err", err)
	}
	s.recovered.Quarantined, s.recovered.Reason = to, why.Error()
}

// create makes an empty broker.db under a temporary name: a power cut leaves none, or a whole one.
func (s *Store) create() error {
	tmp := s.path + ".tmp"
	if err := os.Remove(tmp); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	db, err := bolt.Open(tmp, 0o600, s.boltOptions())
	if err != nil {
		return err
	}
	err = db.Update(func(tx *bolt.Tx) error {
		for _, name := range [][]byte{bucketMeta, bucketSessions, bucketEntries, bucketRetained} {
			if _, err := tx.CreateBucket(name); err != nil {
				return err
			}
		}
		if err := putVersion(tx); err != nil {
			return err
		}
		return putCheckpoint(tx, 0)
	})
	if err = errors.Join(err, db.Close()); err != nil {
		return err
	}
	if err := os.Rename(tmp, s.path); err != nil {
		return err
	}
	if !s.o.noSync {
		if err := (journal.OS{}).SyncDir(filepath.Dir(s.path)); err != nil {
			return err
		}
	}
	return s.openExisting()
}

// putVersion marks the file as of this version.
func putVersion(tx *bolt.Tx) error {
	return tx.Bucket(bucketMeta).Put(keyVersion, seal(binary.BigEndian.AppendUint32(nil, formatVersion)))
}

func putCheckpoint(tx *bolt.Tx, upTo journal.Index) error {
	return tx.Bucket(bucketMeta).Put(keyCheckpoint, seal(binary.BigEndian.AppendUint64(nil, uint64(upTo))))
}

// Checkpoint writes what the journal has above broker.db into it, and tells the journal.
func (s *Store) Checkpoint() error {
	s.checkpointing.Lock()
	defer s.checkpointing.Unlock()
	if s.db == nil {
		return errors.New("broker.db is not open")
	}
	if s.j.Durable() == s.upTo {
		return nil
	}
	start := s.upTo
	for more := true; more; {
		var upTo journal.Index
		err := guard(func() error {
			return s.db.Update(func(tx *bolt.Tx) (err error) {
				upTo, more, err = s.checkpoint(tx)
				return err
			})
		})
		if errors.Is(err, bolterrors.ErrMaxSizeReached) {
			err = fmt.Errorf("larger than %d bytes: %w", s.o.MaxBytes, err)
		}
		if err != nil {
			return fmt.Errorf("checkpoint %s: %w", s.path, err)
		}
		s.upTo = upTo
	}
	if s.upTo > start {
		s.owner.Checkpoint(s.upTo)
	}
	return nil
}

// checkpoint takes one window of the journal into the transaction.
func (s *Store) checkpoint(tx *bolt.Tx) (upTo journal.Index, more bool, err error) {
	t := table{tx: tx, log: s.o.Log, stored: map[string]map[uint64]entryMark{}}
	w := newWorld(t.loadSession)
	upTo, more, err = s.replay(w, s.upTo, windowSize)
	if err != nil {
		return 0, false, err
	}
	for id, snap := range w.sessions {
		if err := t.saveSession(id, snap); err != nil {
			return 0, false, err
		}
	}
	for _, m := range w.retained {
		if err := t.saveRetained(m); err != nil {
			return 0, false, err
		}
	}
	return upTo, more, errors.Join(putVersion(tx), putCheckpoint(tx, upTo))
}

// hash is the key of a client identifier or topic, which may be longer than a key may be.
func hash(s string) []byte {
	h := sha256.Sum256([]byte(s))
	return h[:16]
}

func entryKey(client []byte, seq uint64) []byte {
	return binary.BigEndian.AppendUint64(slices.Clone(client), seq)
}

// seal puts a checksum in front of a value: bbolt has none for its data pages.
func seal(v []byte) []byte {
	return append(binary.BigEndian.AppendUint32(make([]byte, 0, 4+len(v)), crc32.Checksum(v, castagnoli)), v...)
}

// open checks and removes what seal put there. The value still lies in the database's memory.
func open(b []byte) ([]byte, error) {
	if len(b) < 4 || crc32.Checksum(b[4:], castagnoli) != binary.BigEndian.Uint32(b) {
		return nil, errDamaged
	}
	return b[4:], nil
}

// sortEntries puts entries in a session's order: sent ones first, each kind as it came.
func sortEntries(entries []session.Entry) {
	slices.SortStableFunc(entries, func(a, b session.Entry) int {
		aq, bq := a.State == session.Queued, b.State == session.Queued
		switch {
		case aq != bq && bq, aq == bq && a.Seq < b.Seq:
			return -1
		case a.Seq == b.Seq:
			return 0
		}
		return 1
	})
}
