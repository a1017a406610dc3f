package auth

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"go.yaml.in/yaml/v3"
)

// maxFileBytes bounds users.yaml and acl.yaml.
const maxFileBytes = 4 << 20

// document reads one YAML file and gathers every problem with its line.
type document struct {
	file     string
	problems []error
}

func (d *document) problem(n *yaml.Node, format string, args ...any) {
	d.problems = append(d.problems, fmt.Errorf("%s:%d: %s", d.file, n.Line, fmt.Sprintf(format, args...)))
}

// readList opens file and calls item for each entry of its one list, which stands under key. An error that wraps
// fs.ErrNotExist says that there is no such file.
func (d *document) readList(key string, item func(*yaml.Node)) error {
	if d.file == "" {
		return os.ErrNotExist
	}
	text, err := readFile(d.file)
	if err != nil {
		return err
	}
	var root yaml.Node
	if err := yaml.Unmarshal(text, &root); err != nil {
		return fmt.Errorf("%s: %w", d.file, err)
	}
	if root.Kind != yaml.DocumentNode {
		return fmt.Errorf("%s:1: the file is empty; write \"%s: []\" if nobody is meant", d.file, key)
	}
	found := false
	d.mapping(root.Content[0], map[string]func(*yaml.Node){key: func(list *yaml.Node) {
		found = true
		d.list(list, item)
	}})
	if !found && len(d.problems) == 0 {
		d.problem(root.Content[0], "%s is missing", key)
	}
	return errors.Join(d.problems...)
}

// readFile returns the text of a file that ends with a newline: one that does not was cut off while it was written or copied.
func readFile(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxFileBytes+1))
	if err != nil {
		return nil, err
	}
	if len(text) > maxFileBytes {
		return nil, fmt.Errorf("%s: longer than %d bytes", name, maxFileBytes)
	}
	if len(text) > 0 && text[len(text)-1] != '\n' {
		return nil, fmt.Errorf("%s:%d: no newline at the end: the file is cut off", name, 1+strings.Count(string(text), "\n"))
	}
	return text, nil
}

// mapping calls the field function of each key of n. Keys without one, and keys that come twice, are problems.
func (d *document) mapping(n *yaml.Node, fields map[string]func(*yaml.Node)) {
	if n.Kind != yaml.MappingNode {
		d.problem(n, "expected key: value")
		return
	}
	seen := make(map[string]bool)
	for i := 0; i+1 < len(n.Content); i += 2 {
		key := n.Content[i]
		field := fields[key.Value]
		switch {
		case field == nil:
			d.problem(key, "unknown key %q", key.Value)
		case seen[key.Value]:
			d.problem(key, "%s comes twice", key.Value)
		default:
			field(n.Content[i+1])
		}
		seen[key.Value] = true
	}
}

func (d *document) list(n *yaml.Node, item func(*yaml.Node)) {
	if n.Kind != yaml.SequenceNode {
		d.problem(n, "expected a list")
		return
	}
	for _, entry := range n.Content {
		item(entry)
	}
}

// text returns a field function that stores a string that is not empty.
func (d *document) text(into *string) func(*yaml.Node) {
	return func(n *yaml.Node) {
		if n.Kind != yaml.ScalarNode || n.Value == "" || n.Tag == "!!null" {
			d.problem(n, "expected a text")
			return
		}
		*into = n.Value
	}
}

func (d *document) texts(into *[]string) func(*yaml.Node) {
	return func(n *yaml.Node) {
		d.list(n, func(entry *yaml.Node) {
			var s string
			d.text(&s)(entry)
			*into = append(*into, s)
		})
		if len(*into) == 0 {
			d.problem(n, "the list is empty; leave the key out")
		}
	}
}
