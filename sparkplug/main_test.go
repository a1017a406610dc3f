package sparkplug

import (
	"flag"
	"os"
	"testing"
)

// TestMain raises the number of random walks; -rapid.checks on the command line still wins.
func TestMain(m *testing.M) {
	if err := flag.Set("rapid.checks", "300"); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}
