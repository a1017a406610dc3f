package auth

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"go.yaml.in/yaml/v3"

	"edge/broker/topic"
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

// readRules reads acl.yaml:
//
//	rules:
//	  - {user: press, role: sparkplug-node, group: Plant, node: Press}
//	  - {user: scada, role: sparkplug-host, host_id: scada, groups: [Plant], commands: true}
//	  - {user: "*", publish: ["tools/%u/#"], subscribe: ["tools/%u/#", "public/#"]}
func readRules(file string) ([]rule, error) {
	d := &document{file: file}
	var rules []rule
	err := d.readList("rules", func(n *yaml.Node) { rules = append(rules, d.rule(n)) })
	return rules, err
}

func (d *document) rule(n *yaml.Node) rule {
	var name, role, group, node, hostID string
	var groups, publish, subscribe []string
	var commands bool
	d.mapping(n, map[string]func(*yaml.Node){
		"user": d.text(&name), "role": d.text(&role), "group": d.text(&group), "node": d.text(&node),
		"host_id": d.text(&hostID), "groups": d.texts(&groups), "publish": d.texts(&publish), "subscribe": d.texts(&subscribe),
		"commands": func(n *yaml.Node) {
			if n.Decode(&commands) != nil {
				d.problem(n, "commands is true or false")
			}
		},
	})
	if name == "" {
		d.problem(n, "user is missing")
	}
	r := rule{}
	switch role {
	case "":
		d.unless(n, group+node+hostID == "" && groups == nil && !commands, "group, node, host_id, groups and commands need a role")
		d.unless(n, len(publish)+len(subscribe) > 0, "the rule allows nothing: role, publish or subscribe is missing")
	case "sparkplug-node":
		d.unless(n, hostID == "" && groups == nil && !commands, "host_id, groups and commands are for sparkplug-host")
		d.unless(n, plainName(group) && plainName(node), "sparkplug-node needs group and node, without + # / $ %%")
		r = sparkplugNode(group, node)
	case "sparkplug-host":
		d.unless(n, group+node == "", "group and node are for sparkplug-node")
		d.unless(n, plainName(hostID), "sparkplug-host needs host_id, without + # / $ %%")
		for _, g := range groups {
			d.unless(n, plainName(g), "group %q holds one of + # / $ %%", g)
		}
		r = sparkplugHost(hostID, groups, commands)
	default:
		d.problem(n, "role %q is neither sparkplug-node nor sparkplug-host", role)
	}
	r.user = name
	r.publish = append(r.publish, d.patterns(n, publish)...)
	r.subscribe = append(r.subscribe, d.patterns(n, subscribe)...)
	return r
}

func (d *document) unless(n *yaml.Node, good bool, format string, args ...any) {
	if !good {
		d.problem(n, format, args...)
	}
}

func (d *document) patterns(n *yaml.Node, filters []string) (list []pattern) {
	for _, s := range filters {
		f := topic.Filter(s)
		if err := f.Validate(0); err != nil {
			d.problem(n, "filter %q: %v", s, err)
		}
		list = append(list, pattern{filter: f, hasNames: strings.Contains(s, "%u") || strings.Contains(s, "%c")})
	}
	return list
}
