package kit

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"edge/sparkplug/observe"
)

var rewrite = flag.Bool("kit.rewrite", false, "renew the columns of sparkplug/testdata/verdicts")

// Report is what a run has shown of its subject.
type Report struct {
	Tally *observe.Tally
}

// Broken returns the broken assertions in the order of their ids.
func (r *Report) Broken() []string { return slices.Sorted(maps.Keys(r.Tally.Evidence())) }

// Healthy fails the test for every broken assertion.
func (r *Report) Healthy(t testing.TB) {
	t.Helper()
	for _, id := range r.Broken() {
		f := r.Tally.Evidence()[id]
		t.Errorf("%s: %s %s", id, f.Topic, f.Text)
	}
}

// Explain logs every broken assertion.
func (r *Report) Explain(t testing.TB) {
	t.Helper()
	for _, id := range r.Broken() {
		f := r.Tally.Evidence()[id]
		t.Logf("broken: %s: %s %s", id, f.Topic, f.Text)
	}
}

// Committed holds the verdicts on the assertions of a profile ("edge-node", "host-application", "broker") against the
// committed column of the subject, sparkplug/testdata/verdicts/<subject>.tsv.
func (r *Report) Committed(t testing.TB, subject, profile string) {
	t.Helper()
	root := moduleRoot(t)
	var out strings.Builder
	fmt.Fprintf(&out, "# %s\n", testName(t, root))
	for _, id := range assertions(t, root, profile) {
		fmt.Fprintf(&out, "%s\t%s\n", id, r.Tally.Verdict(id))
	}
	for _, id := range slices.Sorted(maps.Keys(r.Tally.IDs())) {
		if strings.HasPrefix(id, "rule-") {
			fmt.Fprintf(&out, "%s\t%s\n", id, r.Tally.Verdict(id))
		}
	}
	file := filepath.Join(root, "sparkplug", "testdata", "verdicts", subject+".tsv")
	if *rewrite {
		if err := os.WriteFile(file, []byte(out.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if string(want) == out.String() {
		return
	}
	t.Errorf("%s is out of date: run this test with -kit.rewrite, then go test ./sparkplug -run Requirements -rewrite, and read the difference", file)
	old := strings.Split(string(want), "\n")
	for line := range strings.Lines(out.String()) {
		if line = strings.TrimSpace(line); !slices.Contains(old, line) {
			t.Errorf("now: %s", line)
		}
	}
}

// testName is the test as the table writes it: package folder and function.
func testName(t testing.TB, root string) string {
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	folder, err := filepath.Rel(root, dir)
	if err != nil {
		t.Fatal(err)
	}
	name, _, _ := strings.Cut(t.Name(), "/")
	return filepath.ToSlash(folder) + "." + name
}

func moduleRoot(t testing.TB) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for ; ; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		}
		if dir == filepath.Dir(dir) {
			t.Fatal("no go.mod above the test")
		}
	}
}

// assertions are the ids whose profile names the word, in the order of the specification.
func assertions(t testing.TB, root, profile string) (ids []string) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(root, "sparkplug", "testdata", "requirements.tsv"))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(data)) {
		if f := strings.Split(line, "\t"); len(f) > 3 && strings.Contains(f[2], profile) {
			ids = append(ids, f[0])
		}
	}
	if len(ids) == 0 {
		t.Fatalf("no assertion of the profile %q", profile)
	}
	return ids
}
