package powercut

import (
	"bytes"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"pgregory.net/rapid"
)

// Against a list of versions of each sector: after a cut a sector has its last flushed version or one that was written since, and the
// machine sees the newest while there is power.
func TestCacheAgainstVersions(t *testing.T) {
	const sectors = 32
	rapid.Check(t, func(rt *rapid.T) {
		var files [2]*os.File
		for i := range files {
			f, err := os.Create(filepath.Join(t.TempDir(), "f"))
			if err != nil {
				rt.Fatal(err)
			}
			defer f.Close()
			if err := f.Truncate(sectors * sector); err != nil {
				rt.Fatal(err)
			}
			files[i] = f
		}
		c := newCache(files[0], files[1], rand.New(rand.NewPCG(rapid.Uint64().Draw(rt, "seed"), 1)))
		var versions [sectors][]byte // the flushed one first
		for i := range versions {
			versions[i] = []byte{0}
		}
		read := func(i int) byte {
			got := make([]byte, sector)
			if _, err := c.read(got, int64(i)*sector); err != nil {
				rt.Fatal(err)
			}
			if !bytes.Equal(got, bytes.Repeat(got[:1], sector)) {
				rt.Fatalf("sector %d is torn", i)
			}
			return got[0]
		}
		next := byte(0)
		rt.Repeat(map[string]func(*rapid.T){
			"write": func(rt *rapid.T) {
				next++
				at := rapid.IntRange(0, sectors-1).Draw(rt, "at")
				n := rapid.IntRange(1, sectors-at).Draw(rt, "sectors")
				if err := c.write(bytes.Repeat([]byte{next}, n*sector), int64(at)*sector); err != nil {
					rt.Fatal(err)
				}
				for i := at; i < at+n; i++ {
					versions[i] = append(versions[i], next)
				}
			},
			"flush": func(rt *rapid.T) {
				if err := c.flush(); err != nil {
					rt.Fatal(err)
				}
				for i, v := range versions {
					versions[i] = v[len(v)-1:]
				}
			},
			"cut": func(rt *rapid.T) {
				if err := c.cut(); err != nil {
					rt.Fatal(err)
				}
				if err := c.write(bytes.Repeat([]byte{255}, sectors*sector), 0); err != errOff {
					rt.Fatal(err)
				}
				if err := c.flush(); err != errOff {
					rt.Fatal(err)
				}
				if err := c.on(); err != nil {
					rt.Fatal(err)
				}
				for i, v := range versions {
					if got := read(i); bytes.IndexByte(v, got) < 0 {
						rt.Fatalf("sector %d is of version %d, not of %v", i, got, v)
					} else {
						versions[i] = []byte{got}
					}
				}
			},
			"": func(rt *rapid.T) {
				for i, v := range versions {
					if got := read(i); got != v[len(v)-1] {
						rt.Fatalf("sector %d is of version %d, the newest is %d", i, got, v[len(v)-1])
					}
				}
			},
		})
	})
}
