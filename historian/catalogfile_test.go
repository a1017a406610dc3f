package historian

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// A catalog that was lost with the log is made again of the day files, also when the power fails before it is saved for the first
// time: a number that a file has for one metric is not given to another.
func TestCatalogIsLostAndThenThePower(t *testing.T) {
	for _, damage := range []string{"removed", "cut"} {
		t.Run(damage, func(t *testing.T) {
			r := newRig(t, Options{})
			r.add(key(0), at(noon, 7))
			r.add(key(1), at(noon.Add(time.Second), 8))
			r.follow()
			r.close()
			path := filepath.Join(r.dir, "history", "catalog.db")
			err := os.Truncate(path, 0)
			if damage == "removed" {
				err = os.Remove(path)
			}
			if err = errors.Join(err, os.RemoveAll(filepath.Join(r.dir, "journal"))); err != nil {
				t.Fatal(err)
			}
			r.open()
			r.crash()
			r.open()
			defer r.close()
			r.add(key(2), at(noon.Add(2*time.Second), 9))
			r.follow()
			for n, want := range []float64{7, 8, 9} {
				if got := values(r.read(key(n), noon.Add(-time.Hour), noon.Add(time.Hour)).Samples); len(got) != 1 || got[0] != want {
					t.Errorf("metric %d is %v, want %v", n, got, want)
				}
			}
		})
	}
}
