package sparkplug

import (
	"bytes"
	"fmt"
	"strings"
)

// definitionCost is what a definition takes in memory beside its name and bytes, about.
const definitionCost = 128

// define keeps a template's definition until the next birth of the node.
func (s *step) define(n *node, pm *Metric) {
	s.undefine(n, pm.Name)
	cost := definitionCost + len(pm.Name) + len(pm.Value.Bytes)
	if s.h.full(cost) {
		s.h.stats.Refused++
		s.warn(n, "more template definitions than there is room for; their instances are shown as they come")
		return
	}
	if n.definitions == nil {
		n.definitions = Definitions{}
	}
	s.h.bytes += cost
	s.defined(n)
	n.definitions[strings.Clone(pm.Name)] = bytes.Clone(pm.Value.Bytes)
}

func (s *step) undefine(n *node, name string) {
	if b, ok := n.definitions[name]; ok {
		s.h.bytes -= definitionCost + len(name) + len(b)
		delete(n.definitions, name)
		s.defined(n)
	}
}

// defined has a node's definitions read again.
func (s *step) defined(n *node) {
	if s.completes == n {
		s.completes = nil
	}
}

// completion returns that of the step, with what is left of its room.
func (s *step) completion(n *node) *completion {
	switch {
	case s.completing == nil:
		s.completing = newCompletion(n.definitions, s.h.o.Limits)
	case s.completes != n:
		s.completing.defs, s.completing.read = n.definitions, nil
	}
	s.completes = n
	return s.completing
}

// undefineAll forgets a node's definitions.
func (s *step) undefineAll(n *node) {
	for name := range n.definitions {
		s.undefine(n, name)
	}
}

// whole makes of what a message carries for a metric what that stands for: an instance of a template with all its members, a
// file of its parts. ok is false for a part that does not end its file: the metric stays as it is.
//
// An instance that is historical is completed by its definition alone: it is older than the last whole one.
func (s *step) whole(m *metric, pm *Metric, v Value, birth bool) (_ Value, ok bool) {
	if v.Type == Template {
		return s.wholeTemplate(m, pm, v, birth), true
	}
	md, err := ParseMetadata(pm.Metadata)
	if err != nil || !md.MultiPart || v.Type != Bytes && v.Type != File {
		return v, true
	}
	file, problem := s.h.files.Add(m, md, v.Bytes, s.now)
	s.h.due = earliest(s.h.due, s.h.files.Due())
	if problem != "" {
		s.fileProblem(m, problem)
	}
	v.Bytes = file
	return v, file != nil
}

func (s *step) wholeTemplate(m *metric, pm *Metric, v Value, birth bool) Value {
	n := m.device.node
	var (
		whole    Value
		problems []string
		err      error
	)
	switch {
	case birth:
		whole, problems, err = s.completion(n).born(v)
	case pm.Historical:
		whole, problems, err = s.completion(n).merged(Value{Null: true}, v)
	default:
		whole, problems, err = s.completion(n).merged(m.value, v)
	}
	if err != nil {
		s.warn(n, fmt.Sprintf("template %.80q: %v", m.name, err))
	}
	for _, text := range problems {
		s.warn(n, text)
	}
	return whole
}

// lateFiles tells of files whose next part did not come.
func (s *step) lateFiles() { s.h.files.Expire(s.now, s.fileProblem) }

func (s *step) fileProblem(m *metric, problem string) {
	s.warn(m.device.node, fmt.Sprintf("metric %.80q: %s", m.name, problem))
}
