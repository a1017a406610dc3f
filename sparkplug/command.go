package sparkplug

import (
	"fmt"
	"time"
)

// CommandMessage returns the NCMD or DCMD that writes v to a metric: by alias alone if the metric has one, except for
// Node Control/*, which goes by name; in the field the peer itself uses; without seq, QoS 0, not retained. The
// datatype goes with it for the sake of peers that decode nothing without it.
// [tck-id-payloads-alias-data-cmd-requirement] [tck-id-operational-behavior-data-commands-ncmd-metric-value]
func CommandMessage(m MetricView, v Value, now time.Time) (Publish, error) {
	if v.Type != m.Type {
		return Publish{}, fmt.Errorf("write %s to %q: it is %s", v.Type, m.Name, m.Type)
	}
	if v.Null {
		return Publish{}, fmt.Errorf("write null to %q: a command carries a value", m.Name)
	}
	c := Metric{Name: m.Name, Type: m.Type, Value: v, Field: m.Field, Timestamp: Millis(now), HasTimestamp: true}
	if m.HasAlias && !IsControl(m.Name) {
		c.Name, c.Alias, c.HasAlias = "", m.Alias, true
	}
	t := Topic{Type: NCMD, Group: m.Group, Node: m.Node}
	if m.Device != "" {
		t.Type, t.Device = DCMD, m.Device
	}
	p := Payload{Timestamp: Millis(now), HasTimestamp: true, Metrics: []Metric{c}}
	return Publish{Topic: t.String(), Payload: Encode(&p)}, nil
}
