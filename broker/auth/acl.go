package auth

import (
	"strings"

	"go.yaml.in/yaml/v3"

	"edge/broker/topic"
)

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
		d.unless(n, s != aware && !strings.HasPrefix(s, aware+"/"),
			"filter %q: who may read a birth may read its certificate, and nobody publishes there; name the births below spBv1.0/ instead", s)
		list = append(list, newPattern(f))
	}
	return list
}
