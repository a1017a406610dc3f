package uplink

import (
	"bytes"
	"math"
	"slices"
	"time"

	"edge/historian/journal"
	"edge/sparkplug"
)

// Bounds of what one plant node may make us remember.
const (
	maxDevices = 1000
	maxFormer  = 10_000
)

// A model is what the journal says of one plant node: what its births declared, and the current values.
type model struct {
	born    bool // by a birth since the appliance started, and not dead since
	diedAt  time.Time
	death   string
	node    metricSet
	devices map[string]*metricSet
	order   []string // of the devices, as they were first born
	restate bool     // a DBIRTH defined a template anew: the next births have to come before what follows it
}

// A metricSet is the metrics of a node or of a device. It stays after a death, for the history that is still owed.
type metricSet struct {
	born   bool
	list   []*metric // in the order of the birth
	byName map[string]*metric
	former []former // in no birth any more, but perhaps in the backlog

	definitions []*metric // of templates, in a DBIRTH: upstream they go into the NBIRTH
}

// A metric is one metric of the current birth, with its current value.
type metric struct {
	m       sparkplug.Metric // as born: name, type, properties, metadata; value and time stamp are the current ones
	quality journal.Quality
}

// A former metric is declared upstream as null until its history is sent.
type former struct {
	name string
	typ  sparkplug.DataType
}

func newModel() model { return model{devices: map[string]*metricSet{}} }

// set returns the metrics of the node (device empty) or of a device, nil if there are none.
func (m *model) set(device string) *metricSet {
	if device == "" {
		return &m.node
	}
	return m.devices[device]
}

// ensure is set for a device that may be new; nil when there are too many.
func (m *model) ensure(device string) *metricSet {
	if device == "" {
		return &m.node
	}
	s := m.devices[device]
	if s == nil && len(m.devices) < maxDevices {
		s = &metricSet{}
		m.devices[device] = s
		m.order = append(m.order, device)
	}
	return s
}

// nodeBirth takes an NBIRTH: the devices are not born again until their own. [tck-id-message-flow-device-birth-publish-nbirth-wait]
func (m *model) nodeBirth(p *sparkplug.Payload, fresh, owes bool) {
	m.born = fresh
	m.node.replace(p, owes)
	for _, d := range m.devices {
		d.born = false
	}
}

// deviceBirth takes a DBIRTH.
func (m *model) deviceBirth(device string, p *sparkplug.Payload, owes bool) {
	s := m.ensure(device)
	if s == nil {
		return
	}
	s.replace(p, owes)
	old := s.definitions
	s.takeDefinitions()
	same := func(a, b *metric) bool { return a.m.Name == b.m.Name && bytes.Equal(a.m.Value.Bytes, b.m.Value.Bytes) }
	m.restate = m.restate || len(s.definitions) > 0 && !slices.EqualFunc(old, s.definitions, same)
}

// takeDefinitions takes the definitions of templates out of a device's birth.
func (s *metricSet) takeDefinitions() {
	s.definitions = nil
	s.list = slices.DeleteFunc(s.list, func(c *metric) bool {
		if t, err := sparkplug.ParseTemplate(c.m.Value, sparkplug.Limits{}); err != nil || !t.IsDefinition {
			return false
		}
		delete(s.byName, c.m.Name)
		s.definitions = append(s.definitions, c)
		return true
	})
}

// strays returns the definitions that the devices' births have and the node's has not, each name once.
// [tck-id-payloads-template-definition-nbirth-only]
func (m *model) strays() (list []*metric) {
	named := map[string]bool{}
	for _, d := range m.order {
		for _, c := range m.devices[d].definitions {
			if !named[c.m.Name] && m.node.byName[c.m.Name] == nil {
				named[c.m.Name], list = true, append(list, c)
			}
		}
	}
	return list
}

// nodeDeath and deviceDeath keep the metrics: history may be owed for them.
func (m *model) nodeDeath(at time.Time, reason string) {
	m.born, m.diedAt, m.death = false, at, reason
	m.node.born = false
	for _, d := range m.devices {
		d.born = false
	}
}

func (m *model) deviceDeath(device string) {
	if s := m.devices[device]; s != nil {
		s.born = false
	}
}

// replace takes a birth's metrics. What the last birth had and this one has not stays declared while the node owes
// samples.
func (s *metricSet) replace(p *sparkplug.Payload, owes bool) {
	old := s.byName
	s.born = true
	s.list, s.byName = nil, make(map[string]*metric, len(p.Metrics))
	for i := range p.Metrics {
		pm := p.Metrics[i]
		if pm.Name == "" || pm.Name == sparkplug.NameBdSeq || s.byName[pm.Name] != nil {
			continue
		}
		if !pm.HasTimestamp {
			pm.Timestamp, pm.HasTimestamp = p.Timestamp, p.HasTimestamp
		}
		pm.Relayed(sparkplug.Limits{})
		n := &metric{m: pm, quality: takeQuality(&pm)}
		n.m.Properties = pm.Properties
		s.list = append(s.list, n)
		s.byName[pm.Name] = n
	}
	s.former = slices.DeleteFunc(s.former, func(f former) bool { return s.byName[f.name] != nil })
	if owes {
		for name, o := range old {
			if s.byName[name] == nil {
				s.addFormer(name, o.m.Type)
			}
		}
	}
}

// addFormer declares a metric that only the backlog knows.
func (s *metricSet) addFormer(name string, typ sparkplug.DataType) bool {
	if len(s.former) >= maxFormer || s.declares(name) {
		return false
	}
	s.former = append(s.former, former{name, typ})
	return true
}

// declares tells whether the next birth would name the metric.
func (s *metricSet) declares(name string) bool {
	if s == nil {
		return false
	}
	if s.byName[name] != nil {
		return true
	}
	return slices.ContainsFunc(s.former, func(f former) bool { return f.name == name })
}

// takeQuality takes the Quality property out of a metric's properties and returns it.
func takeQuality(m *sparkplug.Metric) journal.Quality {
	q := journal.Good
	if v, ok := m.Property("Quality"); ok {
		code, _ := sparkplug.QualityCode(v)
		q = journal.Quality(code)
		m.Properties = slices.DeleteFunc(slices.Clone(m.Properties), func(p sparkplug.Property) bool { return p.Key == "Quality" })
		if len(m.Properties) == 0 {
			m.Properties = nil
		}
	}
	return q
}

// apply makes a live sample the current value. It returns the metric, nil if the birth does not have it so.
func (m *model) apply(device, name string, s *journal.Sample) *metric {
	set := m.set(device)
	if set == nil {
		return nil
	}
	c := set.byName[name]
	if c == nil || c.m.Type != sparkplug.DataType(s.Value.Type) {
		return nil
	}
	v := valueOf(s.Value)
	if v.Type == sparkplug.Template && !v.Null {
		v = m.whole(c.m.Value, v)
	}
	c.m.Value, c.m.Missing = v, false
	c.m.Timestamp, c.m.HasTimestamp = uint64(max(0, s.At)), true
	c.quality = s.Quality
	return c
}

// dataMetric is a metric of an NDATA or DDATA: by name, without datatype.
// [tck-id-payloads-name-birth-data-requirement] [tck-id-payloads-metric-datatype-not-req]
func dataMetric(name string, v sparkplug.Value, at journal.Millis, q journal.Quality, historical bool) sparkplug.Metric {
	m := sparkplug.Metric{Name: name, Value: v, Historical: historical, Timestamp: uint64(max(0, at)), HasTimestamp: true}
	setQuality(&m, q)
	return m
}

// whole completes an instance of a template that names some of its members only, since a birth has all of them.
// [tck-id-payloads-template-instance-members-birth]
func (m *model) whole(last, part sparkplug.Value) sparkplug.Value {
	definitions := sparkplug.Definitions{}
	for _, c := range append(m.strays(), m.node.list...) {
		if c.m.Type == sparkplug.Template && !c.m.Value.Null {
			definitions[c.m.Name] = c.m.Value.Bytes // an instance among them defines nothing
		}
	}
	if v, _, err := definitions.Merged(last, part, sparkplug.Limits{}); err == nil {
		return v
	}
	return part
}

// setQuality adds the Quality property; a good value goes without. Sparkplug has no word for a value that is uncertain, whoever
// says so, the appliance or the device with a code of its own: it is sent as stale, which nobody takes for good.
// [tck-id-payloads-propertyset-quality-value-type] [tck-id-payloads-propertyset-quality-value-value]
func setQuality(m *sparkplug.Metric, q journal.Quality) {
	switch q {
	case journal.Good:
		return
	case journal.Bad, journal.Stale:
	default:
		q = journal.Stale
	}
	m.Properties = append(slices.Clone(m.Properties), sparkplug.Property{Key: "Quality",
		Value: sparkplug.Value{Type: sparkplug.Int32, Num: uint64(q)}})
}

func valueOf(v journal.Value) sparkplug.Value {
	out := sparkplug.Value{Type: sparkplug.DataType(v.Type), Null: v.Null, Num: v.Num, Bytes: v.Bytes}
	if out.Type == sparkplug.Template {
		out = sparkplug.Unaliased(out, sparkplug.Limits{})
	}
	return out
}

// widen returns v as a value of another datatype if nothing is lost by it. History from before a datatype changed
// is sent so, or not at all.
func widen(v sparkplug.Value, to sparkplug.DataType) (sparkplug.Value, bool) {
	if v.Type == to || v.Null {
		v.Type = to
		return v, true
	}
	w := sparkplug.Value{Type: to, Num: v.Num, Bytes: v.Bytes}
	signed := v.Type >= sparkplug.Int8 && v.Type <= sparkplug.Int64
	unsigned := v.Type >= sparkplug.UInt8 && v.Type <= sparkplug.UInt64
	text := func(t sparkplug.DataType) bool {
		return t == sparkplug.String || t == sparkplug.Text || t == sparkplug.UUID
	}
	switch {
	case (signed || unsigned) && to >= sparkplug.Int8 && to <= sparkplug.Int64:
		bits := 8 << (to - sparkplug.Int8)
		n := int64(v.Num)
		return w, (signed || n >= 0) && n == n<<(64-bits)>>(64-bits)
	case (signed || unsigned) && to >= sparkplug.UInt8 && to <= sparkplug.UInt64:
		bits := 8 << (to - sparkplug.UInt8)
		return w, (unsigned || int64(v.Num) >= 0) && v.Num == v.Num<<(64-bits)>>(64-bits)
	case v.Type == sparkplug.Float && to == sparkplug.Double:
		w.Num = math.Float64bits(float64(math.Float32frombits(uint32(v.Num))))
		return w, true
	case signed && to == sparkplug.Double:
		n := int64(v.Num)
		w.Num = math.Float64bits(float64(n))
		return w, -1<<53 <= n && n <= 1<<53
	case unsigned && to == sparkplug.Double:
		w.Num = math.Float64bits(float64(v.Num))
		return w, v.Num <= 1<<53
	case text(v.Type) && (to == sparkplug.String || to == sparkplug.Text):
		return w, true
	}
	return sparkplug.Value{}, false
}
