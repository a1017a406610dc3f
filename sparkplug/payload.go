package sparkplug

import (
	"errors"
	"fmt"
)

// Limits bound what Decode accepts. A zero field takes its default; nothing is ever unlimited.
type Limits struct {
	Bytes    int // of a payload; default 16 MiB
	Metrics  int // in a payload, members of templates included; default 50,000
	Cells    int // properties, data sets' columns, rows and cells, templates' parameters in a payload; default 4 for each metric
	Depth    int // of templates and property sets in each other; default 16
	Name     int // bytes of a metric's name, a property's key and other short texts; default 4,096
	Text     int // bytes of a text as a value; default 1 MiB
	Inflated int // bytes of a compressed body once inflated; default 16 MiB
}

func (l Limits) withDefaults() Limits {
	for _, f := range [...]struct {
		field *int
		value int
	}{{&l.Bytes, 16 << 20}, {&l.Metrics, 50_000}, {&l.Depth, 16}, {&l.Name, 4096}, {&l.Text, 1 << 20}, {&l.Inflated, 16 << 20}} {
		if *f.field <= 0 {
			*f.field = f.value
		}
	}
	if l.Cells <= 0 {
		l.Cells = 4 * l.Metrics
	}
	return l
}

// ErrPayload is under every error of Decode that says the bytes are not a Sparkplug payload;
// ErrLimit under those that say it exceeds a limit.
var (
	ErrPayload = errors.New("not a Sparkplug payload")
	ErrLimit   = errors.New("exceeds a limit")
)

func malformed(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{ErrPayload}, args...)...)
}

func overLimit(what string, limit int) error {
	return fmt.Errorf("%w: %s over %d", ErrLimit, what, limit)
}

// Payload is a Sparkplug B payload. Fields that begin with Has tell presence on the wire.
type Payload struct {
	Timestamp    uint64 // ms since 1970 UTC
	HasTimestamp bool
	Seq          uint64 // 0 to 255 if the sender is right
	HasSeq       bool
	Metrics      []Metric
	UUID         string
	Body         []byte
	Compressed   bool     // Decode found a compressed payload in Body; Metrics are those of the inner one
	Unknown      []byte   // fields of extension ranges, as they came; Encode appends them
	Problems     []string // Decode: what the sender did wrong but the reader can live with; at most 8
	Names        *Names   // Decode: nil: every name is a string of its own
}

// Field is the member of Metric.value that a value travels in. Peers differ for UInt32.
type Field uint8

// The members of the oneof, with their field numbers in Metric.
const (
	FieldNone      Field = 0
	FieldInt       Field = 10
	FieldLong      Field = 11
	FieldFloat     Field = 12
	FieldDouble    Field = 13
	FieldBoolean   Field = 14
	FieldString    Field = 15
	FieldBytes     Field = 16
	FieldDataSet   Field = 17
	FieldTemplate  Field = 18
	FieldExtension Field = 19
)

// String is the member's name in the protocol buffer, such as string_value.
func (f Field) String() string {
	if f >= FieldInt && int(f-FieldInt) < len(fieldNames) {
		return fieldNames[f-FieldInt]
	}
	return "no value"
}

var fieldNames = [...]string{"int_value", "long_value", "float_value", "double_value", "boolean_value", "string_value", "bytes_value",
	"dataset_value", "template_value", "extension_value"}

// Metric is one metric of a payload.
//
// Type 0 means that the message names no datatype, as DATA and commands usually do; then Value.Type is
// Unknown too, Value.Num or Value.Bytes hold what Field carried, and As gives the value once the
// datatype is known from the birth. Value is also left so if the field does not fit the datatype.
type Metric struct {
	Name         string
	Alias        uint64
	HasAlias     bool
	HasTimestamp bool
	Historical   bool
	Transient    bool
	Missing      bool     // neither a value nor is_null: Value is null, and Encode writes neither
	Type         DataType // 0: not in the message
	Field        Field    // decoded: the member the sender used; encoding: UInt32 follows it, others ignore it
	Timestamp    uint64   // ms since 1970 UTC
	Value        Value
	Properties   []Property
	Metadata     []byte // the MetaData message's bytes, nil if absent; ParseMetadata reads them

	// Fields this schema does not know, as they came; Encode appends them: of the metric, of its property set.
	Unknown, PropertiesUnknown []byte
}

// Property is one entry of a property set. Nested sets and lists stay protobuf bytes in Value.Bytes, which
// ParseProperties and ParsePropertyList read. Field is the member's number as in Metric, also here; 20 and 21 stand
// for the nested kinds.
type Property struct {
	Key     string
	Value   Value
	Field   Field
	Type    DataType // as sent, if the value does not fit it: Value is then what Field carried, its Type is Unknown
	Unknown []byte   // fields this schema does not know, as they came; Encode appends them
}

// Nested members of PropertyValue.
const (
	FieldPropertySet  Field = 20
	FieldPropertySets Field = 21
)

// Property returns the value of a metric's property by key.
func (m *Metric) Property(key string) (Value, bool) {
	for i := range m.Properties {
		if m.Properties[i].Key == key {
			return m.Properties[i].Value, true
		}
	}
	return Value{}, false
}

// problem notes what the sender did wrong.
func (p *Payload) problem(text string) {
	if len(p.Problems) < 8 {
		for _, old := range p.Problems {
			if old == text {
				return
			}
		}
		p.Problems = append(p.Problems, text)
	}
}
