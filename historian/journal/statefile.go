package journal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"syscall"
)

// A state file: header, then the entries sorted by key.
//
//	0   8  magic "EDGESTAT"
//	8   4  format version
//	12  4  CRC32C of bytes 0..12 and all from 16 on
//	16  8  journal index up to which the file is complete
//	24  8  number of entries
//	32  …  per entry: length of key (uvarint), key, length of value (uvarint), value
const (
	stateMagic   = "EDGESTAT"
	stateVersion = 1
	stateHeader  = 32
	prevSuffix   = ".prev"
)

func encodeState(upTo Index, data map[string][]byte) []byte {
	b := make([]byte, stateHeader, stateHeader+64*len(data))
	copy(b, stateMagic)
	binary.LittleEndian.PutUint32(b[8:], stateVersion)
	binary.LittleEndian.PutUint64(b[16:], uint64(upTo))
	binary.LittleEndian.PutUint64(b[24:], uint64(len(data)))
	for _, k := range slices.Sorted(maps.Keys(data)) {
		b = appendText(b, k)
		b = binary.AppendUvarint(b, uint64(len(data[k])))
		b = append(b, data[k]...)
	}
	binary.LittleEndian.PutUint32(b[12:], stateCRC(b))
	return b
}

func stateCRC(b []byte) uint32 {
	return crc32.Update(crc32.Checksum(b[:12], castagnoli), castagnoli, b[16:])
}

// decodeState reads what encodeState made. It returns errDamaged or a *VersionError without a file name.
func decodeState(b []byte) (upTo Index, data map[string][]byte, err error) {
	if len(b) < stateHeader || string(b[:8]) != stateMagic || stateCRC(b) != binary.LittleEndian.Uint32(b[12:]) {
		return 0, nil, errDamaged
	}
	if v := binary.LittleEndian.Uint32(b[8:]); v > stateVersion {
		return 0, nil, &VersionError{Found: v, Known: stateVersion}
	}
	d := decoder{Fields: Fields{B: b[stateHeader:]}, copied: true}
	data = map[string][]byte{}
	for range binary.LittleEndian.Uint64(b[24:]) {
		k := d.Text()
		data[k] = d.Take(d.Uvarint())
		if d.Bad {
			return 0, nil, errDamaged
		}
	}
	if len(d.B) > 0 {
		return 0, nil, errDamaged
	}
	return Index(binary.LittleEndian.Uint64(b[16:])), data, nil
}

// load reads the state's file, or its predecessor if it is damaged, and returns the index up to which it is complete.
func (s *State) load() (Index, error) {
	for _, name := range []string{s.file, s.file + prevSuffix} {
		b, err := readFile(s.j.fs, name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		var upTo Index
		var data map[string][]byte
		if err == nil {
			upTo, data, err = decodeState(b)
		}
		if newer := (*VersionError)(nil); errors.As(err, &newer) {
			newer.File = name
			return 0, newer
		}
		if refused(err) {
			return 0, err
		}
		if err != nil {
			s.j.log.Error("state file damaged, moved aside", "file", name, "err", err)
			s.j.quarantine(name, true)
			s.damage = errors.Join(s.damage, fmt.Errorf("%s: %w", name, err))
			continue
		}
		for k, v := range data {
			s.apply(k, opPut, v)
		}
		return upTo, nil
	}
	return 0, nil
}

// refused tells of an error that says nothing about the file: the system does not let us read it (permission, descriptors, memory).
func refused(err error) bool {
	errno := syscall.Errno(0)
	return errors.As(err, &errno) && errno != syscall.EIO && errno != syscall.EISDIR
}

func readFile(files Files, name string) ([]byte, error) {
	f, err := files.Open(name, os.O_RDONLY)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	size, err := f.Size()
	if err != nil {
		return nil, err
	}
	b := make([]byte, min(size, 2*maxStateBytes))
	if _, err := f.ReadAt(b, 0); err != nil && err != io.EOF {
		return nil, err
	}
	return b, nil
}

// writeStateFile replaces the file by a new one and keeps the old as its predecessor: the log holds what is above it.
func writeStateFile(files Files, name string, upTo Index, data map[string][]byte) error {
	tmp := name + ".tmp"
	f, err := files.Open(tmp, os.O_RDWR|os.O_CREATE|os.O_TRUNC)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(encodeState(upTo, data), 0)
	if err == nil {
		err = f.Datasync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		files.Remove(tmp) // it is written over by the next checkpoint
		return err
	}
	prev := name + prevSuffix
	if err := files.Remove(prev); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := files.Link(name, prev); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := files.Rename(tmp, name); err != nil {
		return err
	}
	return files.SyncDir(filepath.Dir(name))
}
