// Command gen writes proto/sparkplugpb from proto/sparkplug_b.proto. go generate runs it in proto/.
package main

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

func main() {
	out := flag.String("out", "sparkplugpb", "folder for the generated code")
	flag.Parse()
	if err := generate(*out); err != nil {
		fmt.Fprintln(os.Stderr, "proto/gen:", err)
		os.Exit(1)
	}
}

// generate runs protoc with the Go plugin that go.mod pins, in the working directory proto/.
func generate(out string) error {
	plugin, err := exec.Command("go", "tool", "-n", "protoc-gen-go").Output()
	if err != nil {
		return fmt.Errorf("find protoc-gen-go: %w", err)
	}
	if err := os.MkdirAll(out, 0o755); err != nil {
		return err
	}
	cmd := exec.Command("protoc", "--plugin=protoc-gen-go="+string(bytes.TrimSpace(plugin)),
		"--go_out="+out, "--go_opt=paths=source_relative", "sparkplug_b.proto")
	cmd.Stderr = os.Stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("run protoc (apt-get install protobuf-compiler): %w", err)
	}
	return dropVersion(filepath.Join(out, "sparkplug_b.pb.go"))
}

// dropVersion removes the header line that names protoc's release.
func dropVersion(file string) error {
	src, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	var kept [][]byte
	for line := range bytes.Lines(src) {
		if bytes.HasPrefix(line, []byte("// \tprotoc ")) || bytes.HasPrefix(line, []byte("// - protoc  ")) {
			continue
		}
		kept = append(kept, line)
	}
	return os.WriteFile(file, bytes.Join(kept, nil), 0o644)
}
