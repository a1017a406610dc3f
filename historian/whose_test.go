package historian

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"edge/historian/journal"

	bolt "go.etcd.io/bbolt"
)

// threeDays records a sample an hour on the three days until noon, whose values begin with a number.
func threeDays(r *rig, number float64) {
	for i := range 60 {
		r.add(key(i%2), at(noon.Add(time.Duration(i-60)*time.Hour), number+float64(i)))
	}
	r.follow()
	r.flush(flushAll)
	r.rollAll()
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	data, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	_ = os.Remove(to)
	if err := os.WriteFile(to, data, 0o640); err != nil {
		t.Fatal(err)
	}
}

// withoutWhose takes from a file what it says of itself, as if it was written before files did.
func withoutWhose(t *testing.T, path string) {
	t.Helper()
	db, err := bolt.Open(path, 0o640, boltOptions(false, 0))
	if err != nil {
		t.Fatal(err)
	}
	err = db.Update(func(tx *bolt.Tx) error { return remove(tx.Bucket(bucketMeta), bucketMeta, metaWhose) })
	if err != nil || db.Close() != nil {
		t.Fatal(err)
	}
}

// Files that were copied by hand to where they do not belong are set aside whole, and are gaps; what was put back is there again.
func TestStrayFiles(t *testing.T) {
	home, other := newRig(t, Options{}), newRig(t, Options{})
	threeDays(home, 1000)
	other.add(key(7), at(noon, 1)) // its numbers of series are others
	other.follow()
	threeDays(other, 5000)
	if _, err := backupOf(t, home); err != nil {
		t.Fatal(err)
	}
	home.close()
	other.close()
	const first, second = "part/2026-03-08.db", "part/2026-03-09.db"
	day := func(text string) journal.Millis {
		at, err := time.Parse(dayLayout, text)
		if err != nil {
			t.Fatal(err)
		}
		return ms(at)
	}
	for _, c := range []struct {
		name  string
		do    func(t *testing.T, history string)
		event string         // "": nothing is to be told
		gap   journal.Millis // the day
		stray int            // files in the quarantine
	}{
		{"a day over another", func(t *testing.T, h string) { copyFile(t, filepath.Join(h, first), filepath.Join(h, second)) },
			"it is of 2026-03-08, not of 2026-03-09", day("2026-03-09"), 1},
		{"a day under a new name", func(t *testing.T, h string) {
			copyFile(t, filepath.Join(h, first), filepath.Join(h, "part/2026-03-01.db"))
		}, "it is of 2026-03-08, not of 2026-03-01", day("2026-03-01"), 1},
		{"a day of an older program over another", func(t *testing.T, h string) {
			copyFile(t, filepath.Join(h, first), filepath.Join(h, second))
			withoutWhose(t, filepath.Join(h, second))
		}, "it is of 2026-03-08, not of 2026-03-09", day("2026-03-09"), 1},
		{"a day over another, and damaged", func(t *testing.T, h string) {
			copyFile(t, filepath.Join(h, first), filepath.Join(h, second))
			zeroNewestMeta(t, filepath.Join(h, second))
		}, "it is of 2026-03-08, not of 2026-03-09", day("2026-03-09"), 1},
		{"a month under another's name", func(t *testing.T, h string) {
			copyFile(t, filepath.Join(h, "trend/2026-03.db"), filepath.Join(h, "trend/2026-02.db"))
		}, "it is of 2026-03, not of 2026-02", day("2026-02-10"), 1},
		{"a day as a month", func(t *testing.T, h string) {
			copyFile(t, filepath.Join(h, first), filepath.Join(h, "trend/2026-02.db"))
		}, "it is of 2026-03-08, not of 2026-02", day("2026-02-10"), 1},
		{"a day of another appliance", func(t *testing.T, h string) {
			copyFile(t, filepath.Join(other.dir, "history", second), filepath.Join(h, second))
		}, "it is of another appliance's store", day("2026-03-09"), 1},
		{"a month of another appliance", func(t *testing.T, h string) {
			copyFile(t, filepath.Join(other.dir, "history/trend/2026-03.db"), filepath.Join(h, "trend/2026-03.db"))
		}, "it is of another appliance's store", 0, 1},
		{"the catalog of another appliance", func(t *testing.T, h string) {
			copyFile(t, filepath.Join(other.dir, "history/catalog.db"), filepath.Join(h, "catalog.db"))
		}, "it is of another appliance's store", 0, 1},
		{"a day of its own backup", func(t *testing.T, h string) {
			copyFile(t, filepath.Join(home.dir, "backup", second), filepath.Join(h, second))
		}, "", 0, 0},
		{"all of its own backup", func(t *testing.T, h string) {
			if err := os.RemoveAll(h); err != nil {
				t.Fatal(err)
			}
			if err := os.CopyFS(h, os.DirFS(filepath.Join(home.dir, "backup"))); err != nil {
				t.Fatal(err)
			}
		}, "", 0, 0},
		{"all files of an older program", func(t *testing.T, h string) {
			list, _ := filepath.Glob(filepath.Join(h, "*", "*.db"))
			for _, path := range append(list, filepath.Join(h, "catalog.db")) {
				withoutWhose(t, path)
			}
		}, "", 0, 0},
		{"nothing but a new folder", func(*testing.T, string) {}, "", 0, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			for _, folder := range []string{"history", "journal"} {
				if err := os.CopyFS(filepath.Join(dir, folder), os.DirFS(filepath.Join(home.dir, folder))); err != nil {
					t.Fatal(err)
				}
			}
			c.do(t, filepath.Join(dir, "history"))
			r := newRigAt(t, dir, Options{}, noon.Add(time.Hour))
			r.follow()
			for _, when := range []string{"", "when it was opened again"} {
				if when != "" {
					r.close()
					r.open()
				}
				e := r.events()
				if c.event == "" && (strings.Contains(e, "moved to") || strings.Contains(e, "gap")) || strings.Count(e, c.event) != 1 && c.event != "" {
					t.Errorf("%s: events\n%s", when, e)
				}
				seen := 0
				for n := range 2 {
					got := r.read(key(n), noon.Add(-60*24*time.Hour), noon)
					for _, f := range values(got.Samples) {
						if seen++; f < 1000 || f >= 1060 {
							t.Errorf("%s: the sample %v is not this store's", when, f)
						}
					}
					told := false
					for _, g := range got.Gaps {
						told = told || g.From <= c.gap && c.gap < g.To
					}
					if c.gap != 0 && !told {
						t.Errorf("%s: no gap on %s: %v", when, stampText(c.gap), got.Gaps)
					}
				}
				if missing := 60 - seen; missing != 0 && c.gap != day("2026-03-09") || missing > 24 {
					t.Errorf("%s: %d samples are missing", when, missing)
				}
			}
			if list, _ := filepath.Glob(filepath.Join(dir, "history", "quarantine", "*.stray")); len(list) != c.stray {
				t.Errorf("in the quarantine: %v", list)
			}
			r.close()
		})
	}
}

// backupOf makes a backup of a rig's store.
func backupOf(t *testing.T, r *rig) (Manifest, error) {
	t.Helper()
	stop := r.running(t)
	defer stop()
	return r.s.Backup(t.Context(), filepath.Join(r.dir, "backup"))
}

// However many strays an operator copied there, none is removed to make a place for another.
func TestManyStrays(t *testing.T) {
	r := newRig(t, Options{})
	threeDays(r, 0)
	path := r.dayPath(noon)
	r.close()
	for i := range maxWrecks + 4 {
		copyFile(t, path, filepath.Join(filepath.Dir(path), noon.AddDate(0, 0, -10-i).Format(dayLayout)+".db"))
	}
	r.open()
	if list, _ := filepath.Glob(filepath.Join(r.s.o.Quarantine, "*.stray")); len(list) != maxWrecks+4 {
		t.Errorf("%d strays in the quarantine", len(list))
	}
	r.close()
}

// One bit of what a file says of itself is damage, which is mended: the day is not set aside for it.
func TestBitOfWhose(t *testing.T) {
	r := newRig(t, Options{})
	r.loose = true
	threeDays(r, 0)
	path := r.dayPath(noon.Add(-24 * time.Hour))
	r.close()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	flipped := 0
	for at := 0; ; at += len("2026-03-09") {
		n := strings.Index(string(data[at:]), "2026-03-09")
		if n < 0 {
			break
		}
		at += n
		data[at+9] ^= 1 // the eighth
		flipped++
	}
	if flipped == 0 {
		t.Fatal("the file does not say its day")
	}
	if err := os.WriteFile(path, data, 0o640); err != nil {
		t.Fatal(err)
	}
	r.open()
	if got := r.read(key(0), noon.Add(-72*time.Hour), noon).Samples; len(got) != 30 {
		t.Errorf("%d samples, want 30\n%s", len(got), r.events())
	}
	r.close()
}
