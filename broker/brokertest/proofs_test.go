package brokertest

import (
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

	"github.com/google/go-cmp/cmp"
)

// caseMark stands between a test and the case of its table.
const caseMark = "\x00"

// testPackage is the parsed test files of one folder.
type testPackage struct {
	fset  *token.FileSet
	paths []string
	files map[string]*ast.File
}

func parseTests(t *testing.T, dir string) *testPackage {
	t.Helper()
	p := &testPackage{fset: token.NewFileSet(), files: make(map[string]*ast.File)}
	p.paths, _ = filepath.Glob(filepath.Join(dir, "*_test.go"))
	slices.Sort(p.paths)
	for _, path := range p.paths {
		f, err := parser.ParseFile(p.fset, path, nil, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		p.files[path] = f
	}
	return p
}

// proofs reports each tag of a file with the test function that it stands in, and the case of its table. It returns those that stand in none.
func (p *testPackage) proofs(path string, add func(tag, place string)) (lost []string) {
	file := p.files[path]
	dir := placeOf(filepath.Dir(path))
	report := func(pos token.Pos, text, name string) {
		for _, m := range tag.FindAllString(text, -1) {
			fn := p.testAt(file, pos)
			if fn == "" {
				lost = append(lost, p.fset.Position(pos).String()+": "+m)
				continue
			}
			place := dir + " `" + fn + "`"
			if name != "" {
				place += caseMark + strings.ReplaceAll(name, "|", " ")
			}
			add(m, place)
		}
	}
	for _, group := range file.Comments {
		for _, c := range group.List {
			if tag.MatchString(c.Text) {
				report(c.Pos(), c.Text, p.caseAt(file, p.fset.Position(c.Pos()).Line))
			}
		}
	}
	ast.Inspect(file, func(n ast.Node) bool {
		if lit, ok := n.(*ast.BasicLit); ok && lit.Kind == token.STRING && tag.MatchString(lit.Value) {
			report(lit.Pos(), lit.Value, caseName(lit))
		}
		return true
	})
	return lost
}

// caseName is a string literal without the tags in it.
func caseName(lit *ast.BasicLit) string {
	s, _ := strconv.Unquote(lit.Value)
	return strings.Join(strings.Fields(tag.ReplaceAllString(s, "")), " ")
}

// testAt returns the test function around a place, its comment included; for a table at package level the test that runs
// its cases; for a helper, or the methods of a type, the one test that uses it. What several tests use proves nothing by itself.
func (p *testPackage) testAt(file *ast.File, pos token.Pos) string {
	line := func(pos token.Pos) int { return p.fset.Position(pos).Line }
	for _, d := range file.Decls {
		from, doc := d.Pos(), (*ast.CommentGroup)(nil)
		switch d := d.(type) {
		case *ast.FuncDecl:
			doc = d.Doc
		case *ast.GenDecl:
			doc = d.Doc
		}
		if doc != nil {
			from = doc.Pos()
		}
		if line(from) <= line(pos) && line(pos) <= line(d.End()) {
			return p.testOf(d)
		}
	}
	return ""
}

// testOf returns the test that a declaration is, or is for.
func (p *testPackage) testOf(d ast.Decl) string {
	switch d := d.(type) {
	case *ast.FuncDecl:
		if isTest(d) {
			return d.Name.Name
		}
		name := d.Name.Name
		if d.Recv != nil {
			name = receiver(d)
		}
		if tests := p.testsWith(name, nil); len(tests) == 1 {
			return tests[0]
		}
	case *ast.GenDecl:
		if spec, ok := d.Specs[0].(*ast.ValueSpec); ok {
			return p.testOver(spec.Names[0].Name)
		}
	}
	return ""
}

func isTest(d *ast.FuncDecl) bool {
	return d.Recv == nil && (strings.HasPrefix(d.Name.Name, "Test") || strings.HasPrefix(d.Name.Name, "Fuzz"))
}

// testOver returns the first test that loops over a table and runs its cases by name, else the first that loops over it.
func (p *testPackage) testOver(table string) (first string) {
	for _, path := range p.paths {
		for _, d := range p.files[path].Decls {
			fn, ok := d.(*ast.FuncDecl)
			if !ok || !isTest(fn) {
				continue
			}
			ast.Inspect(fn, func(n ast.Node) bool {
				loop, ok := n.(*ast.RangeStmt)
				if !ok || !uses(loop.X, table) {
					return true
				}
				if first == "" || !runsCases(p.function(first)) && runsCases(fn) {
					first = fn.Name.Name
				}
				return true
			})
		}
	}
	return first
}

func receiver(d *ast.FuncDecl) string {
	t := d.Recv.List[0].Type
	if star, ok := t.(*ast.StarExpr); ok {
		t = star.X
	}
	if id, ok := t.(*ast.Ident); ok {
		return id.Name
	}
	return ""
}

// testsWith returns the tests that name a type or function, themselves or by way of others.
func (p *testPackage) testsWith(name string, passed []string) (tests []string) {
	passed = append(passed, name)
	for _, path := range p.paths {
		for _, d := range p.files[path].Decls {
			fn, ok := d.(*ast.FuncDecl)
			if !ok || fn.Body == nil || !uses(fn.Body, name) {
				continue
			}
			way := fn.Name.Name
			if fn.Recv != nil {
				way = receiver(fn)
			}
			switch {
			case isTest(fn):
				tests = append(tests, way)
			case !slices.Contains(passed, way):
				tests = append(tests, p.testsWith(way, passed)...)
			}
		}
	}
	slices.Sort(tests)
	return slices.Compact(tests)
}

func (p *testPackage) function(name string) *ast.FuncDecl {
	for _, f := range p.files {
		for _, d := range f.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv == nil && fn.Name.Name == name {
				return fn
			}
		}
	}
	return nil
}

func uses(n ast.Node, name string) (found bool) {
	ast.Inspect(n, func(n ast.Node) bool {
		id, ok := n.(*ast.Ident)
		found = found || ok && id.Name == name
		return true
	})
	return found
}

// runsCases tells whether fn calls Run, or a function that is handed the t of one.
func runsCases(fn *ast.FuncDecl) bool {
	found := false
	ast.Inspect(fn, func(n ast.Node) bool {
		sel, ok := n.(*ast.SelectorExpr)
		found = found || ok && sel.Sel.Name == "Run"
		return true
	})
	return found
}

// caseAt returns the name of the table's case that a line belongs to: the key of a map's entry, a struct's name field, or its
// first string in a table within a function.
func (p *testPackage) caseAt(file *ast.File, line int) (name string) {
	inFunction := false
	ast.Inspect(file, func(n ast.Node) bool {
		if n == nil || p.fset.Position(n.Pos()).Line > line || p.fset.Position(n.End()).Line < line {
			return false
		}
		if _, ok := n.(*ast.FuncDecl); ok {
			inFunction = true
		}
		if kv, ok := n.(*ast.KeyValueExpr); ok {
			if lit, ok := kv.Key.(*ast.BasicLit); ok && lit.Kind == token.STRING {
				name = caseName(lit)
			}
		}
		if list, ok := n.(*ast.CompositeLit); ok {
			if len(list.Elts) > 1 && inFunction {
				if lit, ok := list.Elts[0].(*ast.BasicLit); ok && lit.Kind == token.STRING {
					name = caseName(lit)
				}
			}
			for _, e := range list.Elts {
				if kv, ok := e.(*ast.KeyValueExpr); ok {
					key, isName := kv.Key.(*ast.Ident)
					if lit, ok := kv.Value.(*ast.BasicLit); ok && isName && key.Name == "name" {
						name = caseName(lit)
					}
				}
			}
		}
		return true
	})
	return name
}

// TestProofPlaces: a tag is found in a test, in its comment, in a case of its table and in a helper of its own; not between tests, and not
// in what several tests use. (The tags are put together here, or they would count.)
func TestProofPlaces(t *testing.T) {
	const source = `package x

// TestOne shows <1>.
func TestOne(t *testing.T) {
	for name, c := range map[string]int{
		"first":  1, // <2>
		"second": 2,
	} {
		t.Run(name, func(t *testing.T) { helper(t, c) })
	}
	for _, c := range []struct{ name string; n int }{
		{"third", 3}, // <3>
		{name: "fourth <4>"},
	} {
		shared(t, c.n)
	}
}

func TestTwo(t *testing.T) {
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) { shared(t, 1) }) // <5>
	}
}

var cases = []struct{ name string }{
	{"fifth <6>"},
}

func helper(t *testing.T, n int) {} // <7>

func (m *machine) step() { check() } // <8>

func check() {
	// <9>
}

func FuzzIt(f *testing.F) { new(machine).step() }

func shared(t *testing.T, n int) {
	// <0>
}
`
	dir := t.TempDir()
	path := filepath.Join(dir, "x_test.go")
	text := regexp.MustCompile(`<(\d)>`).ReplaceAllString(source, "["+"MQTT-0.0.0-$1]")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	p := parseTests(t, dir)
	got := make(map[string]string)
	lost := p.proofs(path, func(tag, place string) {
		_, place, _ = strings.Cut(place, " ")
		got[tag[len(tag)-2:len(tag)-1]] = strings.ReplaceAll(place, caseMark, "/")
	})
	want := map[string]string{"1": "`TestOne`", "2": "`TestOne`/first", "3": "`TestOne`/third", "4": "`TestOne`/fourth", "5": "`TestTwo`",
		"6": "`TestTwo`/fifth", "7": "`TestOne`", "8": "`FuzzIt`", "9": "`FuzzIt`"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if len(lost) != 1 || !strings.HasSuffix(lost[0], "-0]") {
		t.Errorf("in no test: %q", lost)
	}
}
