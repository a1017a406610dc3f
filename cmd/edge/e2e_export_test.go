package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"edge/sparkplug/simulate"

	"github.com/parquet-go/parquet-go"
)

// exported runs `edge export` and returns the file's bytes, and what it says of them.
func exported(t *testing.T, format string, args ...string) (file []byte, said string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "out."+format)
	var stdout, stderr bytes.Buffer
	code := run(t.Context(), append([]string{"export", "--out", path}, args...), streams{strings.NewReader(""), &stdout, &stderr})
	if code != exitOK || stdout.Len() > 0 {
		t.Fatalf("edge export %v: exit %d, %s%s", args, code, &stdout, &stderr)
	}
	file, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path + ".part"); err == nil {
		t.Error("what was written before it was whole is still there")
	}
	return file, stderr.String()
}

// An export gives the same from a running appliance, from an image of its disk taken while it runs, where the last minutes are
// only in the journal, and from its folder once it is stopped.
func TestExportIsTheSameFromEverywhere(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	app := startApp(t, dir, appOptions{})
	start := time.Now().Add(-time.Second)
	_, stop := startFleet(t, app.MQTTAddr(), simulate.Generic("Export", 2, 1, 20), 20*time.Millisecond)
	eventually(t, patience, "2,000 samples are stored", func() bool { return app.pipeline.history.Stats().SamplesTotal > 2000 })
	stop()
	eventually(t, patience, "both deaths are stored", func() bool {
		csv, _ := exported(t, "csv", "--url", app.URL(), "--metric", "*")
		dead := map[bool]bool{}
		for line := range strings.Lines(string(csv)) {
			dead[strings.Contains(line, ",node1,")] = dead[strings.Contains(line, ",node1,")] || strings.Contains(line, "node death")
		}
		return dead[true] && dead[false]
	})
	end := time.Now()
	span := []string{"--from", start.UTC().Format(time.RFC3339Nano), "--to", end.UTC().Format(time.RFC3339Nano), "--metric", "*"}

	image := t.TempDir()
	if err := os.CopyFS(image, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	for _, format := range []string{"csv", "parquet"} {
		want, said := exported(t, format, append(span, "--url", app.URL())...)
		if format == "parquet" {
			f, err := parquet.OpenFile(bytes.NewReader(want), int64(len(want)))
			if err != nil || f.NumRows() < 2000 {
				t.Fatalf("the file has %v rows: %v", f, err)
			}
		}
		if got, also := exported(t, format, append(span, "--data", image)...); !bytes.Equal(got, want) || also != said {
			t.Errorf("%s of the image: %d bytes, %s; want %d, %s", format, len(got), also, len(want), said)
		}
	}
	var refused bytes.Buffer
	if code := run(t.Context(), append([]string{"export", "--data", dir}, span...), streams{nil, &refused, &refused}); code != exitFailed ||
		!strings.Contains(refused.String(), fmt.Sprintf("an appliance runs on %s, process %d", dir, os.Getpid())) {
		t.Errorf("of the folder of a running appliance: exit %d, %s", code, &refused)
	}
	want, _ := exported(t, "csv", append(span, "--url", app.URL())...)
	if err := app.stop(); err != nil {
		t.Fatal(err)
	}
	if got, _ := exported(t, "csv", append(span, "--data", dir)...); !bytes.Equal(got, want) {
		t.Errorf("of the folder, stopped: %d bytes, want %d", len(got), len(want))
	}
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	if code := run(canceled, []string{"export", "--data", dir, "--metric", "*"}, streams{nil, &refused, &refused}); code != exitFailed {
		t.Errorf("interrupted: exit %d", code)
	}
}
