package sparkplug

import (
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

var rewrite = flag.Bool("rewrite", false, "renew testdata/proof.tsv")

// columns are the subjects of observe/kit in the order of the table, each with the files of testdata/verdicts that its runs wrote.
// Those of ours come first; what holds of them proves an assertion.
var columns = []struct {
	name, files string
	ours        bool
}{
	{"our host", "our-host", true},
	{"our host as a client", "client-host-3.1.1 client-host-5", true},
	{"our server", "our-server", true},
	{"simulator", "simulator-3.1.1 simulator-5", true},
	{"uplink", "uplink", true},
	{"npm sparkplug-client", "npm-client", false},
	{"nats-server", "nats-server", false},
	{"mosquitto", "mosquitto", false},
}

// namingFolders hold tests that name assertions.
var namingFolders = []string{".", "observe", "observe/kit", "simulate", "uplink", "../cmd/edge", "../broker/auth", "../broker/server", "../broker/router"}

// An assertion is a line of the table. Rules without a tck-id are among them.
type assertion struct {
	id, level, profile string
	tests              []string
	verdicts           []string // by column, empty where it was not asked
	note               string
}

// TestRequirements makes the table testdata/proof.tsv: every assertion of the specification with the tests that carry it, what the
// runs of observe/kit found of each subject, and a note from testdata/notes.tsv: why no test of ours can carry it, or why a
// yardstick differs. An id that does not exist is an error wherever it is written.
func TestRequirements(t *testing.T) {
	all, byID := requirements(t)
	for _, dir := range namingFolders {
		for name, ids := range testsNaming(t, dir, byID) {
			for id := range ids {
				byID[id].tests = append(byID[id].tests, filepath.Join("sparkplug", dir)+"."+name)
			}
		}
	}
	all = readVerdicts(t, all, byID)
	readNotes(t, all)
	out := strings.Builder{}
	out.WriteString("id\tlevel\tprofile\ttests\t")
	for _, c := range columns {
		out.WriteString(c.name + "\t")
	}
	out.WriteString("note\n")
	carried := 0
	for _, a := range all {
		a.judge(t)
		if len(a.tests) > 0 {
			carried++
		}
		slices.Sort(a.tests)
		fmt.Fprintf(&out, "%s\t%s\t%s\t%s\t%s\t%s\n", a.id, a.level, a.profile, strings.Join(slices.Compact(a.tests), " "), strings.Join(a.verdicts, "\t"), a.note)
	}
	t.Logf("%d of %d assertions are carried by tests", carried, len(all))
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

// judge says what an assertion's line lacks.
func (a *assertion) judge(t *testing.T) {
	if len(a.tests) == 0 && a.note == "" {
		t.Errorf("%s is carried by no test, and testdata/notes.tsv does not say why", a.id)
	}
	for i, v := range a.verdicts {
		switch {
		case v != "broken":
		case columns[i].ours:
			t.Errorf("%s is broken by %s", a.id, columns[i].name)
		case a.note == "":
			t.Errorf("%s is broken by %s, and testdata/notes.tsv does not say why", a.id, columns[i].name)
		}
	}
}

// requirements returns the assertions in the order of the specification, and by id.
func requirements(t *testing.T) ([]*assertion, map[string]*assertion) {
	t.Helper()
	data, err := os.ReadFile("testdata/requirements.tsv")
	if err != nil {
		t.Fatal(err)
	}
	var all []*assertion
	byID := map[string]*assertion{}
	for line := range strings.Lines(string(data)) {
		if f := strings.Split(strings.TrimSpace(line), "\t"); strings.HasPrefix(f[0], "tck-id-") {
			a := &assertion{id: f[0], profile: f[2], level: f[3], verdicts: make([]string, len(columns))}
			all = append(all, a)
			byID[a.id] = a
		}
	}
	if len(byID) != 299 {
		t.Fatalf("%d assertions, want 299", len(byID))
	}
	return all, byID
}

// readVerdicts fills the columns. Rules of the kit that have no tck-id come behind the assertions.
func readVerdicts(t *testing.T, all []*assertion, byID map[string]*assertion) []*assertion {
	t.Helper()
	for i, c := range columns {
		for file := range strings.FieldsSeq(c.files) {
			data, err := os.ReadFile(filepath.Join("testdata", "verdicts", file+".tsv"))
			if err != nil {
				t.Fatal(err)
			}
			test := ""
			for line := range strings.Lines(string(data)) {
				line = strings.TrimSpace(line)
				if name, ok := strings.CutPrefix(line, "# "); ok {
					test = name
					continue
				}
				id, verdict, _ := strings.Cut(line, "\t")
				a := byID[id]
				if a == nil && strings.HasPrefix(id, "rule-") {
					a = &assertion{id: id, level: "rule", profile: "without a tck-id", verdicts: make([]string, len(columns))}
					all, byID[id] = append(all, a), a
				}
				if a == nil {
					t.Errorf("%s: there is no assertion %s", file, id)
					continue
				}
				a.verdicts[i] = worse(a.verdicts[i], verdict)
				if c.ours && verdict == "holds" {
					a.tests = append(a.tests, test)
				}
			}
		}
	}
	return all
}

// worse joins the verdicts of two runs of one subject.
func worse(a, b string) string {
	for _, v := range []string{"broken", "holds", "not seen"} {
		if a == v || b == v {
			return v
		}
	}
	return ""
}

// readNotes fills the notes: "ids, separated by spaces, * at an end for any" tab "note". A note that no id has is an error.
func readNotes(t *testing.T, all []*assertion) {
	t.Helper()
	data, err := os.ReadFile("testdata/notes.tsv")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(data)) {
		ids, note, ok := strings.Cut(strings.TrimSpace(line), "\t")
		if !ok {
			t.Errorf("notes.tsv: %q is not ids, tab, note", line)
			continue
		}
		for id := range strings.FieldsSeq(ids) {
			prefix, many := strings.CutSuffix(id, "*")
			used := false
			for _, a := range all {
				if name := strings.TrimPrefix(a.id, "tck-id-"); name == id || many && strings.HasPrefix(name, prefix) {
					a.note, used = strings.TrimSpace(a.note+" "+note), true
				}
			}
			if !used {
				t.Errorf("notes.tsv: no assertion %s", id)
			}
		}
	}
}

var idPattern = regexp.MustCompile(`tck-id-[-A-Za-z0-9]+[A-Za-z0-9]`)

// testsNaming returns, for each test function of a folder, the ids in its comment and among its expected findings. Ids in
// other files are checked to exist.
func testsNaming(t *testing.T, dir string, byID map[string]*assertion) map[string]map[string]bool {
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
				if byID[id] == nil {
					t.Errorf("%s: there is no assertion %s", file, id)
				}
			}
		}
		if strings.HasSuffix(file, "_test.go") {
			for _, d := range f.Decls {
				if fn, ok := d.(*ast.FuncDecl); ok && strings.HasPrefix(fn.Name.Name, "Test") {
					out[fn.Name.Name] = idsOf(fn, byID)
				}
			}
		}
	}
	return out
}

func idsOf(fn *ast.FuncDecl, byID map[string]*assertion) map[string]bool {
	ids := map[string]bool{}
	for _, id := range idPattern.FindAllString(fn.Doc.Text(), -1) {
		if byID[id] != nil {
			ids[id] = true
		}
	}
	ast.Inspect(fn, func(n ast.Node) bool {
		if lit, ok := n.(*ast.BasicLit); ok && lit.Kind == token.STRING {
			text, _ := strconv.Unquote(lit.Value)
			for _, word := range strings.Fields(text) {
				if id := "tck-id-" + strings.TrimPrefix(word, "tck-id-"); byID[id] != nil {
					ids[id] = true
				}
			}
		}
		return true
	})
	return ids
}
