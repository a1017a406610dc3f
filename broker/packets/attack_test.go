package packets

import (
	"bytes"
	"errors"
	"runtime"
	"strings"
	"testing"
)

// The attacks that have brought brokers down, by class.

// TestRemainingLengthBomb: a header that claims 256 MB is judged by its few bytes; nothing is allocated for the rest
// (CVE-2017-7651, CVE-2021-33175, CVE-2021-33176).
func TestRemainingLengthBomb(t *testing.T) {
	bomb := wire(0x10, 0xFF, 0xFF, 0xFF, 0x7F, 0)
	if n, complete, err := FrameLength(bomb, 65536); n != MaxPacketSize || complete || err == nil {
		t.Errorf("with a limit: %d, %v, %v", n, complete, err)
	}
	allocs := testing.AllocsPerRun(10, func() {
		if _, complete, err := FrameLength(bomb, 0); complete || err != nil {
			t.Error("without a limit the rest is to come")
		}
	})
	if allocs != 0 {
		t.Errorf("%v allocations", allocs)
	}
}

// TestLengthFieldsClaimMore: each length inside a packet claims more than has come.
func TestLengthFieldsClaimMore(t *testing.T) {
	for name, frame := range map[string][]byte{
		"topic":            wire(0x30, 3, 0xFF, 0xFF, "a"),
		"property length":  wire(0x30, 7, 0, 1, "a", 0xFF, 0xFF, 0xFF, 0x7F),
		"correlation data": wire(0x30, 7, 0, 1, "a", 3, 9, 0xFF, 0xFF),
		"filter":           wire(0x82, 5, 0, 1, 0, 0xFF, 0xFF),
		"client id":        wire(0x10, 13, 0, 4, "MQTT", 5, 2, 0, 0, 0, 0xFF, 0xFF),
	} {
		if got := allocatedBytes(func() {
			if p, err := Decode(V5, frame); err == nil {
				t.Errorf("%s: decodes to %+v", name, p)
			}
		}); got > 1024 {
			t.Errorf("%s: %d bytes allocated for a frame of %d", name, got, len(frame))
		}
	}
}

// TestKnownCrashes: frames that have crashed other brokers' decoders.
func TestKnownCrashes(t *testing.T) {
	for name, frame := range map[string][]byte{
		"SUBSCRIBE 5.0 that ends behind the filter (mochi 501)":         wire(0x82, 6, 0, 1, 0, 0, 1, "a"),
		"SUBSCRIBE 5.0 that ends behind the packet identifier":          wire(0x82, 2, 0, 1),
		"Remaining Length of five bytes (CVE-2026-21888)":               wire(0x30, 0xFF, 0xFF, 0xFF, 0xFF, 1, 0),
		"PUBLISH with topic length 0 (CVE-2021-34432)":                  wire(0x30, 2, 0, 0),
		"PUBLISH without a body":                                        wire(0x30, 0),
		"CONNECT without a body":                                        wire(0x10, 0),
		"CONNECT that ends behind the flags":                            wire(0x10, 8, 0, 4, "MQTT", 5, 2),
		"CONNECT with will properties past the end (CVE-2021-34431)":    wire(0x10, 16, 0, 4, "MQTT", 5, 6, 0, 0, 0, 0, 1, "c", 0xFF, 0x7F),
		"UNSUBSCRIBE 5.0 that ends within the property length":          wire(0xA2, 3, 0, 1, 0x80),
		"user property that ends within its value":                      wire(0x40, 10, 0, 1, 0x80, 6, 38, 0, 1, "k", 0, 5),
		"property block of nothing but an identifier of four bytes":     wire(0x40, 8, 0, 1, 0x80, 4, 0xFF, 0xFF, 0xFF, 0x7F),
		"Property Length of the whole packet and an unfinished integer": wire(0x30, 6, 0, 1, "a", 2, 11, 0x80),
	} {
		if p, err := Decode(V5, frame); err == nil {
			t.Errorf("%s: decodes to %+v", name, p)
		}
	}
}

// TestUserPropertiesAreLinear: the work for n user properties grows with n (CVE-2021-41039 was quadratic). Bytes
// allocated are the measure, since time is none that can be relied on.
func TestUserPropertiesAreLinear(t *testing.T) {
	perProperty := func(n int) uint64 {
		frame := manyProperties(n)
		return allocatedBytes(func() {
			if _, err := Decode(V5, frame); err != nil {
				t.Fatal(err)
			}
		}) / uint64(n)
	}
	few, many := perProperty(1000), perProperty(MaxEntries)
	if many > few*2 {
		t.Errorf("%d bytes for each of 1,000 user properties, %d for each of 16,384", few, many)
	}
}

// TestManyUserPropertiesShareTheirBytes: they cost no allocation each, which a flood of them would make the collector pay for.
func TestManyUserPropertiesShareTheirBytes(t *testing.T) {
	frame := manyProperties(10000)
	if n := testing.AllocsPerRun(5, func() { Decode(V5, frame) }); n > 10 {
		t.Errorf("%v allocations for 10,000 user properties", n)
	}
}

// TestMaxEntries: a packet of more filters or user properties than may be is refused before they are read.
func TestMaxEntries(t *testing.T) {
	for name, frame := range map[string][]byte{
		"user properties": manyProperties(MaxEntries + 1),
		"SUBSCRIBE":       bigFrame(0x82, wire(0, 1, 0), wire(0, 1, "a", 0), 4*(MaxEntries+1), false),
		"UNSUBSCRIBE":     bigFrame(0xA2, wire(0, 1, 0), wire(0, 1, "a"), 3*(MaxEntries+1), false),
	} {
		_, err := Decode(V5, frame)
		var e *Error
		if !errors.As(err, &e) || e.Code != QuotaExceeded {
			t.Errorf("%s: %v", name, err)
		}
		if n := allocatedBytes(func() { Decode(V5, frame) }); n > 4096 {
			t.Errorf("%s: %d bytes allocated", name, n)
		}
	}
	if _, err := Decode(V5, bigFrame(0x82, wire(0, 1, 0), wire(0, 1, "a", 0), 4*MaxEntries, false)); err != nil {
		t.Errorf("as many as may be: %v", err)
	}
}

// manyProperties is a PUBLISH with n user properties.
func manyProperties(n int) []byte {
	user := make([]UserProperty, n)
	for i := range user {
		user[i] = UserProperty{"name", "value"}
	}
	return (&Publish{Topic: "a", Properties: &PublishProperties{User: user}}).Append(nil, V5)
}

// TestAllocationFollowsInput: no packet of 64 KiB makes Decode allocate more than 16 times its length, whatever
// small parts it is made of.
func TestAllocationFollowsInput(t *testing.T) {
	const size = 60000
	for name, frame := range map[string][]byte{
		"empty user properties":    bigFrame(0x30, wire(0, 1, "a"), wire(38, 0, 0, 0, 0), size, true),
		"short user properties":    bigFrame(0x30, wire(0, 1, "a"), wire(38, 0, 2, "ab", 0, 2, "cd"), size, true),
		"subscription identifiers": bigFrame(0x30, wire(0, 1, "a"), wire(11, 1), size, true),
		"filters of a letter":      bigFrame(0x82, wire(0, 1, 0), wire(0, 1, "a", 0), size, false),
		"short filters":            bigFrame(0xA2, wire(0, 1, 0), wire(0, 2, "ab"), size, false),
		"codes":                    bigFrame(0x90, wire(0, 1, 0), wire(0), size, false),
		"one payload":              bigFrame(0x30, wire(0, 1, "a", 0), wire("x"), size, false),
	} {
		got := allocatedBytes(func() {
			if _, err := Decode(V5, frame); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
		})
		if got > 16*uint64(len(frame)) {
			t.Errorf("%s: %d bytes allocated for %d", name, got, len(frame))
		}
	}
}

// bigFrame is a packet of head and as many copies of part as fit into size, as properties or not.
func bigFrame(first byte, head, part []byte, size int, properties bool) []byte {
	parts := bytes.Repeat(part, size/len(part))
	body := bytes.Clone(head)
	if properties {
		body = appendVarint(body, len(parts))
	}
	body = append(body, parts...)
	return append(appendVarint([]byte{first}, len(body)), body...)
}

// allocatedBytes returns the bytes that f allocates: the least of some runs, since other goroutines allocate too.
func allocatedBytes(f func()) uint64 {
	least := uint64(1 << 62)
	var before, after runtime.MemStats
	for range 5 {
		runtime.ReadMemStats(&before)
		f()
		runtime.ReadMemStats(&after)
		least = min(least, after.TotalAlloc-before.TotalAlloc)
	}
	return least
}

// TestDecodePublishAllocatesTopicOnly: a PUBLISH without properties costs its topic, and through Decode the struct.
func TestDecodePublishAllocatesTopicOnly(t *testing.T) {
	frame := (&Publish{QoS: 1, PacketID: 1, Topic: "plant/oven/temperature", Payload: []byte(strings.Repeat("x", 1000))}).Append(nil, V5)
	var p Publish
	if n := testing.AllocsPerRun(100, func() {
		if err := DecodePublish(V5, frame, &p, nil); err != nil {
			t.Fatal(err)
		}
	}); n != 1 {
		t.Errorf("DecodePublish: %v allocations", n)
	}
	if n := testing.AllocsPerRun(100, func() {
		if _, err := Decode(V5, frame); err != nil {
			t.Fatal(err)
		}
	}); n != 2 {
		t.Errorf("Decode: %v allocations", n)
	}
}

func TestDecodePublishRefusesOthers(t *testing.T) {
	var p Publish
	if err := DecodePublish(V5, wire(0xC0, 0), &p, nil); err == nil {
		t.Errorf("a PINGREQ decodes to %+v", p)
	}
	for _, c := range malformedCases {
		if c.bytes[0]>>4 == byte(TypePublish) && DecodePublish(c.v, c.bytes, &p, nil) == nil {
			t.Errorf("%s: decodes to %+v", c.name, p)
		}
	}
}
