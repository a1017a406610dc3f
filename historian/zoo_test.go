package historian

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// What stands in a file's place without being one is moved aside, or leaves the others alone; the store starts and serves the other days.
func TestWhatIsNoFileOfTheStore(t *testing.T) {
	for _, c := range []struct {
		name string
		do   func(part string) error
		tell string
	}{
		{"a folder with a day's name", func(part string) error {
			path := filepath.Join(part, "2026-03-08.db")
			if err := os.Remove(path); err != nil {
				return err
			}
			return os.MkdirAll(filepath.Join(path, "something"), 0o700)
		}, "moved to"},
		{"a copy of a day under no day's name", func(part string) error {
			b, err := os.ReadFile(filepath.Join(part, "2026-03-08.db"))
			if err != nil {
				return err
			}
			return os.WriteFile(filepath.Join(part, "2026-03-08 (copy).db"), b, 0o640)
		}, ""},
		{"a broken link", func(part string) error {
			path := filepath.Join(part, "2026-03-08.db")
			if err := os.Remove(path); err != nil {
				return err
			}
			return os.Symlink(filepath.Join(part, "nowhere"), path)
		}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, Options{})
			r.loose = true
			r.add(key(0), at(noon.Add(-48*time.Hour), 1), at(noon, 2))
			r.follow()
			r.flush(flushAll)
			r.close()
			if err := c.do(filepath.Join(r.dir, "history", "part")); err != nil {
				t.Fatal(err)
			}
			r.open()
			defer r.close()
			if got := r.read(key(0), noon, noon.Add(time.Hour)).Samples; len(got) != 1 {
				t.Errorf("%d samples of the other day", len(got))
			}
			if e := r.events(); !strings.Contains(e, c.tell) {
				t.Errorf("events:\n%s", e)
			}
			r.add(key(0), at(noon.Add(-48*time.Hour+time.Second), 3))
			r.follow()
			if err := r.s.flush(flushAll); err != nil {
				t.Errorf("flush: %v", err)
			}
		})
	}
}
