package observe

import (
	"encoding/json"

	"edge/sparkplug"
)

// template is a definition or an instance as its metric's value says.
type template struct {
	Ref          string `json:"template_ref"`
	IsDefinition bool   `json:"is_definition"`
	Metrics      []struct{ Name string }
	Parameters   []struct{ Name string }
}

// readTemplate returns nil for a null.
func readTemplate(m *sparkplug.Metric) *template {
	if m.Value.Null {
		return nil
	}
	t := &template{}
	if json.Unmarshal(sparkplug.AppendJSON(nil, m.Value), t) != nil {
		return nil
	}
	return t
}

func (t *template) has(member string) bool {
	for i := range t.Metrics {
		if t.Metrics[i].Name == member {
			return true
		}
	}
	return false
}

func (t *template) takes(parameter string) bool {
	for i := range t.Parameters {
		if t.Parameters[i].Name == parameter {
			return true
		}
	}
	return false
}

// maxDefinitions bounds what is remembered of one node.
const maxDefinitions = 1000

// definition remembers a template's definition, which an NBIRTH alone may bring.
func (o *Observer) definition(n *node, m *sparkplug.Metric) {
	t := readTemplate(m)
	if t == nil || !t.IsDefinition || len(n.definitions) >= maxDefinitions {
		return
	}
	n.definitions[m.Name] = t
	o.check(true, "payloads-template-definition-nbirth-only payloads-template-definition-is-definition payloads-template-is-definition-definition", "")
	o.unless("payloads-template-definition-ref payloads-template-ref-definition payloads-template-is-definition payloads-template-version")
	if len(t.Parameters) > 0 {
		o.unless("payloads-template-parameter-name-required payloads-template-parameter-name-type payloads-template-parameter-value-type " +
			"payloads-template-parameter-type-value payloads-template-parameter-type-req payloads-template-parameter-value " +
			"payloads-template-definition-parameters-default")
	}
}

// instance holds a template's instance against its definition.
func (o *Observer) instance(n *node, m *sparkplug.Metric, birth bool) {
	t := readTemplate(m)
	if t == nil {
		return
	}
	if t.IsDefinition {
		o.check(n.definitions[m.Name] != nil, "payloads-template-definition-nbirth-only", "the definition %.80q is not in the NBIRTH", m.Name)
		return
	}
	o.check(true, "payloads-template-instance-is-definition payloads-template-is-definition-instance", "")
	o.unless("payloads-template-instance-ref payloads-template-ref-instance payloads-template-is-definition payloads-template-version")
	if !n.alive {
		return
	}
	d := n.definitions[t.Ref]
	o.check(d != nil, "payloads-template-definition-nbirth topics-nbirth-templates", "%.80q: its template %.80q is not defined in the NBIRTH", m.Name, t.Ref)
	if d == nil {
		return
	}
	for i := range t.Metrics {
		o.check(d.has(t.Metrics[i].Name), "payloads-template-instance-members payloads-template-definition-members",
			"%.80q has a member %.80q that its template has not", m.Name, t.Metrics[i].Name)
	}
	for i := range t.Parameters {
		o.check(d.takes(t.Parameters[i].Name), "payloads-template-definition-parameters payloads-template-instance-parameters",
			"%.80q has a parameter %.80q that its template has not", m.Name, t.Parameters[i].Name)
	}
	if !birth {
		o.check(true, "payloads-template-instance-members-data", "")
		return
	}
	for i := range d.Metrics {
		o.check(t.has(d.Metrics[i].Name), "payloads-template-instance-members-birth", "%.80q lacks the member %.80q of its template", m.Name, d.Metrics[i].Name)
	}
}
