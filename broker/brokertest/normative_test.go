package brokertest

import (
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// Every statement of both specifications is in testdata/normative: those with a number in normative.tsv; those without,
// under numbers of our own (section and letter), in unnumbered.tsv. Sources and tests name them in brackets, with
// v3 in front for 3.1.1. broker/NORMATIVE.md shows which test proves which statement; these tests keep it so.

var updateTable = flag.Bool("update", false, "write broker/NORMATIVE.md")

const (
	moduleRoot = "../.."
	tablePath  = "../NORMATIVE.md"
)

// tag is a statement's name as it stands in sources and tests.
var tag = regexp.MustCompile(`\[(v3 )?MQTT-[0-9][0-9.]*-[0-9a-z]+\]`)

// statement is one sentence that the specification demands something by.
type statement struct {
	version string // "3.1.1" or "5.0"
	id      string // "MQTT-3.1.2-22", or of our own "MQTT-3.1.4-a"
	binds   string // client, server, both
	words   string
	answer  string // of our own: the reason code that is expected
}

func (s *statement) tag() string {
	if s.version == "3.1.1" {
		return "[v3 " + s.id + "]"
	}
	return "[" + s.id + "]"
}

// ours tells that the identifier is not the specification's.
func (s *statement) ours() bool { return s.id[len(s.id)-1] >= 'a' }

// readTable returns the rows of a file of tab separated columns, the first line left out.
func readTable(t *testing.T, name string, columns int) (rows [][]string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata/normative", name))
	if err != nil {
		t.Fatal(err)
	}
	for i, line := range strings.Split(strings.TrimRight(string(text), "\n"), "\n")[1:] {
		row := strings.Split(line, "\t")
		if len(row) != columns {
			t.Fatalf("%s:%d: %d columns", name, i+2, len(row))
		}
		rows = append(rows, row)
	}
	return rows
}

// statements returns all statements, in the order of the specifications.
func statements(t *testing.T) (all []*statement) {
	t.Helper()
	for _, f := range readTable(t, "normative.tsv", 4) {
		all = append(all, &statement{version: f[0], id: f[1], binds: f[2], words: f[3]})
	}
	if len(all) != 251+141 {
		t.Fatalf("%d numbered statements", len(all))
	}
	for _, f := range readTable(t, "unnumbered.tsv", 5) {
		all = append(all, &statement{version: f[0], id: f[1], binds: f[2], words: f[3], answer: f[4]})
	}
	if len(all) != 251+141+75 {
		t.Fatalf("%d statements", len(all))
	}
	slices.SortStableFunc(all, func(a, b *statement) int {
		if a.version != b.version {
			return strings.Compare(b.version, a.version)
		}
		return slices.Compare(sortKey(a.id), sortKey(b.id))
	})
	return all
}

// sortKey is the section of an identifier and, behind all longer sections' numbers, its own; a letter comes after all numbers.
func sortKey(id string) (key []int) {
	section, own, _ := strings.Cut(id[len("MQTT-"):], "-")
	for _, s := range strings.Split(section, ".") {
		n, _ := strconv.Atoi(s)
		key = append(key, n)
	}
	n, err := strconv.Atoi(own)
	if err != nil {
		n = 1000 + int(own[0])
	}
	return append(key, -1, n)
}

// untested returns the reasons why statements that bind a server have no test, by tag.
func untested(t *testing.T) map[string]string {
	t.Helper()
	reasons := make(map[string]string)
	for _, f := range readTable(t, "untested.tsv", 2) {
		if reasons[f[0]] != "" {
			t.Errorf("untested.tsv has %s twice", f[0])
		}
		reasons[f[0]] = f[1]
	}
	return reasons
}

// eachFile calls f with every file of the module that may name a statement.
func eachFile(t *testing.T, f func(path string)) {
	t.Helper()
	err := filepath.WalkDir(moduleRoot, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if name := d.Name(); path != moduleRoot && strings.HasPrefix(name, ".") && name != ".." || name == "node_modules" || name == "dist" {
				return filepath.SkipDir
			}
			return nil
		}
		if ext := filepath.Ext(path); ext == ".go" || ext == ".txt" && strings.Contains(path, "testdata") {
			f(path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// isMosquittos tells which scripts talk to another broker: they prove nothing about this one.
func isMosquittos(path string) bool { return strings.Contains(path, "broker/brokertest/testdata") }

func isProof(path string) bool {
	return strings.HasSuffix(path, "_test.go") || strings.HasSuffix(path, ".txt")
}

// proofs returns the tests that name each statement, by tag.
func proofs(t *testing.T) map[string][]string {
	t.Helper()
	found := make(map[string][]string)
	add := func(tag, place string) {
		if !slices.Contains(found[tag], place) {
			found[tag] = append(found[tag], place)
		}
	}
	tests := make(map[string]*testPackage)
	eachFile(t, func(path string) {
		switch {
		case !isProof(path):
		case isMosquittos(path):
			if text := readFile(t, path); tag.Match(text) {
				t.Errorf("%s names %s, but talks to mosquitto", path, tag.Find(text))
			}
		case strings.HasSuffix(path, ".txt"):
			scriptProofs(t, path, readFile(t, path), add)
		case tag.Match(readFile(t, path)):
			dir := filepath.Dir(path)
			if tests[dir] == nil {
				tests[dir] = parseTests(t, dir)
			}
			for _, lost := range tests[dir].proofs(path, add) {
				t.Errorf("%s stands in no test, or in what several tests use", lost)
			}
		}
	})
	for _, places := range found {
		slices.Sort(places)
	}
	return found
}

func readFile(t *testing.T, path string) []byte {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// scriptProofs finds the tags of a script, which must be of a version that it is run with.
func scriptProofs(t *testing.T, path string, text []byte, add func(tag, place string)) {
	for _, m := range tag.FindAllString(string(text), -1) {
		other := "only 5.0\n"
		if !strings.HasPrefix(m, "[v3 ") {
			other = "only 3.1.1\n"
		}
		if strings.Contains(string(text), other) {
			t.Errorf("%s names %s and is not run with that version", path, m)
		}
		add(m, "`"+placeOf(path)+"`")
	}
}

// placeOf is a path as the table shows it: without broker/ and with what is always the same left out.
func placeOf(path string) string {
	path = filepath.ToSlash(strings.TrimPrefix(path, moduleRoot+string(filepath.Separator)))
	return strings.Replace(strings.TrimPrefix(path, "broker/"), "testdata/", "", 1)
}

// TestTagsExist: no comment and no test names a statement that the specifications do not have.
func TestTagsExist(t *testing.T) {
	known := make(map[string]bool)
	for _, s := range statements(t) {
		if known[s.tag()] {
			t.Errorf("%s is there twice", s.tag())
		}
		known[s.tag()] = true
	}
	for name := range untested(t) {
		if !known[name] {
			t.Errorf("%s in untested.tsv is no statement of MQTT", name)
		}
	}
	eachFile(t, func(path string) {
		for _, m := range tag.FindAllString(string(readFile(t, path)), -1) {
			if !known[m] {
				t.Errorf("%s in %s is no statement of MQTT", m, path)
			}
		}
	})
}

// TestSourcesAreProved: what a source says it keeps, a test proves.
func TestSourcesAreProved(t *testing.T) {
	proved, reasons := proofs(t), untested(t)
	eachFile(t, func(path string) {
		if isProof(path) {
			return
		}
		for _, m := range tag.FindAllString(string(readFile(t, path)), -1) {
			if len(proved[m]) == 0 && reasons[m] == "" {
				t.Errorf("%s in %s is proved by no test", m, path)
			}
		}
	})
}

// TestProofTable holds broker/NORMATIVE.md to the tests: every statement that binds a server has a test that names it, or a
// reason. With -update it writes the file.
func TestProofTable(t *testing.T) {
	all, proved, reasons := statements(t), proofs(t), untested(t)
	for _, s := range all {
		has, reason := len(proved[s.tag()]) > 0, reasons[s.tag()]
		if has && reason != "" {
			t.Errorf("%s has a test (%s): take it out of untested.tsv", s.tag(), proved[s.tag()][0])
		}
		if !has && reason == "" && (s.binds != "client" || s.ours()) {
			t.Errorf("%s is named by no test and has no reason in untested.tsv: %s", s.tag(), s.words)
		}
	}
	want := renderTable(all, proved, reasons)
	if *updateTable {
		if err := os.WriteFile(tablePath, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	have := strings.Split(string(readFile(t, tablePath)), "\n")
	for i, line := range strings.Split(want, "\n") {
		if i >= len(have) || have[i] != line {
			t.Fatalf("broker/NORMATIVE.md is not what the tests give, first in line %d; go test ./broker/brokertest -run ProofTable -update\n%s", i+1, line)
		}
	}
}

const tableHead = `# What MQTT demands, and the test that proves it

Written by ` + "`go test ./broker/brokertest -run ProofTable -update`" + ` from the tags in the tests; the same test fails when this file is
not what they give, and when a statement that binds a server has neither a test nor a reason. Statements are in our words.
Identifiers that end in a number are the specification's, those that end in a letter are ours, for what a section demands without
a number.

A proof is a test function of the package named before it, with its cases behind it, or a script: ` + "`server/will.txt`" + ` is
` + "`broker/server/testdata/will.txt`" + `, run with both versions if it does not say otherwise, in memory, over WebSocket and on event
loops, and those named ` + "`restart*`" + ` on the real store, stopped and killed. A reason instead of a proof stands in italics. *client*: the
sentence binds the client alone; what a broker does when it is broken is said by another.

`

// renderTable writes the table, first the summary.
func renderTable(all []*statement, proved map[string][]string, reasons map[string]string) string {
	var s strings.Builder
	s.WriteString(tableHead)
	s.WriteString("| version | statements | bind a server | proved by a test | with a reason | bind the client alone | of these proved |\n|---|---|---|---|---|---|---|\n")
	for _, v := range []string{"5.0", "3.1.1"} {
		var total, server, serverProved, excused, client, clientProved int
		for _, x := range all {
			has := len(proved[x.tag()]) > 0
			switch {
			case x.version != v:
				continue
			case x.binds == "client" && has:
				client, clientProved = client+1, clientProved+1
			case x.binds == "client":
				client++
			case has:
				server, serverProved = server+1, serverProved+1
			default:
				server, excused = server+1, excused+1
			}
			total++
		}
		fmt.Fprintf(&s, "| %s | %d | %d | %d | %d | %d | %d |\n", v, total, server, serverProved, excused, client, clientProved)
	}
	for _, v := range []string{"5.0", "3.1.1"} {
		fmt.Fprintf(&s, "\n## MQTT %s\n\n| id | binds | demands | proved by |\n|---|---|---|---|\n", v)
		for _, x := range all {
			if x.version == v {
				fmt.Fprintf(&s, "| %s | %s | %s | %s |\n", x.id, x.binds, cell(x), proofCell(x, proved[x.tag()], reasons[x.tag()]))
			}
		}
	}
	return s.String()
}

func cell(x *statement) string {
	words := strings.ReplaceAll(x.words, "|", `\|`)
	if x.answer != "" {
		words += " (" + x.answer + ")"
	}
	return words
}

// joinProofs names a function once, with all its cases. The places are sorted.
func joinProofs(places []string) string {
	var s strings.Builder
	last := ""
	for _, place := range places {
		test, name, hasCase := strings.Cut(place, caseMark)
		switch {
		case test == last && hasCase:
			s.WriteString("; " + name)
		case s.Len() > 0:
			s.WriteString(", " + test)
		default:
			s.WriteString(test)
		}
		if test != last && hasCase {
			s.WriteString(": " + name)
		}
		last = test
	}
	return s.String()
}

func proofCell(x *statement, places []string, reason string) string {
	switch {
	case len(places) > 0:
		return joinProofs(places)
	case reason != "":
		return "*" + reason + "*"
	case x.binds == "client":
		return "*client*"
	}
	return ""
}
