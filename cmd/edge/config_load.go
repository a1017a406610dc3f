package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"sort"
	"strings"

	"github.com/spf13/viper"
	"go.yaml.in/yaml/v3"
)

// Problem is one thing wrong with a configuration.
type Problem struct {
	Key     string // dotted, list entries as name[0]
	Line    int    // in the file; 0 when the value came from elsewhere
	Message string // what is wrong and what to do
	Warning bool   // the appliance can run, but not quite as written
}

// String writes the problem as `edge check` prints it.
func (p Problem) String() string {
	where := p.Key
	if p.Line > 0 {
		where = fmt.Sprintf("line %d: %s", p.Line, p.Key)
	}
	if p.Warning {
		return "warning: " + where + ": " + p.Message
	}
	return where + ": " + p.Message
}

// ConfigError holds every problem that refuses a configuration.
type ConfigError struct{ Problems []Problem }

func (e *ConfigError) Error() string {
	lines := make([]string, len(e.Problems))
	for i, p := range e.Problems {
		lines[i] = p.String()
	}
	return strings.Join(lines, "\n")
}

// Loaded is a configuration with what is known of its origin.
type Loaded struct {
	Config   Config
	Sources  map[string]string // key -> "default", "file", "environment EDGE_X", "flag --x"; "file" holds for what is below a list
	Warnings []Problem
}

// override is a value set by a flag.
type override struct{ key, value, source string }

// loadConfig reads a file (none if path is empty), the environment and overrides, and validates the result.
// The error is a *ConfigError with every problem found, or why the file could not be read.
func loadConfig(path string, environ []string, overrides []override) (*Loaded, error) {
	data, err := readConfigFile(path)
	if err != nil {
		return nil, err
	}
	lines, problems := checkYAML(data)
	if lines == nil {
		return nil, &ConfigError{problems}
	}
	v := viper.NewWithOptions(viper.KeyDelimiter("\x00"))
	v.SetConfigType("yaml")
	sources := setDefaults(v)
	if err := v.ReadConfig(bytes.NewReader(data)); err != nil {
		if len(problems) == 0 {
			problems = []Problem{{Key: filepath.Base(path), Message: err.Error()}}
		}
		return nil, &ConfigError{problems}
	}
	for key := range sources {
		if _, ok := lines[key]; ok {
			sources[key] = "file"
		}
	}
	ill := len(problems) > 0 // then decoding fails for what is reported already; the rest is worth a look too
	problems = append(problems, setOverrides(v, sources, append(environmentOverrides(environ, sources), overrides...))...)
	cfg := Config{}
	if err := v.UnmarshalExact(&cfg, decodeOptions); err != nil && !ill {
		problems = append(problems, Problem{Key: filepath.Base(path), Message: err.Error()})
		return nil, &ConfigError{problems}
	}
	cfg.dir = filepath.Dir(path)
	problems, warnings := sortOut(problems, cfg.validate(), lines)
	if len(problems) > 0 {
		return nil, &ConfigError{problems}
	}
	return &Loaded{Config: cfg, Sources: sources, Warnings: warnings}, nil
}

// sortOut adds what validate found to the ill-formed values, in order of lines. What it found at or below one of
// those is a consequence of it and left out.
func sortOut(ill, found []Problem, lines map[string]int) (problems, warnings []Problem) {
	problems = ill
	for _, p := range found {
		p.Line = lineOf(lines, p.Key)
		switch {
		case slices.ContainsFunc(ill, func(q Problem) bool { return isWithin(p.Key, q.Key) }):
		case p.Warning:
			warnings = append(warnings, p)
		default:
			problems = append(problems, p)
		}
	}
	slices.SortStableFunc(problems, func(a, b Problem) int { return a.Line - b.Line })
	return problems, warnings
}

// isWithin tells whether key is block or stands in it.
func isWithin(key, block string) bool {
	rest, ok := strings.CutPrefix(key, block)
	return ok && (rest == "" || rest[0] == '.' || rest[0] == '[')
}

func readConfigFile(path string) ([]byte, error) {
	if path == "" {
		return nil, nil
	}
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("configuration %s does not exist; start from packaging/edge.yaml", path)
	}
	if err != nil {
		return nil, fmt.Errorf("read configuration %s: %w", path, err)
	}
	return data, nil
}

// lineOf finds the line of a key, or of the nearest key above it that stands in the file.
func lineOf(lines map[string]int, key string) int {
	for key != "" {
		if n, ok := lines[key]; ok {
			return n
		}
		cut := strings.LastIndexAny(key, ".[")
		if cut < 0 {
			return 0
		}
		key = key[:cut]
	}
	return 0
}

// checkYAML parses the file and holds it against the shape of Config. It returns the line of every key,
// and every unknown key and ill-formed value.
func checkYAML(data []byte) (lines map[string]int, problems []Problem) {
	var doc yaml.Node
	if err := yaml.Unmarshal(data, &doc); err != nil {
		return nil, []Problem{{Key: "yaml", Message: err.Error()}}
	}
	c := yamlChecker{lines: map[string]int{}}
	if len(doc.Content) > 0 {
		c.value("", doc.Content[0], reflect.TypeFor[Config]())
	}
	return c.lines, c.problems
}

// yamlChecker walks a YAML tree along a Go type.
type yamlChecker struct {
	lines    map[string]int
	problems []Problem
}

func (c *yamlChecker) problem(key string, n *yaml.Node, format string, args ...any) {
	c.problems = append(c.problems, Problem{Key: key, Line: n.Line, Message: fmt.Sprintf(format, args...)})
}

func (c *yamlChecker) value(key string, n *yaml.Node, t reflect.Type) {
	if n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	if key != "" {
		c.lines[key] = n.Line
	}
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch {
	case n.Tag == "!!null":
		c.problem(key, n, "has no value; give one or remove the key")
	case t.Kind() == reflect.Struct:
		c.mapping(key, n, t)
	case t.Kind() == reflect.Slice:
		c.sequence(key, n, t)
	case n.Kind != yaml.ScalarNode:
		c.problem(key, n, "wants %s", kindName(t))
	default:
		if t.Kind() == reflect.String && n.Tag != "!!str" {
			c.problem(key, n, "%s is not text; put it in quotes", n.Value)
		} else if _, err := parseScalar(t, n.Value); err != nil {
			c.problem(key, n, "%v", err)
		}
	}
}

func (c *yamlChecker) mapping(key string, n *yaml.Node, t reflect.Type) {
	if n.Kind != yaml.MappingNode {
		c.problem(key, n, "wants a block of keys: %s", strings.Join(keysOf(t), ", "))
		return
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		k, v := n.Content[i], n.Content[i+1]
		f, ok := fieldOf(t, k.Value)
		full := joinKey(key, k.Value)
		if first, twice := c.lines[full]; twice {
			c.problem(full, k, "stands here and on line %d; remove one", first)
		}
		if !ok {
			c.problem(full, k, "unknown key; known here are %s", strings.Join(keysOf(t), ", "))
			continue
		}
		c.value(full, v, f.Type)
		c.lines[full] = k.Line
	}
}

func (c *yamlChecker) sequence(key string, n *yaml.Node, t reflect.Type) {
	if n.Kind != yaml.SequenceNode {
		c.problem(key, n, "wants a list")
		return
	}
	for i, e := range n.Content {
		c.value(fmt.Sprintf("%s[%d]", key, i), e, t.Elem())
	}
}

func joinKey(parent, name string) string {
	if parent == "" {
		return name
	}
	return parent + "." + name
}

func fieldOf(t reflect.Type, name string) (reflect.StructField, bool) {
	for i := range t.NumField() {
		if f := t.Field(i); f.Tag.Get("mapstructure") == name && name != "" {
			return f, true
		}
	}
	return reflect.StructField{}, false
}

func keysOf(t reflect.Type) []string {
	var keys []string
	for i := range t.NumField() {
		if k := t.Field(i).Tag.Get("mapstructure"); k != "" {
			keys = append(keys, k)
		}
	}
	return keys
}

// setDefaults gives viper every scalar and list outside lists, and returns their keys as sources.
func setDefaults(v *viper.Viper) map[string]string {
	sources := map[string]string{}
	eachLeaf("", reflect.ValueOf(defaultConfig()), func(key string, leaf reflect.Value) {
		v.SetDefault(viperKey(key), plain(leaf))
		sources[key] = "default"
	})
	return sources
}

// eachLeaf calls fn for each field that is not a block, in the order of the struct.
func eachLeaf(prefix string, v reflect.Value, fn func(key string, leaf reflect.Value)) {
	t := v.Type()
	for i := range t.NumField() {
		name := t.Field(i).Tag.Get("mapstructure")
		if name == "" {
			continue
		}
		if key := joinKey(prefix, name); v.Field(i).Kind() == reflect.Struct {
			eachLeaf(key, v.Field(i), fn)
		} else {
			fn(key, v.Field(i))
		}
	}
}

func viperKey(key string) string { return strings.ReplaceAll(key, ".", "\x00") }

// environmentOverrides finds EDGE_A_B for every scalar key a.b outside lists.
func environmentOverrides(environ []string, keys map[string]string) []override {
	byName := map[string]string{}
	for key := range keys {
		byName["EDGE_"+strings.ToUpper(strings.ReplaceAll(key, ".", "_"))] = key
	}
	var found []override
	for _, entry := range environ {
		name, value, _ := strings.Cut(entry, "=")
		if key, ok := byName[name]; ok {
			found = append(found, override{key, value, "environment " + name})
		}
	}
	sort.Slice(found, func(i, j int) bool { return found[i].key < found[j].key })
	return found
}

func setOverrides(v *viper.Viper, sources map[string]string, all []override) (problems []Problem) {
	for _, o := range all {
		t := leafType(o.key)
		if t.Kind() == reflect.Slice {
			if o.key == mqttFlagKey {
				v.Set(viperKey("broker.listeners"), withAddress(v.Get(viperKey("broker.listeners")), o.value))
				sources["broker.listeners"] = o.source
			}
			continue // lists come from the file only
		}
		value, err := parseScalar(t, o.value)
		if err != nil {
			problems = append(problems, Problem{Key: o.key, Message: fmt.Sprintf("%s: %v", o.source, err)})
			continue
		}
		v.Set(viperKey(o.key), value)
		sources[o.key] = o.source
	}
	return problems
}

// mqttFlagKey is the key that --mqtt stands for: the address of the first listener.
const mqttFlagKey = "broker.listeners"

func withAddress(list any, address string) []any {
	entries, _ := list.([]any)
	if len(entries) == 0 {
		return []any{map[string]any{"name": "plant", "address": address, "anonymous": true}}
	}
	first := map[string]any{}
	if m, ok := entries[0].(map[string]any); ok {
		for k, v := range m {
			first[k] = v
		}
	}
	first["address"] = address
	return append([]any{first}, entries[1:]...)
}

func leafType(key string) reflect.Type {
	t := reflect.TypeFor[Config]()
	for name := range strings.SplitSeq(key, ".") {
		f, _ := fieldOf(t, name)
		t = f.Type
	}
	return t
}
