package historian

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"

	"edge/historian/journal"

	bolt "go.etcd.io/bbolt"
)

// What a node or device said at its birth, as it came: its names, types, aliases, units and limits of that day, which samples do not tell.
// It stays as long as the birth's own event does. Each payload is in a day once; a node that is born again and again, or loudly, has
// a bound, and its samples tell of it all the same.
//
//	applyEvent ─► pack ─► head ─► putBirths ─► birth: owner, index ─► said: hash ─► payload
var (
	bucketBirth = []byte("birth") // owner, index: hash of the payload
	bucketSaid  = []byte("said")  // hash: payload, as a row of obj
	metaSaid    = []byte("said")  // in meta: uv bytes of all payloads
)

const (
	birthsKept = 32       // of one node or device in a day
	saidBytes  = 64 << 20 // of all in a day, compressed
	saidHash   = 16       // bytes of a SHA-256
)

// The answers to a question for a birth's payload that is not there.
var (
	ErrNoBirth = errors.New("historian: no birth has this index, or it is older than historian.retention.minute")
	ErrNotKept = fmt.Errorf("historian: the payload of this birth is not kept: the history takes %d of one node or device in a day, and %d MiB of all",
		birthsKept, saidBytes>>20)
)

func isBirth(k journal.EventKind) bool { return k == journal.NodeBirth || k == journal.DeviceBirth }

// pack makes the row of a payload, behind its hash: what a head keeps of it until it is in a file. nil: none, or one that is too large.
func pack(payload []byte) []byte {
	if len(payload) == 0 || len(payload) > maxObject {
		return nil
	}
	sum := sha256.Sum256(payload)
	row, err := appendObject(nil, payload)
	if err != nil {
		return nil
	}
	return append(sum[:saidHash], row...)
}

// unpack reads a payload from its row, if it is what was stored.
func unpack(hash, row []byte) ([]byte, error) {
	payload, err := readObject(row)
	if sum := sha256.Sum256(payload); err == nil && !bytes.Equal(sum[:saidHash], hash) {
		err = errors.New("not what was stored")
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %x: %w", errObject, hash, err)
	}
	return payload, nil
}

func birthKey(e *journal.Event) []byte {
	return binary.BigEndian.AppendUint64(lifePrefix(owner{e.Group, e.Node, e.Device}), uint64(e.Index))
}

// births writes the payloads of a flush's births, as many as a day has room for.
func (w *dayWriter) births(tx *bolt.Tx) error {
	for i := range w.job.events {
		e := &w.job.events[i].Event
		if len(e.Payload) <= saidHash {
			continue
		}
		if err := putBirth(tx, e, e.Payload[:saidHash], e.Payload[saidHash:], w.s.saidBytes); err != nil {
			return fmt.Errorf("payload of birth %d: %w", e.Index, err)
		}
	}
	return nil
}

func putBirth(tx *bolt.Tx, e *journal.Event, hash, row []byte, most uint64) error {
	births, err := tx.CreateBucketIfNotExists(bucketBirth)
	if err != nil {
		return err
	}
	said, err := tx.CreateBucketIfNotExists(bucketSaid)
	if err != nil {
		return err
	}
	key := birthKey(e)
	if births.Get(key) != nil || countPrefix(births, key[:len(key)-8], birthsKept) == birthsKept {
		return nil
	}
	if said.Get(hash) == nil {
		meta := tx.Bucket(bucketMeta)
		total, _ := binary.Uvarint(meta.Get(metaSaid))
		if total += uint64(len(row)); total > most {
			return nil
		}
		if err := put(meta, bucketMeta, metaSaid, binary.AppendUvarint(nil, total)); err != nil {
			return err
		}
		if err := put(said, bucketSaid, hash, row); err != nil {
			return err
		}
	}
	return put(births, bucketBirth, key, hash)
}

// countPrefix counts rows whose keys begin with prefix, up to limit.
func countPrefix(b *bolt.Bucket, prefix []byte, limit int) (n int) {
	c := b.Cursor()
	for k, _ := c.Seek(prefix); bytes.HasPrefix(k, prefix) && n < limit; k, _ = c.Next() {
		if len(k) == len(prefix)+8 {
			n++
		}
	}
	return n
}

// Birth returns the event of a birth by its index, and its payload as it came. It returns ErrNoBirth, or ErrNotKept with the event.
func (s *Store) Birth(ctx context.Context, i journal.Index) (journal.Event, []byte, error) {
	if e, ok := s.birthInMemory(i); ok {
		return openBirth(e)
	}
	for _, day := range s.eventDays() {
		if err := ctx.Err(); err != nil {
			return journal.Event{}, nil, err
		}
		if _, t := s.days.info(day); i < t.firstEvent || i > t.lastEvent {
			continue
		}
		e, ok, err := s.birthOf(day, i)
		if err != nil {
			return e, nil, err
		}
		if ok {
			return openBirth(e)
		}
	}
	return journal.Event{}, nil, ErrNoBirth
}

// openBirth takes an event whose Payload is packed.
func openBirth(e journal.Event) (journal.Event, []byte, error) {
	packed := e.Payload
	if e.Payload = nil; len(packed) <= saidHash {
		return e, nil, ErrNotKept
	}
	payload, err := unpack(packed[:saidHash], packed[saidHash:])
	return e, payload, err
}

func (s *Store) birthInMemory(i journal.Index) (journal.Event, bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	for _, h := range s.heads() {
		for k := range h.events {
			if e := &h.events[k].Event; e.Index == i && isBirth(e.Kind) {
				return *e, true
			}
		}
	}
	return journal.Event{}, false
}

// birthOf finds a birth in a day's file, its payload packed.
func (s *Store) birthOf(day int64, i journal.Index) (e journal.Event, ok bool, err error) {
	err = s.days.get(day).view(func(tx *bolt.Tx) error {
		k := big8(uint64(i))
		v := tx.Bucket(bucketEvent).Get(k)
		if v == nil {
			return nil
		}
		var bad error
		if e, bad = readEvent(k, v); bad != nil || !isBirth(e.Kind) {
			return nil
		}
		ok = true
		births, said := tx.Bucket(bucketBirth), tx.Bucket(bucketSaid)
		if births == nil || said == nil {
			return nil
		}
		if hash := births.Get(birthKey(&e)); len(hash) == saidHash {
			e.Payload = append(bytes.Clone(hash), said.Get(hash)...)
		}
		return nil
	}, bucketEvent, bucketBirth, bucketSaid)
	return e, ok, s.survive(err)
}
