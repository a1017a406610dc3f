package historian

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math"
	"slices"

	bolt "go.etcd.io/bbolt"
)

// bbolt has no checksum of its pages: a bit of a key that flips, or a page that a disk did not write, hides rows or shows old ones. So each
// bucket has the sum of its rows, in its sequence number, which bbolt commits with them. What is added and taken as rows come and
// go is the same in whatever order they do.
//
//	put, remove ─► sequence += of the row that is there now, -= of the one that was
//	the first that reads a bucket since the start, whoever opens a file to write, the scrub ─► sequence == sum of all rows?

// fileVersion is the newest format of all kinds; since it there are sums.
const fileVersion = 4

// put is Bucket.Put of the bucket of that name.
func put(b *bolt.Bucket, name, k, v []byte) error {
	sum := b.Sequence() - oldSum(b, name, k) + rowSum(name, k, v)
	if err := b.Put(k, v); err != nil {
		return err
	}
	return b.SetSequence(sum)
}

// remove is Bucket.Delete.
func remove(b *bolt.Bucket, name, k []byte) error {
	sum := b.Sequence() - oldSum(b, name, k)
	if err := b.Delete(k); err != nil {
		return err
	}
	return b.SetSequence(sum)
}

// oldSum is that of the row which has the key, 0 if there is none.
func oldSum(b *bolt.Bucket, name, k []byte) uint64 {
	if key, v := b.Cursor().Seek(k); bytes.Equal(key, k) {
		return rowSum(name, k, v)
	}
	return 0
}

// rowSum is what a row adds to its bucket's sum. Blocks and large values have checksums of their own; of them it takes the length, so
// that their pages need not be read.
func rowSum(name, k, v []byte) uint64 {
	if hasOwnSum(name) {
		v = binary.LittleEndian.AppendUint32(nil, uint32(len(v)))
	}
	x := uint64(crc32.Checksum(k, castagnoli))<<32 | uint64(crc32.Checksum(v, castagnoli))
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9 // so that sums of checksums do not cancel each other: SplitMix64's last steps
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

func hasOwnSum(name []byte) bool {
	return slices.ContainsFunc([][]byte{bucketBlock, bucketLate, bucketObject, bucketSaid, bucketMinute, bucketHour}, func(b []byte) bool { return bytes.Equal(b, name) })
}

// sumRows adds up a bucket.
func sumRows(b *bolt.Bucket, name []byte) (sum uint64) {
	c := b.Cursor()
	for k, v := c.First(); k != nil; k, v = c.Next() {
		sum += rowSum(name, k, v)
	}
	return sum
}

// hasSums says that the file's buckets have sums: that it is of the newest version.
func hasSums(tx *bolt.Tx) bool {
	meta := tx.Bucket(bucketMeta)
	if meta == nil {
		return false
	}
	version, ok := versionOf(meta)
	return ok && version == fileVersion
}

// sumAtOnce is how many rows are added up in one transaction: on a disk that needs a millisecond for a page, half a second.
const sumAtOnce = 512

// summing is a bucket that is added up in several transactions.
type summing struct {
	key      []byte // nothing before it is still to be added
	sum      uint64
	commit   int   // of the file, when it began: bbolt's number
	replaced int64 // and which file that is
	again    int   // times that it began anew
}

// add adds some rows; done says that they were the last, and right.
func (a *summing) add(path string, b *bolt.Bucket, name []byte, rows int) (done bool, err error) {
	if b == nil {
		return true, nil
	}
	c := b.Cursor()
	k, v := c.Seek(a.key)
	for ; k != nil && rows > 0; k, v = c.Next() {
		a.sum += rowSum(name, k, v)
		rows--
		if b.Get(k) == nil { // a page of branches leads elsewhere
			return false, wrongRows(path, name)
		}
	}
	if a.key = bytes.Clone(k); k != nil {
		return false, nil
	}
	if a.sum != b.Sequence() {
		return false, wrongRows(path, name)
	}
	return true, nil
}

func wrongRows(path string, name []byte) error {
	return &CorruptError{File: path, Err: fmt.Errorf("the rows of bucket %s are not what was written", name), Hint: hintQuarantine}
}

// checkSum finds a bucket that is not what was put into it, or in which a row is not found by its key.
func checkSum(path string, b *bolt.Bucket, name []byte) error {
	_, err := new(summing).add(path, b, name, math.MaxInt)
	return err
}

// checkSums checks all buckets of a file that has sums.
func checkSums(path string, tx *bolt.Tx) error {
	if !hasSums(tx) {
		return nil
	}
	return tx.ForEach(func(name []byte, b *bolt.Bucket) error { return checkSum(path, b, name) })
}

// setSums makes the sums of a file that has none.
func setSums(tx *bolt.Tx) error {
	return tx.ForEach(func(name []byte, b *bolt.Bucket) error { return b.SetSequence(sumRows(b, name)) })
}

// mostAgain is how often a bucket that is written meanwhile is begun anew.
const mostAgain = 16

// addSome adds up the next rows of a bucket in a transaction of its own. One that was written meanwhile begins anew; in the end all of it
// is added up at once.
func (d *storeFile) addSome(a *summing, name []byte) (done bool, err error) {
	there := false
	err = d.view(func(tx *bolt.Tx) error {
		there = true
		rows := sumAtOnce
		if commit, replaced := tx.ID(), d.replaced.Load(); a.again == 0 || commit != a.commit || replaced != a.replaced { // as this transaction sees it
			*a = summing{commit: commit, replaced: replaced, again: a.again + 1}
			if a.again > mostAgain {
				rows = math.MaxInt
			}
		}
		if !hasSums(tx) {
			done = true
			return nil
		}
		done, err = a.add(d.path, tx.Bucket(name), name, rows)
		return err
	})
	return done || !there, err
}

// addUp adds up those of the named buckets that nobody has checked since the start, before they are read: nobody waits for it longer than
// for one step.
func (d *storeFile) addUp(names [][]byte) error {
	for _, name := range names {
		var a summing
		for done := false; !done && d.checked.Load()&d.kind.bit(name) == 0; {
			var err error
			if done, err = d.addSome(&a, name); err != nil {
				return err
			}
		}
		d.checked.Or(d.kind.bit(name))
	}
	return nil
}

// sound checks those of the named buckets that nobody has checked since the start.
func (d *storeFile) sound(tx *bolt.Tx, names [][]byte) error {
	for _, name := range names {
		bit := d.kind.bit(name)
		if d.checked.Load()&bit != 0 {
			continue
		}
		if hasSums(tx) {
			if err := checkSum(d.path, tx.Bucket(name), name); err != nil {
				return err
			}
		}
		d.checked.Or(bit)
	}
	return nil
}

// bit is the bucket's in storeFile.checked.
func (k *fileKind) bit(name []byte) uint32 {
	i := slices.IndexFunc(k.all(), func(b []byte) bool { return bytes.Equal(b, name) })
	if i < 0 {
		panic(fmt.Sprintf("BUG: no file of this kind has a bucket %s", name))
	}
	return 1 << i
}

// all are the buckets that a file of the newest version may have.
func (k *fileKind) all() [][]byte { return slices.Concat(k.buckets, k.added, k.optional) }
