package store

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"os"
	"path/filepath"
	"testing"

	bolt "go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
	"pgregory.net/rapid"
)

// TestVerifyPassesWhatBboltWrites keeps verify from being stricter than bbolt: every file that bbolt leaves behind a commit
// passes, whatever was put into it and deleted from it.
func TestVerifyPassesWhatBboltWrites(t *testing.T) {
	base := t.TempDir()
	s := &Store{o: Options{noSync: true}}
	rapid.Check(t, func(rt *rapid.T) {
		path := filepath.Join(base, "any.db")
		_ = os.Remove(path)
		db, err := bolt.Open(path, 0o600, s.boltOptions())
		if err != nil {
			rt.Fatal(err)
		}
		defer db.Close()
		keys := rapid.SampledFrom([]int{20, 300, 3000}).Draw(rt, "keys")
		sizes := rapid.SampledFrom([]int{4, 100, 1000, 6000}).Draw(rt, "sizes")
		wide := rapid.SampledFrom([]int{1, 1, 200, 900}).Draw(rt, "width of a key")
		for range rapid.IntRange(1, 12).Draw(rt, "transactions") {
			err := db.Update(func(tx *bolt.Tx) error {
				for _, name := range []string{"a", "b", "c"} {
					b, err := tx.CreateBucketIfNotExists([]byte(name))
					if err != nil {
						return err
					}
					from, n := rapid.IntRange(0, keys-1).Draw(rt, "from"), rapid.IntRange(0, keys/2).Draw(rt, "n")
					step, puts := rapid.IntRange(1, 7).Draw(rt, "step"), rapid.Bool().Draw(rt, "put")
					for i := from; i < from+n*step; i += step {
						key := fmt.Appendf(nil, "%0*d", wide, i%keys)
						if puts {
							err = b.Put(key, make([]byte, i*7919%sizes))
						} else {
							err = b.Delete(key)
						}
						if err != nil {
							return err
						}
					}
				}
				return nil
			})
			if err != nil {
				rt.Fatal(err)
			}
			if err := verifyNewest(path); err != nil {
				rt.Fatal(err)
			}
		}
	})
}

// verifyNewest is verify without the transaction before.
func verifyNewest(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	metas := readMetas(f)
	if err := verifyMetas(f, metas); err != nil {
		return err
	}
	st, err := f.Stat()
	if err != nil {
		return err
	}
	return verifyTree(f, metas[0], st.Size())
}

// deep is a file with a tree of three levels in bucket "deep" and a bucket "inline" that is so.
func deep(t testing.TB, path string) []byte {
	t.Helper()
	db, err := bolt.Open(path, 0o600, (&Store{o: Options{noSync: true}}).boltOptions())
	if err != nil {
		t.Fatal(err)
	}
	err = db.Update(func(tx *bolt.Tx) error {
		small, err := tx.CreateBucket([]byte("inline"))
		if err != nil {
			return err
		}
		b, err := tx.CreateBucket([]byte("deep"))
		if err != nil {
			return err
		}
		for i := range 90 {
			if err := b.Put(deepKey(i), make([]byte, 200)); err != nil {
				return err
			}
		}
		return small.Put([]byte("k"), []byte("v"))
	})
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := verifyNewest(path); err != nil {
		t.Fatal(err)
	}
	return b
}

func deepKey(i int) []byte { return fmt.Appendf(nil, "%0600d", i*10) }

// image is a bbolt file in memory.
type image []byte

func (f image) page(id uint64) image { return f[id*pageBytes:] }
func (f image) count() int           { return int(binary.LittleEndian.Uint16(f[10:])) }

// newest is the meta page that counts, without the page's header.
func (f image) newest() image {
	a, b := f[pageHeader:], f[pageBytes+pageHeader:]
	if binary.LittleEndian.Uint64(b[48:]) > binary.LittleEndian.Uint64(a[48:]) {
		return b
	}
	return a
}

// seal makes a meta page valid again.
func (f image) seal() {
	sum := fnv.New64a()
	sum.Write(f[:56])
	binary.LittleEndian.PutUint64(f[56:], sum.Sum64())
}

// deep is the root page of bucket "deep", and inline the value of bucket "inline".
func (f image) bucket(name string) image {
	root := f.page(binary.LittleEndian.Uint64(f.newest()[16:]))
	for i := range root.count() {
		if key, value, err := elementAt(root[:pageBytes], i, leafPage); err == nil && string(key) == name {
			return image(root[bytes.Index(root, value):])
		}
	}
	return nil
}

func (f image) deep() image { return f.page(binary.LittleEndian.Uint64(f.bucket("deep"))) }

// child is page i below a branch page p.
func (f image) child(p image, i int) image {
	return f.page(binary.LittleEndian.Uint64(p[pageHeader+i*elementBytes+8:]))
}

// leaf is the first leaf page of the deep tree.
func (f image) leaf() image {
	p := f.deep()
	for p[8] == branchPage {
		p = f.child(p, 0)
	}
	return p
}

// key is key i of a branch page, in place.
func (f image) key(i int) []byte {
	key, _, _ := elementAt(f[:pageBytes], i, branchPage)
	return key
}

// TestVerifyRefusesWhatBboltPanicsAt breaks one rule of the tree at a time. On most of these files bbolt ends the program, when it
// opens them or at the next write.
func TestVerifyRefusesWhatBboltPanicsAt(t *testing.T) {
	tests := []struct {
		name   string
		damage func(f image)
	}{
		{"first key of a branch page below its parent's", func(f image) { f.child(f.deep(), 1).key(0)[0] = '!' }},
		{"key in the parent below the page's first", func(f image) { f.deep().key(1)[599]-- }},
		{"key in the parent above the page's first", func(f image) { f.deep().key(1)[599]++ }},
		{"empty key in a branch page", func(f image) { clear(f.deep()[pageHeader+4:][:4]) }},
		{"branch page with one child", func(f image) { f.deep()[10] = 1 }},
		{"leaf page without elements", func(f image) { f.leaf()[10] = 0 }},
		{"page used twice", func(f image) { copy(f.deep()[pageHeader+8:][:8], f.deep()[pageHeader+elementBytes+8:]) }},
		{"page beyond the end", func(f image) { f.deep()[pageHeader+8+6] = 1 }},
		{"inline page with a number", func(f image) { f.bucket("inline")[bucketHeader+4] = 1 }},
		{"inline page that is a branch", func(f image) { f.bucket("inline")[bucketHeader+8] = branchPage }},
		{"list of free pages", func(f image) { m := f.newest(); clear(m[32:40]); m[32] = 3; m.seal() }},
		{"pages of another size", func(f image) { m := f.newest(); m[9] = 8; m.seal() }},
		{"pages of another size in the older meta page", func(f image) {
			f.newest()[48]++
			f.newest().seal()
			for _, m := range []image{f[pageHeader:], f[pageBytes+pageHeader:]} {
				if m[48] != f.newest()[48] {
					m[9] = 8
					m.seal()
				}
			}
		}},
		{"meta page where one of smaller pages would be", func(f image) {
			copy(f[1024+pageHeader:], f.newest()[:64])
			clear(f[:pageHeader+64])
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "any.db")
			b := deep(t, path)
			tt.damage(b)
			if err := os.WriteFile(path, b, 0o600); err != nil {
				t.Fatal(err)
			}
			err := verifyNewest(path)
			t.Log(err)
			if err == nil {
				t.Error("passed")
			}
		})
	}
}

// TestWhatVerifyPassesBboltTakes damages a deep file at random. What verify passes, bbolt opens, reads, writes and closes.
func TestWhatVerifyPassesBboltTakes(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "any.db")
	pristine := deep(t, path)
	rapid.Check(t, func(rt *rapid.T) {
		if err := os.WriteFile(path, mutateTree(rt, mutate(rt, bytes.Clone(pristine))), 0o600); err != nil {
			rt.Fatal(err)
		}
		if verify(path) != nil {
			return
		}
		db, err := bolt.Open(path, 0o600, (&Store{o: Options{noSync: true}}).boltOptions())
		if err != nil {
			rt.Fatal(err)
		}
		defer db.Close()
		for range 3 {
			err := db.Update(func(tx *bolt.Tx) error {
				b, err := tx.CreateBucketIfNotExists([]byte("deep"))
				if err != nil {
					return nil // another bucket took its name
				}
				c := b.Cursor()
				for k, v := c.First(); k != nil; k, v = c.Next() {
					_ = append(bytes.Clone(k), v...)
				}
				for _, i := range rapid.SliceOfN(rapid.IntRange(0, 900), 1, 40).Draw(rt, "keys") {
					key := fmt.Appendf(nil, "%0600d", i)
					if err := errors.Join(b.Delete(key), b.Delete(deepKey(i%90))); err != nil {
						return err
					}
					if i%3 == 0 {
						if err := b.Put(key, make([]byte, i)); err != nil {
							return err
						}
					}
				}
				return nil
			})
			if err != nil && !errors.Is(err, bolterrors.ErrIncompatibleValue) {
				rt.Fatal(err)
			}
		}
	})
}

// mutateTree damages what mutate seldom meets: the elements of pages and their first keys.
func mutateTree(rt *rapid.T, b []byte) []byte {
	for range rapid.IntRange(0, 3).Draw(rt, "elements") {
		page := image(b).page(uint64(rapid.IntRange(0, len(b)/pageBytes-1).Draw(rt, "page")))
		at := rapid.IntRange(0, 16*elementBytes).Draw(rt, "at")
		if rapid.Bool().Draw(rt, "key") && page.count() > 0 && page.count() < 100 {
			flags := binary.LittleEndian.Uint16(page[8:])
			if key, _, err := elementAt(page[:pageBytes], rapid.IntRange(0, page.count()-1).Draw(rt, "element"), flags); err == nil {
				key[max(len(key)-1-at%4, 0)] ^= 1 << rapid.IntRange(0, 3).Draw(rt, "bit")
				continue
			}
		}
		page[at] ^= 1 << rapid.IntRange(0, 7).Draw(rt, "bit")
	}
	return b
}
