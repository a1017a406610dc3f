package historian

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"

	"edge/historian/chunk"
	"edge/historian/journal"

	bolt "go.etcd.io/bbolt"
)

// maxObject bounds what a row of obj may claim to hold, and Options.MaxValueBytes.
const maxObject = chunk.MaxUnzipped

// How an object is stored.
const (
	objectRaw  = 0
	objectZstd = 1
)

// errObject is about one value; the samples around it are not touched.
var errObject = errors.New("a large value is damaged")

// putObjects puts references in the place of large values, and the values into the file, each once.
func putObjects(bucket *bolt.Bucket, samples []journal.Sample) error {
	for i := range samples {
		if err := putLarge(bucket, &samples[i].Value); err != nil {
			return err
		}
	}
	return nil
}

func putLarge(bucket *bolt.Bucket, v *journal.Value) error {
	ref := chunk.Ref(v.Bytes)
	if ref == nil {
		return nil
	}
	if err := putObject(bucket, ref, v.Bytes); err != nil {
		return err
	}
	v.Bytes = ref
	return nil
}

func putObject(bucket *bolt.Bucket, ref, value []byte) error {
	key := ref[1:]
	if bucket.Get(key) != nil {
		return nil
	}
	row, err := appendObject(nil, value)
	if err != nil {
		return err
	}
	return put(bucket, bucketObject, key, row)
}

func appendObject(dst, value []byte) ([]byte, error) {
	row, err := chunk.Zip(binary.AppendUvarint(append(dst, objectZstd), uint64(len(value))), value)
	if err != nil || len(row) < len(dst)+len(value) {
		return row, err
	}
	return append(append(row[:len(dst)], objectRaw), value...), nil
}

// objectsOf reads large values in tx. What they hold is their reader's. lost is told of one that is not there or not what
// was stored.
func objectsOf(tx *bolt.Tx, lost func(error)) func(ref []byte) ([]byte, error) {
	return func(ref []byte) (value []byte, err error) {
		if bucket := tx.Bucket(bucketObject); bucket != nil {
			value, err = readObject(bucket.Get(ref[1:]))
		}
		if err == nil && !bytes.Equal(chunk.Ref(value), ref) { // also of one that is not there
			err = errors.New("not what was stored")
		}
		if err != nil {
			err = fmt.Errorf("%w: %x: %w", errObject, ref[1:], err)
			lost(err)
		}
		return value, err
	}
}

func readObject(row []byte) ([]byte, error) {
	if len(row) == 0 {
		return nil, errors.New("not there")
	}
	switch row[0] {
	case objectRaw:
		return bytes.Clone(row[1:]), nil
	case objectZstd:
		n, k := binary.Uvarint(row[1:])
		if k <= 0 {
			return nil, errMalformed
		}
		return chunk.Unzip(row[1+k:], n)
	}
	return nil, errMalformed
}
