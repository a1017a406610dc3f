package journal

import (
	"crypto/sha256"
	"encoding/base64"
	"math"
)

// Index is a position in the journal. The first is 1; 0 means none. Every record takes one index,
// a record of N samples takes N consecutive ones, so that each sample has an index of its own.
type Index uint64

// Millis is a time in milliseconds since 1970-01-01 UTC.
type Millis int64

// SeriesID numbers one type epoch of one metric. It is given once and never reused; 0 is none.
type SeriesID uint32

// DataType is a Sparkplug datatype code, 1 to 34 (specification 3.0, section 6.4.16).
type DataType uint8

// Quality is the quality of a sample, in Sparkplug's codes.
type Quality uint16

// The qualities of Sparkplug's Quality property (chapter 6, "Quality Codes"); a sample without one is Good.
const (
	Bad   Quality = 0
	Good  Quality = 192
	Stale Quality = 500
)

// Value is one typed value. The zero Value has no type.
//
//	integers      Num, two's complement, sign-extended to 64 bits
//	Float         Num = math.Float32bits; Double: Num = math.Float64bits
//	Boolean       Num 0 or 1
//	DateTime      Num, milliseconds since 1970 UTC
//	String, Text, UUID                     Bytes, UTF-8
//	Bytes, File, arrays (22..34)           Bytes, as in bytes_value
//	DataSet, Template                      Bytes, the protobuf bytes of the message
type Value struct {
	Type  DataType
	Null  bool // is_null: Num and Bytes are unset
	Num   uint64
	Bytes []byte
}

// Float64 returns the value as a number for charts and aggregates; ok is false for null, text, bytes and structures.
func (v Value) Float64() (f float64, ok bool) {
	if v.Null {
		return 0, false
	}
	switch v.Type {
	case 1, 2, 3, 4, 13: // Int8, Int16, Int32, Int64, DateTime
		return float64(int64(v.Num)), true
	case 5, 6, 7, 8: // UInt8, UInt16, UInt32, UInt64
		return float64(v.Num), true
	case 9: // Float
		return float64(math.Float32frombits(uint32(v.Num))), true
	case 10: // Double
		return math.Float64frombits(v.Num), true
	case 11: // Boolean
		return float64(v.Num), true
	}
	return 0, false
}

// Sample is one value of one series at one time.
type Sample struct {
	Index      Index // set by Append and on reading
	Series     SeriesID
	At         Millis // the device's time stamp
	Received   Millis // the appliance's clock on arrival
	Value      Value
	Quality    Quality
	Historical bool // is_historical: never moves the current value
	Birth      bool // came in an NBIRTH or DBIRTH
}

// SeriesKey is what a SeriesID stands for. Device is empty for a metric of the node itself.
type SeriesKey struct {
	Group, Node, Device, Metric string
	Type                        DataType
}

// MetricID is the opaque identifier of a metric in the HTTP interface: the same for group, node,
// device and name across type changes.
func (k SeriesKey) MetricID() string {
	h := sha256.New()
	for _, s := range [...]string{k.Group, k.Node, k.Device, k.Metric} {
		h.Write([]byte(s))
		h.Write([]byte{0}) // no Sparkplug name holds a NUL, so the parts cannot run together
	}
	return base64.RawURLEncoding.EncodeToString(h.Sum(nil)[:12])
}

// Schema binds a SeriesID to its key. It precedes the series' first sample in the journal.
type Schema struct {
	Series SeriesID
	Key    SeriesKey
}

// EventKind says what an Event tells.
type EventKind uint8

// The kinds of events. Their names in the HTTP interface are those of String.
const (
	NodeBirth    EventKind = iota + 1 // Payload: the NBIRTH's bytes as received
	NodeDeath                         // Reason: why; At: the appliance's clock
	DeviceBirth                       // Payload: the DBIRTH's bytes as received
	DeviceDeath                       // At: the DDEATH payload's time stamp
	SeqGap                            // a sequence number was missed; Reason names expected and seen
	RebirthAsked                      // Reason: the cause
	RebirthDone                       // the NBIRTH that answered one
	CommandEvent                      // a write or its outcome; audit only, never deliverable
	UplinkEvent                       // Node empty for the uplink as a whole
	ClockEvent                        // the appliance's clock stepped
	GapEvent                          // samples are missing from At to Until: Reason, Count
	SystemEvent                       // start, stop, store damage, disk
	ClientEvent                       // an MQTT client came, went, or was refused
)

var eventKindNames = [...]string{"", "node_birth", "node_death", "device_birth", "device_death", "seq_gap", "rebirth_asked",
	"rebirth_done", "command", "uplink", "clock", "gap", "system", "client"}

// String returns the kind's name in the HTTP interface, "unknown" for a kind of a later version.
func (k EventKind) String() string {
	if k == 0 || int(k) >= len(eventKindNames) {
		return "unknown"
	}
	return eventKindNames[k]
}

// Event is one thing that happened: the life cycle of nodes and devices, and what the event log shows.
type Event struct {
	Index               Index // set by Append and on reading
	Kind                EventKind
	At                  Millis // when it was true; see the kinds
	Until               Millis // GapEvent: end of the gap; 0 otherwise
	Received            Millis // the appliance's clock when it was appended: set by Append and on reading, 0 if it is not known any more
	Group, Node, Device string // empty where they do not apply
	Reason              string // for an operator, in plain words
	User                string // who asked, for commands and rebirths
	BdSeq               int16  // NodeBirth, NodeDeath: 0..255, -1 if the payload had none
	Count               uint64 // GapEvent: samples missing, 0 if unknown
	Payload             []byte // births: the Sparkplug payload; others: empty
}

// Kind says what a Record holds.
type Kind uint8

// The kinds of records. Their numbers are part of the file format.
const (
	KindSamples Kind = iota + 1 // Samples
	KindSchema                  // Schema
	KindEvent                   // Event
	KindState                   // Owner, Key, Data: small durable state (see State)
	KindSession                 // Data: broker/store's own encoding
)

// Record is one entry of the journal; exactly the fields of its Kind are set.
type Record struct {
	Index   Index  // set by Append; for KindSamples the first sample's
	At      Millis // the appliance's clock when it was appended
	Kind    Kind
	Samples []Sample
	Schema  *Schema
	Event   *Event
	Owner   string
	Key     string
	Data    []byte
}
