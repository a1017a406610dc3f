package history

import (
	"testing"

	"edge/historian/gen"
)

func TestMem(t *testing.T) {
	b, n := memory(t)
	t.Log(b, n)
}

func TestProf(t *testing.T) {
	replay(t, gen.G1, disk{mnt: t.TempDir()}, nil)
	replay(t, gen.G2, disk{mnt: t.TempDir()}, nil)
}
