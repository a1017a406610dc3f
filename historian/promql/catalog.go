package promql

import (
	"cmp"
	"context"
	"slices"
	"sync"

	"edge/historian/journal"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
)

// The names of the series and of their labels.
const (
	nameValue = "sparkplug_value"
	nameUp    = "sparkplug_up"

	labelGroup    = "group"
	labelNode     = "node"
	labelDevice   = "device"
	labelMetric   = "metric"
	labelDatatype = "datatype"
)

// datatypes are the numbers among Sparkplug's datatypes, by code.
var datatypes = map[journal.DataType]string{1: "Int8", 2: "Int16", 3: "Int32", 4: "Int64", 5: "UInt8", 6: "UInt16", 7: "UInt32",
	8: "UInt64", 9: "Float", 10: "Double", 11: "Boolean", 13: "DateTime"}

// ref names one series: a metric, or with metric empty the life of a node or device.
type ref struct {
	group, node, device, metric string
	datatype                    string
}

// label is the value of one label; "" for what the series does not have.
func (r *ref) label(name string) string {
	switch name {
	case model.MetricNameLabel:
		if r.metric == "" {
			return nameUp
		}
		return nameValue
	case labelGroup:
		return r.group
	case labelNode:
		return r.node
	case labelDevice:
		return r.device
	case labelMetric:
		return r.metric
	case labelDatatype:
		return r.datatype
	}
	return ""
}

// labelNames are the names of all labels, in the order of labels.Labels.
var labelNames = [...]string{model.MetricNameLabel, labelDatatype, labelDevice, labelGroup, labelMetric, labelNode}

func (r *ref) labels(b *labels.ScratchBuilder) labels.Labels {
	b.Reset()
	for _, name := range labelNames {
		if v := r.label(name); v != "" {
			b.Add(name, v)
		}
	}
	return b.Labels()
}

// member is a metric of an owner.
type member struct{ name, datatype string }

// owner is a node or a device, with its metrics.
type owner struct {
	group, node, device string
	metrics             []member // by name
}

// catalog lists all series, owner by owner. A copy is kept as long as the store has no others.
type catalog struct {
	store Store

	mu     sync.Mutex
	count  int
	last   journal.SeriesID
	owners []owner // by group, node, device; never changed once made
}

func (c *catalog) list() []owner {
	n, last := c.store.SeriesCount()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.owners == nil || c.count != n || c.last != last {
		c.count, c.last, c.owners = n, last, gather(c.store.Metrics())
	}
	return c.owners
}

// gather sorts series into owners. Of a metric's type epochs the newest number names its datatype.
func gather(all []journal.Schema) []owner {
	list := make([]journal.SeriesKey, len(all))
	for i := range all { // by number: of equal ones the newest comes last
		list[i] = all[i].Key
	}
	slices.SortStableFunc(list, func(a, b journal.SeriesKey) int {
		return cmp.Or(cmp.Compare(a.Group, b.Group), cmp.Compare(a.Node, b.Node), cmp.Compare(a.Device, b.Device), cmp.Compare(a.Metric, b.Metric))
	})
	var out []owner
	for _, k := range list {
		n := len(out)
		sameNode := n > 0 && out[n-1].group == k.Group && out[n-1].node == k.Node
		if !sameNode && k.Device != "" { // a node without metrics lives as well
			out = append(out, owner{group: k.Group, node: k.Node})
		}
		if !sameNode || out[n-1].device != k.Device {
			out = append(out, owner{group: k.Group, node: k.Node, device: k.Device})
		}
		o := &out[len(out)-1]
		kind, number := datatypes[k.Type]
		if m := len(o.metrics); !number || k.Metric == "" {
			continue
		} else if m > 0 && o.metrics[m-1].name == k.Metric {
			o.metrics[m-1].datatype = kind
		} else {
			o.metrics = append(o.metrics, member{k.Metric, kind})
		}
	}
	return out
}

// match calls f with every series that all matchers match, until f returns false. What a matcher says of an owner it is asked once.
func (c *catalog) match(ctx context.Context, matchers []*labels.Matcher, f func(ref) bool) error {
	var ofOwner, ofMetric []*labels.Matcher
	for _, m := range matchers {
		switch m.Name {
		case labelGroup, labelNode, labelDevice:
			ofOwner = append(ofOwner, m)
		default:
			ofMetric = append(ofMetric, m)
		}
	}
	for _, o := range c.list() {
		if err := ctx.Err(); err != nil {
			return err
		}
		r := ref{group: o.group, node: o.node, device: o.device}
		if !matches(&r, ofOwner) {
			continue
		}
		if matches(&r, ofMetric) && !f(r) {
			return nil
		}
		for _, m := range o.metrics {
			r.metric, r.datatype = m.name, m.datatype
			if matches(&r, ofMetric) && !f(r) {
				return nil
			}
		}
	}
	return nil
}

func matches(r *ref, matchers []*labels.Matcher) bool {
	for _, m := range matchers {
		if !m.Matches(r.label(m.Name)) {
			return false
		}
	}
	return true
}
