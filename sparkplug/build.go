package sparkplug

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
)

// Names of metrics with a meaning of their own.
const (
	NameBdSeq       = "bdSeq"
	NameRebirth     = "Node Control/Rebirth"
	NameNextServer  = "Node Control/Next Server"
	NameReboot      = "Node Control/Reboot"
	controlPrefix   = "Node Control/"
	propertyQuality = "Quality"
)

// Quality codes of the Quality property. [tck-id-payloads-propertyset-quality-value-value]
const (
	QualityCodeBad   = 0
	QualityCodeGood  = 192
	QualityCodeStale = 500

	// QualityCodeUncertain is OPC's code for a value that may not be the device's: what is recorded of one, never sent.
	QualityCodeUncertain = 64
)

// IsControl tells whether a metric is one of the node's own controls, which commands address by name, never by alias.
func IsControl(name string) bool { return strings.HasPrefix(name, controlPrefix) }

// Millis returns t in ms since 1970 UTC, 0 for times before. [tck-id-payloads-timestamp-in-UTC]
func Millis(t time.Time) uint64 { return uint64(max(0, t.UnixMilli())) }

// Int64Value returns an integer or a DateTime of type t.
func Int64Value(t DataType, n int64) Value { return Value{Type: t, Num: uint64(n)} }

// BoolValue returns a Boolean.
func BoolValue(b bool) Value {
	return Value{Type: Boolean, Num: boolBits(b)}
}

// StringValue returns a String.
func StringValue(s string) Value { return Value{Type: String, Bytes: []byte(s)} }

// BdSeqMetric returns the metric bdSeq of a birth or a death: Int64, 0 to 255, never an alias.
// [tck-id-message-flow-edge-node-birth-publish-will-message-payload-bdSeq]
func BdSeqMetric(bdSeq uint8, at time.Time) Metric {
	return Metric{Name: NameBdSeq, Type: Int64, Value: Value{Type: Int64, Num: uint64(bdSeq)},
		Timestamp: Millis(at), HasTimestamp: true}
}

// BdSeqOf returns the bdSeq of a birth or death, -1 if it has none or one that cannot be. Peers send Int64, UInt64
// or no datatype.
func BdSeqOf(p *Payload) int {
	for i := range p.Metrics {
		m := &p.Metrics[i]
		if m.Name != NameBdSeq || m.Value.Null {
			continue
		}
		if v, err := m.As(UInt64); err == nil && v.Num <= 255 {
			return int(v.Num)
		}
		if v := m.Value; v.Type >= Int8 && v.Type <= UInt64 && v.Num <= 255 {
			return int(v.Num)
		}
		return -1
	}
	return -1
}

// NodeDeath returns a node's NDEATH, for its will and for a farewell: QoS 1 as a will, one metric, no seq.
// [tck-id-topics-ndeath-payload] [tck-id-topics-ndeath-seq] [tck-id-payloads-ndeath-will-message-qos]
func NodeDeath(n NodeRef, bdSeq uint8, at time.Time) Publish {
	p := Payload{Timestamp: Millis(at), HasTimestamp: true, Metrics: []Metric{BdSeqMetric(bdSeq, at)}}
	return Publish{Topic: Topic{Type: NDEATH, Group: n.Group, Node: n.Node}.String(), Payload: Encode(&p), QoS: 1}
}

// RebirthRequest returns the NCMD that asks a node for its births. The datatype, which commands should leave out,
// is there because peers that trust only it would decode null.
// [tck-id-operational-behavior-data-commands-ncmd-rebirth-verb] [tck-id-operational-behavior-data-commands-ncmd-rebirth-name]
// [tck-id-operational-behavior-data-commands-ncmd-rebirth-value] [tck-id-payloads-ncmd-seq]
func RebirthRequest(n NodeRef, now time.Time) Publish {
	p := Payload{Timestamp: Millis(now), HasTimestamp: true, Metrics: []Metric{{
		Name: NameRebirth, Type: Boolean, Value: BoolValue(true), Timestamp: Millis(now), HasTimestamp: true}}}
	return Publish{Topic: Topic{Type: NCMD, Group: n.Group, Node: n.Node}.String(), Payload: Encode(&p)}
}

// IsRebirthRequest tells whether an NCMD asks for births: the metric by name with the value true.
func IsRebirthRequest(p *Payload) bool {
	for i := range p.Metrics {
		m := &p.Metrics[i]
		if v, err := m.As(Boolean); m.Name == NameRebirth && err == nil && !v.Null && v.Num != 0 {
			return true
		}
	}
	return false
}

// HostState is the payload of a STATE message.
type HostState struct {
	Online    bool
	Timestamp int64 // ms since 1970 UTC
}

// StateTopic returns a host's STATE topic.
func StateTopic(hostID string) string { return Topic{Type: STATE, Host: hostID}.String() }

// StateMessage returns a host's STATE message: QoS 1, retained, JSON.
// [tck-id-host-topic-phid-birth-payload] [tck-id-host-topic-phid-birth-qos] [tck-id-host-topic-phid-birth-retain]
func StateMessage(hostID string, s HostState) Publish {
	payload := fmt.Appendf(nil, `{"online":%t,"timestamp":%d}`, s.Online, s.Timestamp)
	return Publish{Topic: StateTopic(hostID), Payload: payload, QoS: 1, Retain: true}
}

var errState = errors.New(`STATE payload is not {"online":true|false,"timestamp":ms}`)

// ParseState reads a STATE payload: a JSON object with a real boolean and a real integer. Other keys are let pass,
// as chapter 8 still speaks of one.
func ParseState(payload []byte) (HostState, error) {
	if len(payload) > 1024 {
		return HostState{}, errState
	}
	var s struct {
		Online    *bool  `json:"online"`
		Timestamp *int64 `json:"timestamp"`
	}
	d := json.NewDecoder(bytes.NewReader(payload))
	if err := d.Decode(&s); err != nil || s.Online == nil || s.Timestamp == nil || *s.Timestamp < 0 {
		return HostState{}, errState
	}
	if _, err := d.Token(); err != io.EOF {
		return HostState{}, errState
	}
	return HostState{Online: *s.Online, Timestamp: *s.Timestamp}, nil
}
