package historian

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	bolt "go.etcd.io/bbolt"
)

// TestReadTree breaks one rule of a tree at a time; bbolt would end the program over it, when it opens the file or at a later write.
func TestReadTree(t *testing.T) {
	type page = []byte
	at := func(b page, id uint64) page { return b[id*pageBytes:][:pageBytes] }
	child := func(b, p page, i int) page { return at(b, binary.LittleEndian.Uint64(p[pageHeader+i*16+8:])) }
	key := func(p page, i int) []byte {
		e := p[pageHeader+i*16:]
		return e[binary.LittleEndian.Uint32(e):][:binary.LittleEndian.Uint32(e[4:])]
	}
	tests := []struct {
		name   string
		damage func(b, root, inline page)
	}{
		{"whole", func(b, root, inline page) {}},
		{"first key of a branch page below its parent's", func(b, root, inline page) { key(child(b, root, 1), 0)[0] = '!' }},
		{"key in the parent below the page's first", func(b, root, inline page) { key(root, 1)[599]-- }},
		{"empty key in a branch page", func(b, root, inline page) { clear(root[pageHeader+4:][:4]) }},
		{"branch page with one child", func(b, root, inline page) { root[10] = 1 }},
		{"leaf page without elements", func(b, root, inline page) {
			for root[8] == pageBranch {
				root = child(b, root, 0)
			}
			root[10] = 0
		}},
		{"inline page with a number", func(b, root, inline page) { inline[4] = 1 }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "day")
			var root uint64
			db, err := bolt.Open(path, 0o600, boltOptions(false, 0))
			if err != nil {
				t.Fatal(err)
			}
			err = db.Update(func(tx *bolt.Tx) error {
				deep, err := tx.CreateBucket([]byte("deep"))
				if err != nil {
					return err
				}
				for i := range 90 {
					if err := deep.Put(fmt.Appendf(nil, "%0600d", i*10), make([]byte, 200)); err != nil {
						return err
					}
				}
				small, err := tx.CreateBucket([]byte("small"))
				if err != nil {
					return err
				}
				return small.Put([]byte("mark"), []byte("mark"))
			})
			err = errors.Join(err, db.View(func(tx *bolt.Tx) error { root = uint64(tx.Bucket([]byte("deep")).Root()); return nil }), db.Close())
			if err != nil {
				t.Fatal(err)
			}
			b, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			inline := bytes.LastIndex(b, []byte("markmark")) - pageHeader - 16
			tt.damage(b, at(b, root), b[inline:])
			if err := os.WriteFile(path, b, 0o600); err != nil {
				t.Fatal(err)
			}
			var corrupt *CorruptError
			if err := readTree(path); errors.As(err, &corrupt) != (tt.name != "whole") {
				t.Errorf("readTree: %v", err)
			}
		})
	}
}
