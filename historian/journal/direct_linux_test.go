package journal

import (
	"os"
	"testing"
)

// The kernel's own files take no O_DIRECT, like some file systems: they are opened without.
func TestOpenWhereDirectIsRefused(t *testing.T) {
	const name = "/proc/self/comm"
	if f, err := os.OpenFile(name, os.O_RDWR|Direct, 0); err == nil {
		f.Close()
		t.Fatal(name, "was opened: there is nothing to be shown with it")
	}
	f, err := OS{}.Open(name, os.O_RDWR|Direct)
	if err != nil {
		t.Fatal(err)
	}
	if _, direct := f.(*directFile); direct {
		t.Error("it counts as direct")
	}
	if err := f.Close(); err != nil {
		t.Error(err)
	}
}
