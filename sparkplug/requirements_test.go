package sparkplug

import (
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

var rewrite = flag.Bool("rewrite", false, "renew testdata/proof.tsv")

// otherParts says who answers for assertions that no test of this package or of observe proves; the first prefix wins.
// "text" marks statements that leave nothing to test here: definitions, advice, and what the encoding itself ensures.
var otherParts = []struct{ part, prefixes string }{
	{"broker", "conformance-mqtt"},
	{"sparkplug/uplink, sparkplug/simulate (edge node sessions)", `principles-rbe principles-birth principles-persistence message-flow-edge-node
		message-flow-device operational-behavior-edge-node operational-behavior-device operational-behavior-data-publish
		operational-behavior-data-commands-rebirth operational-behavior-primary topics-nbirth topics-ndata topics-dbirth topics-ddata
		topics-ddeath payloads-nbirth payloads-dbirth payloads-ndata payloads-ddata payloads-ndeath payloads-ddeath payloads-template
		payloads-alias payloads-name payloads-sequence topic-structure-namespace-unique`},
	{"cmd/edge (the host beside the broker)", `components-ph conformance-primary message-flow-phid message-flow-hid host-topic-phid
		operational-behavior-host-application payloads-state`},
	{"text", `payloads-dataset payloads-metric payloads-propertyset payloads-timestamp case-sensitivity topic-structure intro`},
}

// TestRequirements lists every assertion of the specification with the tests that name it, or with the part that answers
// for it, and holds the list against testdata/proof.tsv. An id that does not exist is an error wherever it is written.
func TestRequirements(t *testing.T) {
	levels := requirements(t)
	proofs := map[string][]string{}
	for _, dir := range []string{".", "observe"} {
		for name, ids := range testsNaming(t, dir, levels) {
			for id := range ids {
				proofs[id] = append(proofs[id], filepath.Join("sparkplug", dir)+"."+name)
			}
		}
	}
	var out strings.Builder
	proven := 0
	for _, id := range slices.Sorted(maps.Keys(levels)) {
		by := proofs[id]
		slices.Sort(by)
		text := strings.Join(by, " ")
		if len(by) > 0 {
			proven++
		} else if text = partFor(id); text == "" {
			t.Errorf("%s is proven by no test, and no other part answers for it", id)
		}
		fmt.Fprintf(&out, "%s\t%s\t%s\n", id, levels[id], text)
	}
	t.Logf("%d of %d assertions are named by tests of sparkplug and sparkplug/observe", proven, len(levels))
	if *rewrite {
		if err := os.WriteFile("testdata/proof.tsv", []byte(out.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile("testdata/proof.tsv")
	if err != nil {
		t.Fatal(err)
	}
	if string(want) != out.String() {
		t.Error("testdata/proof.tsv is out of date: go test ./sparkplug -run Requirements -rewrite, and read the difference")
	}
}

// requirements returns the level of each id.
func requirements(t *testing.T) map[string]string {
	t.Helper()
	data, err := os.ReadFile("testdata/requirements.tsv")
	if err != nil {
		t.Fatal(err)
	}
	levels := map[string]string{}
	for line := range strings.Lines(string(data)) {
		if f := strings.Split(strings.TrimSpace(line), "\t"); strings.HasPrefix(f[0], "tck-id-") {
			levels[f[0]] = f[3]
		}
	}
	if len(levels) != 299 {
		t.Fatalf("%d assertions, want 299", len(levels))
	}
	return levels
}

func partFor(id string) string {
	for _, p := range otherParts {
		for _, prefix := range strings.Fields(p.prefixes) {
			if strings.HasPrefix(id, "tck-id-"+prefix) {
				return p.part
			}
		}
	}
	return ""
}

var idPattern = regexp.MustCompile(`tck-id-[-A-Za-z0-9]+[A-Za-z0-9]`)

// testsNaming returns, for each test function of a folder, the ids in its comment and among its expected findings. Ids in
// other files are checked to exist.
func testsNaming(t *testing.T, dir string, levels map[string]string) map[string]map[string]bool {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]map[string]bool{}
	for _, file := range files {
		src, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		f, err := parser.ParseFile(token.NewFileSet(), file, src, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range f.Comments {
			for _, id := range idPattern.FindAllString(c.Text(), -1) {
				if levels[id] == "" {
					t.Errorf("%s: there is no assertion %s", file, id)
				}
			}
		}
		if strings.HasSuffix(file, "_test.go") {
			for _, d := range f.Decls {
				if fn, ok := d.(*ast.FuncDecl); ok && strings.HasPrefix(fn.Name.Name, "Test") {
					out[fn.Name.Name] = idsOf(fn, levels)
				}
			}
		}
	}
	return out
}

func idsOf(fn *ast.FuncDecl, levels map[string]string) map[string]bool {
	ids := map[string]bool{}
	for _, id := range idPattern.FindAllString(fn.Doc.Text(), -1) {
		ids[id] = true
	}
	ast.Inspect(fn, func(n ast.Node) bool {
		if lit, ok := n.(*ast.BasicLit); ok && lit.Kind == token.STRING {
			text, _ := strconv.Unquote(lit.Value)
			for _, word := range strings.Fields(text) {
				if id := "tck-id-" + strings.TrimPrefix(word, "tck-id-"); levels[id] != "" {
					ids[id] = true
				}
			}
		}
		return true
	})
	return ids
}
