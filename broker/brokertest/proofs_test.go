package brokertest

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
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

// proofs reports each tag of a file with the test function that it stands in, and the case of its table.
func (p *testPackage) proofs(t *testing.T, path string, add func(tag, place string)) {
	file := p.files[path]
	dir := placeOf(filepath.Dir(path))
	report := func(pos token.Pos, text, name string) {
		for _, m := range tag.FindAllString(text, -1) {
			fn := p.testAt(file, pos)
			if fn == "" {
				t.Errorf("%s: %s stands in no test", p.fset.Position(pos), m)
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
}

// caseName is a string literal without the tags in it.
func caseName(lit *ast.BasicLit) string {
	s, _ := strconv.Unquote(lit.Value)
	return strings.Join(strings.Fields(tag.ReplaceAllString(s, "")), " ")
}

// testAt returns the test function around a place, its comment included; for a table at package level the test that runs
// its cases; for a helper the first test that calls it, and for a method the first that makes its receiver.
func (p *testPackage) testAt(file *ast.File, pos token.Pos) string {
	for _, d := range file.Decls {
		from := d.Pos()
		switch d := d.(type) {
		case *ast.FuncDecl:
			if d.Doc != nil {
				from = d.Doc.Pos()
			}
			if pos < from || d.End() <= pos {
				continue
			}
			switch {
			case d.Recv != nil:
				return p.testWith(receiver(d), nil)
			case isTest(d):
				return d.Name.Name
			}
			return p.testWith(d.Name.Name, nil)
		case *ast.GenDecl:
			if d.Doc != nil {
				from = d.Doc.Pos()
			}
			if spec, ok := d.Specs[0].(*ast.ValueSpec); ok && from <= pos && pos < d.End() {
				return p.testOver(spec.Names[0].Name)
			}
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

// testWith returns the first test that names a type or function, itself or by way of others.
func (p *testPackage) testWith(name string, passed []string) string {
	var ways []string
	for _, path := range p.paths {
		for _, d := range p.files[path].Decls {
			fn, ok := d.(*ast.FuncDecl)
			switch {
			case !ok || fn.Body == nil || !uses(fn.Body, name) || slices.Contains(passed, fn.Name.Name):
			case isTest(fn):
				return fn.Name.Name
			case fn.Recv != nil:
				ways = append(ways, receiver(fn))
			default:
				ways = append(ways, fn.Name.Name)
			}
		}
	}
	for _, way := range ways {
		if slices.Contains(passed, way) {
			continue
		}
		if test := p.testWith(way, append(passed, name)); test != "" {
			return test
		}
	}
	return ""
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

// caseAt returns the name of the table's case that a line belongs to: the key of a map's entry, or a struct's name field.
func (p *testPackage) caseAt(file *ast.File, line int) (name string) {
	ast.Inspect(file, func(n ast.Node) bool {
		if n == nil || p.fset.Position(n.Pos()).Line > line || p.fset.Position(n.End()).Line < line {
			return false
		}
		if kv, ok := n.(*ast.KeyValueExpr); ok {
			if lit, ok := kv.Key.(*ast.BasicLit); ok && lit.Kind == token.STRING {
				name = caseName(lit)
			}
		}
		if list, ok := n.(*ast.CompositeLit); ok {
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
