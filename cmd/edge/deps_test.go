package main

import (
	"bytes"
	"go/format"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// mayImport is who may import whom in the house. A package that is not listed must not exist.
var mayImport = map[string][]string{
	"broker/packets":    {},
	"broker/topic":      {},
	"historian/journal": {},
	// only _test.go files import it
	"historian/journal/powercut": {},
	"proto":                      {},
	"proto/sparkplugpb":          {},
	"broker":                     {"broker/packets", "broker/topic"},
	"broker/session":             {"broker", "broker/packets", "broker/topic"},
	"broker/router":              {"broker", "broker/packets", "broker/topic"},
	"broker/auth":                {"broker", "broker/packets", "broker/topic"},
	"broker/store":               {"broker", "broker/session", "historian/journal"},
	"broker/server":              {"broker", "broker/packets", "broker/topic", "broker/session", "broker/router", "broker/auth"},
	"broker/brokertest":          {"broker", "broker/packets", "broker/session"},
	"sparkplug":                  {"proto/sparkplugpb"},
	"sparkplug/simulate":         {"sparkplug"},
	"sparkplug/observe":          {"sparkplug", "broker/packets"},
	// only _test.go files import the kit
	"sparkplug/observe/kit": {"sparkplug", "sparkplug/observe", "broker/packets"},
	"sparkplug/uplink":      {"sparkplug", "historian/journal"},
	"historian/chunk":       {"historian/journal"},
	"historian":             {"historian/chunk", "historian/journal"},
	"historian/promql":      {"historian", "historian/journal"},
	"historian/gen":         {"historian/journal"},
	"historian/export":      {"historian", "historian/journal"},
	"ui": {"broker", "broker/auth", "broker/server", "sparkplug", "sparkplug/uplink",
		"historian", "historian/journal", "historian/promql", "historian/export"},
}

// rooms are the folders a library may be used in; a library that is not listed may be used anywhere.
var rooms = map[string][]string{
	"github.com/spf13/viper":              {"cmd/edge"},
	"github.com/gorilla/mux":              {"ui"},
	"github.com/eclipse/paho.golang":      {"sparkplug/uplink", "sparkplug/simulate", "cmd/edge"},
	"github.com/eclipse/paho.mqtt.golang": {"sparkplug/simulate", "sparkplug/observe", "cmd/edge"},
	"google.golang.org/protobuf":          {"proto", "proto/sparkplugpb", "sparkplug"},
	"go.etcd.io/bbolt":                    {"broker/store", "historian"},
	"github.com/prometheus/client_golang": {"ui"},
	"github.com/prometheus/prometheus":    {"historian/promql"},
	"github.com/prometheus/common":        {"historian/promql"},
	"github.com/google/go-cmp":            {},
	"pgregory.net/rapid":                  {},
	"go.uber.org/goleak":                  {},
	"github.com/xdg-go/scram":             {},
	"github.com/chromedp/chromedp":        {},
	"github.com/rogpeppe/go-internal":     {},
	"golang.org/x/crypto":                 {"broker/auth", "cmd/edge"},
	"golang.org/x/text":                   {"broker/auth"},
	"github.com/klauspost/compress":       {"historian", "historian/chunk", "sparkplug", "cmd/edge"},
	"go.yaml.in/yaml/v3":                  {"cmd/edge", "broker/auth"},
	"github.com/go-viper/mapstructure/v2": {"cmd/edge"},
	"github.com/coder/websocket":          {"broker/server"},
	"github.com/parquet-go/parquet-go":    {"historian/export"},
}

// source is one Go file of the house.
type source struct {
	folder, path string // folder relative to the module
	test         bool
	imports      []string
	doc          bool // a comment stands above its package clause
	text         []byte
}

func houseSources(t *testing.T) []source {
	t.Helper()
	root := filepath.Join("..", "..")
	var all []source
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (d.Name() == "testdata" || d.Name() == "node_modules" || path == filepath.Join(root, "packaging", "build") ||
			path == filepath.Join(root, "packaging", "benchmark", "history") || strings.HasPrefix(d.Name(), ".") && path != root) {
			return filepath.SkipDir
		}
		if filepath.Ext(path) == ".go" {
			all = append(all, readSource(t, root, path))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(all) < 20 {
		t.Fatalf("only %d Go files below %s", len(all), root)
	}
	return all
}

func readSource(t *testing.T, root, path string) source {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	f, err := parser.ParseFile(token.NewFileSet(), path, text, parser.ImportsOnly|parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	folder, err := filepath.Rel(root, filepath.Dir(path))
	if err != nil {
		t.Fatal(err)
	}
	s := source{folder: filepath.ToSlash(folder), path: path, test: strings.HasSuffix(path, "_test.go"), doc: f.Doc != nil, text: text}
	for _, i := range f.Imports {
		name, err := strconv.Unquote(i.Path.Value)
		if err != nil {
			t.Fatal(err)
		}
		s.imports = append(s.imports, name)
	}
	return s
}

// TestWhoMayImportWhom holds every import of the house against the table.
func TestWhoMayImportWhom(t *testing.T) {
	for _, s := range houseSources(t) {
		allowed, known := mayImport[s.folder]
		if !known && s.folder != "cmd/edge" {
			t.Errorf("%s: folder %s is not in the table", s.path, s.folder)
		}
		for _, name := range s.imports {
			house, isHouse := strings.CutPrefix(name, "edge/")
			switch {
			case !isHouse || s.test && house != "cmd/edge":
			case house == "broker/brokertest" && s.folder == "sparkplug/observe/kit":
			case house == "broker/brokertest" || house == "historian/gen" || house == "sparkplug/observe/kit" || house == "historian/journal/powercut":
				t.Errorf("%s imports %s; only _test.go files may", s.path, house)
			case s.folder != "cmd/edge" && !slices.Contains(allowed, house):
				t.Errorf("%s: %s must not import %s", s.path, s.folder, house)
			}
		}
	}
}

// TestLibrariesKeepToTheirRooms: what a library does is done in one place. brokertest is for tests only.
func TestLibrariesKeepToTheirRooms(t *testing.T) {
	for _, s := range houseSources(t) {
		for _, name := range s.imports {
			for library, folders := range rooms {
				if (name == library || strings.HasPrefix(name, library+"/")) && !s.test && s.folder != "broker/brokertest" && !slices.Contains(folders, s.folder) {
					t.Errorf("%s: %s is used in %v only", s.path, library, folders)
				}
			}
		}
	}
}

// TestEveryPackageOpensWithADoc and is formatted.
func TestEveryPackageOpensWithADoc(t *testing.T) {
	documented := map[string]bool{}
	for _, s := range houseSources(t) {
		documented[s.folder] = documented[s.folder] || s.doc && !s.test
		if formatted, err := format.Source(s.text); err != nil || !bytes.Equal(formatted, s.text) {
			t.Errorf("%s is not gofmt'ed (%v)", s.path, err)
		}
	}
	for folder, ok := range documented {
		if !ok {
			t.Errorf("no package comment in %s", folder)
		}
	}
}
