package main

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"strings"
	"testing"
	"time"

	"edge/sparkplug"
)

// A file that comes in parts is recorded whole, up to historian.value_bytes; of a larger one an event tells, whether it is the history or
// the journal that has no room for it.
func TestFilesAreRecorded(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	limit := func(c *Config) { c.Historian.ValueBytes = 256 << 10 }
	app := startApp(t, dir, appOptions{}, limit)
	p := &patient{t, app, "n"}
	recipe := sparkplug.Metric{Name: "Recipe", Type: sparkplug.File, Value: sparkplug.Value{Type: sparkplug.File, Bytes: []byte("none")}, HasTimestamp: true}
	log := recipe
	log.Name = "Log"
	s := p.joins("c")
	s.nbirth(recipe, log)
	send := func(name string, file []byte) {
		md := sparkplug.Metadata{MultiPart: true, FileName: name + ".csv", HasSeq: true, Size: uint64(len(file)), HasSize: true}
		for ; len(file) > 0; md.Seq++ {
			n := min(60_000, len(file))
			s.says(sparkplug.NDATA, "", sparkplug.Metric{Name: name, HasTimestamp: true, Metadata: md.Bytes(),
				Value: sparkplug.Value{Type: sparkplug.File, Bytes: file[:n]}})
			file = file[n:]
		}
	}
	want := bytes.Repeat([]byte("0123456789abcdef"), 200_000/16)
	send("Recipe", want)
	send("Log", make([]byte, 300_000))
	kept := func(app *testApp) int {
		var answer struct{ Samples []struct{ V string } } // empty while nothing of the metric is recorded yet
		findJSON(t, app.URL()+"api/v1/history?group=F&node=n&metric=Recipe&from="+time.Now().Add(-time.Hour).UTC().Format(time.RFC3339), &answer)
		for _, s := range answer.Samples {
			if b, err := base64.StdEncoding.DecodeString(s.V); err == nil && bytes.Equal(b, want) {
				return len(b)
			}
		}
		return 0
	}
	eventually(t, patience, "the file is in the history", func() bool { return kept(app) == len(want) })
	told := func(what string) func() bool {
		return func() bool {
			var log struct{ Events []struct{ Reason string } }
			app.get(t, "api/v1/events?kind=system", &log)
			return strings.Contains(fmt.Sprint(log.Events), what)
		}
	}
	eventually(t, patience, "the larger file is told of", told(`a value of "Log" has 300000 bytes and is not kept`))
	send("Log", make([]byte, 4_000_000))
	eventually(t, patience, "the largest file is told of", told(`a value of "Log" has 4000000 bytes and is not recorded`))
	if err := app.stop(); err != nil {
		t.Fatal(err)
	}
	if n := kept(startApp(t, dir, appOptions{}, limit)); n != len(want) {
		t.Errorf("after a restart the file has %d bytes", n)
	}
}
