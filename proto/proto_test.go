package proto

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// TestGeneratedCodeIsCurrent regenerates the code and compares it with what is committed.
func TestGeneratedCodeIsCurrent(t *testing.T) {
	for _, program := range []string{"protoc", "go", "sh"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skipf("%s is not on PATH: apt-get install protobuf-compiler golang", program)
		}
	}
	dir := t.TempDir()
	if out, err := exec.Command("sh", "generate.sh", dir).CombinedOutput(); err != nil {
		t.Fatalf("generate.sh: %v\n%s", err, out)
	}
	const file = "sparkplug_b.pb.go"
	got, err := os.ReadFile(filepath.Join(dir, file))
	if err != nil {
		t.Fatal(err)
	}
	want, err := os.ReadFile(filepath.Join("sparkplugpb", file))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Error("sparkplugpb is not what sparkplug_b.proto generates; run: go generate ./proto")
	}
}
