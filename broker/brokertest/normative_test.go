package brokertest

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// The numbered statements of both specifications are in testdata/normative/normative.tsv: version, number, whom it binds,
// and what it says in plain words. Source and tests name them in brackets, with v3 in front for 3.1.1.

var tag = regexp.MustCompile(`\[(v3 )?(MQTT-[0-9][0-9.]*-[0-9]+)\]`)

// statements returns each statement's words by its tag.
func statements(t *testing.T) map[string]string {
	text, err := os.ReadFile("testdata/normative/normative.tsv")
	if err != nil {
		t.Fatal(err)
	}
	all := make(map[string]string)
	for _, row := range strings.Split(strings.TrimSpace(string(text)), "\n")[1:] {
		f := strings.Split(row, "\t")
		prefix := "["
		if f[0] == "3.1.1" {
			prefix = "[v3 "
		}
		all[prefix+f[1]+"]"] = f[3]
	}
	return all
}

// tags returns the places where each tag stands in the files under root that want accepts.
func tags(t *testing.T, root string, want func(path string) bool) map[string][]string {
	found := make(map[string][]string)
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !want(path) {
			return err
		}
		text, err := os.ReadFile(path)
		for _, m := range tag.FindAllString(string(text), -1) {
			if !slices.Contains(found[m], path) {
				found[m] = append(found[m], path)
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func isProof(path string) bool {
	return strings.HasSuffix(path, "_test.go") || strings.Contains(path, "testdata") && strings.HasSuffix(path, ".txt")
}

func isSource(path string) bool { return strings.HasSuffix(path, ".go") && !isProof(path) }

// TestTagsExist: no comment and no test names a statement that the specifications do not have.
func TestTagsExist(t *testing.T) {
	all := statements(t)
	if len(all) != 251+141 {
		t.Fatalf("%d statements", len(all))
	}
	for name, places := range tags(t, "..", func(path string) bool { return isSource(path) || isProof(path) }) {
		if all[name] == "" {
			t.Errorf("%s in %s is no statement of MQTT", name, strings.Join(places, ", "))
		}
	}
}

// TestCodecIsProved: what packets and topic say they keep, a test proves.
func TestCodecIsProved(t *testing.T) {
	proofs := tags(t, "..", isProof)
	for _, part := range []string{"../packets", "../topic"} {
		for name, places := range tags(t, part, isSource) {
			if len(proofs[name]) == 0 {
				t.Errorf("%s in %s is proved by no test", name, strings.Join(places, ", "))
			}
		}
	}
}

// TestProofTable prints, for go test -v, each statement with the tests that prove it, and those that no test names.
func TestProofTable(t *testing.T) {
	proofs := tags(t, "..", isProof)
	all := statements(t)
	names := make([]string, 0, len(all))
	for name := range all {
		names = append(names, name)
	}
	slices.Sort(names)
	proved := 0
	for _, name := range names {
		if len(proofs[name]) > 0 {
			proved++
		}
		t.Logf("%-24s %-60s %s", name, strings.Join(proofs[name], " "), all[name])
	}
	t.Logf("%d of %d statements are named by a test; the others bind clients, or a test proves them without naming them", proved, len(all))
	if proved == 0 {
		t.Error("no test names a statement")
	}
}
