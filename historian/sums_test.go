package historian

import (
	"encoding/binary"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"edge/historian/journal"

	bolt "go.etcd.io/bbolt"
)

// place is where a key, or a value without a checksum of its own, lies in a file.
type place struct {
	bucket  string
	what    string
	at, len int
}

// placesIn lists them, of every bucket, and the sums.
func placesIn(t *testing.T, path string) (out []place, data []byte) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	page := func(id uint64) []byte {
		at := id * pageBytes
		return data[at : at+pageBytes*(1+uint64(binary.LittleEndian.Uint32(data[at+12:])))]
	}
	offset := func(b []byte) int { return cap(data) - cap(b) }
	var rows func(name string, buf []byte)
	rows = func(name string, buf []byte) {
		list, whole := elementsOf(buf)
		if !whole {
			t.Fatalf("a page of bucket %s is not whole", name)
		}
		for _, e := range list {
			if binary.LittleEndian.Uint16(buf[8:]) == pageBranch {
				out = append(out, place{name, "branch", offset(e.key), len(e.key)})
				rows(name, page(e.child))
				continue
			}
			out = append(out, place{name, "key", offset(e.key), len(e.key)})
			if !hasOwnSum([]byte(name)) && len(e.value) > 0 {
				out = append(out, place{name, "value", offset(e.value), len(e.value)})
			}
		}
	}
	list, _ := elementsOf(page(readMetas(strings.NewReader(string(data)))[0].root))
	for _, e := range list {
		out = append(out, place{string(e.key), "name", offset(e.key), len(e.key)}, place{string(e.key), "sum", offset(e.value) + 8, 8})
		if root := binary.LittleEndian.Uint64(e.value); root != 0 {
			rows(string(e.key), page(root))
		} else {
			rows(string(e.key), e.value[16:])
		}
	}
	return out, data
}

// TestFlippedBits flips bits in what no checksum of a block covers, in a file that is opened to be read: keys, events, series, flushes, the
// sums themselves. Each is found when the bucket is first asked.
func TestFlippedBits(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	r := newRig(t, Options{})
	mutationFill(r)
	path := filepath.Join(t.TempDir(), "2026-03-10.db")
	places, whole := placesIn(t, r.dayPath(noon))
	found := make(map[string]int)
	for _, p := range places {
		data := append([]byte(nil), whole...)
		data[p.at+rng.IntN(p.len)] ^= 1 << rng.IntN(8)
		if err := os.WriteFile(path, data, 0o640); err != nil {
			t.Fatal(err)
		}
		d := &storeFile{kind: dayKind, unit: dayOf(ms(noon)), path: path}
		_, err := d.readMeta()
		if err == nil {
			err = d.view(func(tx *bolt.Tx) error {
				if p.what == "branch" && leadsRight(tx.Bucket([]byte(p.bucket))) { // it needs not be its page's first key to do so
					return &CorruptError{}
				}
				return nil
			}, dayKind.all()...)
		}
		d.close()
		if !isDamage(err) {
			t.Errorf("a bit of a %s in bucket %s: %v", p.what, p.bucket, err)
		}
		found[p.bucket+" "+p.what]++
	}
	if found["blk key"] < 20 || found["evt value"] < 3 || found["meta value"] < 3 || found["life sum"] != 1 {
		t.Errorf("bits were flipped in %v", found)
	}
}

func leadsRight(b *bolt.Bucket) bool {
	c := b.Cursor()
	for k, _ := c.First(); k != nil; k, _ = c.Next() {
		if b.Get(k) == nil {
			return false
		}
	}
	return true
}

// A block that is hidden by a bit of its key is a gap at once, and there again when the day was mended: in the file nothing is lost.
func TestBlockUnderAWrongKey(t *testing.T) {
	r := newRig(t, Options{})
	truth := mutationFill(r)
	if err := os.RemoveAll(filepath.Join(r.dir, "journal")); err != nil {
		t.Fatal(err)
	}
	flipLastKey(t, filepath.Join(r.dir, "history", "part", "2026-03-08.db"))
	r.loose = true
	r.open()
	defer r.close()
	from, to := noon.Add(-72*time.Hour), noon
	r.follow()
	if got := r.read(key(0), from, to); len(got.Samples) >= len(truth) || len(got.Gaps) == 0 || got.Gaps[len(got.Gaps)-1].Cause != damageCause {
		t.Errorf("%d samples of %d, gaps %v", len(got.Samples), len(truth), got.Gaps)
	}
	r.s.mendHurt()
	if got := r.read(key(0), from, to); len(got.Samples) != len(truth) {
		t.Errorf("%d samples of %d when the day was mended, gaps %v\n%s", len(got.Samples), len(truth), got.Gaps, r.events())
	}
}

// A page that the disk did not write is one of an older transaction: whole, and not what was written.
func TestPageOfAnOlderTransaction(t *testing.T) {
	r := newRig(t, Options{})
	r.loose = true
	path := r.dayPath(noon)
	var old []byte
	for n := range 40 { // until a page's place is used again with other rows
		r.add(key(0), at(noon.Add(time.Duration(n)*10*time.Minute), float64(n)))
		r.follow()
		r.flush(flushAll)
		if n == 20 {
			old, _ = os.ReadFile(path)
		}
	}
	r.add(key(0), at(noon.Add(48*time.Hour), 1)) // the newest day
	r.clock.Set(noon.Add(49 * time.Hour))
	r.follow()
	r.flush(flushAll)
	r.close()
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	truth := make(map[journal.Millis]bool)
	r.open()
	for _, v := range r.read(key(0), noon, noon.Add(12*time.Hour)).Samples {
		truth[v.At] = true
	}
	r.close()
	stale := 0
	for page := 2; page < len(old)/pageBytes; page++ {
		data := append([]byte(nil), whole...)
		copy(data[page*pageBytes:][:pageBytes], old[page*pageBytes:])
		if string(data) == string(whole) {
			continue
		}
		stale++
		if err := os.WriteFile(path, data, 0o640); err != nil {
			t.Fatal(err)
		}
		r.open()
		got := r.read(key(0), noon, noon.Add(12*time.Hour))
		for at := range truth {
			told := false
			for _, g := range got.Gaps {
				told = told || g.From <= at && at < g.To
			}
			for _, v := range got.Samples {
				told = told || v.At == at
			}
			if !told {
				t.Errorf("page %d: the sample at %s is missing without a gap", page, stampText(at))
				break
			}
		}
		r.crash()
	}
	if stale == 0 {
		t.Fatal("no page was used again")
	}
}

// A bucket that is added up in steps is read while it is written: what was committed between two of them, though nobody was told of it
// yet, is no damage.
func TestAddingUpWhileItIsWritten(t *testing.T) {
	r := newRig(t, Options{})
	threeDays(r, 0)
	d := r.s.days.get(dayOf(ms(noon)))
	commit := func(rows ...int) {
		t.Helper()
		if err := d.writes(); err != nil {
			t.Fatal(err)
		}
		err := d.db.Update(func(tx *bolt.Tx) error {
			for _, n := range rows {
				if err := put(tx.Bucket(bucketLife), bucketLife, big4(uint32(n)), []byte("life")); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	rows := make([]int, 3*sumAtOnce)
	for i := range rows {
		rows[i] = i + 1
	}
	commit(rows...)
	var a summing
	steps := 0
	for done := false; !done; steps++ {
		var err error
		if done, err = d.addSome(&a, bucketLife); err != nil {
			t.Fatalf("step %d: %v", steps, err)
		}
		if steps == 1 {
			commit(0)
		}
	}
	if steps < 4 {
		t.Errorf("it was added up in %d steps", steps)
	}
	r.close()
}
