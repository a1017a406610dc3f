package packets

import (
	"fmt"
	"testing"
)

// benchCases are, of each packet type and version, the one that takes most bytes on the wire.
func benchCases() (names []string, byName map[string]wireCase) {
	byName = make(map[string]wireCase)
	for _, c := range wireCases {
		name := fmt.Sprintf("%v v%d", c.packet.Type(), c.v)
		known, found := byName[name]
		if !found {
			names = append(names, name)
		}
		if !found || len(c.bytes) > len(known.bytes) {
			byName[name] = c
		}
	}
	return names, byName
}

func BenchmarkDecode(b *testing.B) {
	names, cases := benchCases()
	for _, name := range names {
		c := cases[name]
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(c.bytes)))
			for b.Loop() {
				if _, err := Decode(c.v, c.bytes); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkAppend(b *testing.B) {
	names, cases := benchCases()
	dst := make([]byte, 0, 1024)
	for _, name := range names {
		c := cases[name]
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(c.bytes)))
			for b.Loop() {
				c.packet.Append(dst, c.v)
			}
		})
	}
}

// TestDecodePublishOfKnownTopic: a device that publishes to the same topics again costs no memory.
func TestDecodePublishOfKnownTopic(t *testing.T) {
	frame := (&Publish{QoS: 1, PacketID: 1, Topic: "plant/oven/temperature", Payload: make([]byte, 100)}).Append(nil, V5)
	var p Publish
	topics := Topics{Max: 10}
	if n := testing.AllocsPerRun(100, func() {
		if err := DecodePublish(V5, frame, &p, &topics); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
