package packets

import (
	"bytes"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"
)

func TestShare(t *testing.T) {
	props := &PublishProperties{ContentType: "t", User: []UserProperty{{"b", "1"}, {"a", "2"}}}
	v4, v5 := Share(V4, "a", props, []byte("x")), Share(V5, "a", props, []byte("x"))
	shared := wire(3, 0, 1, "t", 38, 0, 1, "b", 0, 1, "1", 38, 0, 1, "a", 0, 1, "2")
	tests := []struct {
		name string
		s    Shared
		d    Delivery
		want []byte
	}{
		{"3.1.1, QoS 0", v4, Delivery{}, wire(0x30, 4, 0, 1, "a", "x")},
		{"3.1.1 has no properties", v4, Delivery{QoS: 1, PacketID: 5, SubscriptionIDs: []uint32{1}, Expiry: Some(uint32(1))},
			wire(0x32, 6, 0, 1, "a", 0, 5, "x")},
		{"5.0, QoS 0", v5, Delivery{Retain: true}, wire(0x31, 23, 0, 1, "a", 18, string(shared), "x")},
		{"5.0, everything", v5, Delivery{Dup: true, QoS: 2, PacketID: 5, Expiry: Some(uint32(0)), TopicAlias: 1, SubscriptionIDs: []uint32{2}},
			wire(0x3C, 35, 0, 1, "a", 0, 5, 28, 2, 0, 0, 0, 0, 35, 0, 1, 11, 2, string(shared), "x")},
		{"5.0, alias instead of the topic", v5, Delivery{TopicAlias: 1, OmitTopic: true},
			wire(0x30, 25, 0, 0, 21, 35, 0, 1, string(shared), "x")},
	}
	for _, c := range tests {
		t.Run(c.name, func(t *testing.T) {
			got := c.s.Append([]byte("y"), &c.d)[1:]
			if !bytes.Equal(got, c.want) {
				t.Errorf("got  % x\nwant % x", got, c.want)
			}
			if n := c.s.Size(&c.d); n != len(got) {
				t.Errorf("Size %d, want %d", n, len(got))
			}
			if head := c.s.AppendHead(nil, &c.d); !bytes.Equal(append(head, c.s.Payload()...), got) {
				t.Errorf("head and payload % x", head)
			}
		})
	}
}

// TestSharedAppendDoesNotAllocate: fan-out costs each subscriber a copy into its buffer and nothing else.
func TestSharedAppendDoesNotAllocate(t *testing.T) {
	s := Share(V5, "a/b", &PublishProperties{ContentType: "t"}, make([]byte, 500))
	d := Delivery{QoS: 1, PacketID: 1, SubscriptionIDs: []uint32{7}}
	dst := make([]byte, 0, 1024)
	if n := testing.AllocsPerRun(100, func() { s.Append(dst, &d) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// TestRoundTrip: any packet that can be made decodes from its encoding, and a PUBLISH has the size it said.
func TestRoundTrip(t *testing.T) {
	for _, v := range []Version{V4, V5} {
		rapid.Check(t, func(t *rapid.T) {
			p := drawPacket(t, v)
			frame := p.Append(nil, v)
			got, err := Decode(v, frame)
			if err != nil {
				t.Fatalf("%+v encodes to % x: %v", p, frame, err)
			}
			if diff := cmp.Diff(p, got, cmpopts.EquateEmpty()); diff != "" {
				t.Fatalf("% x: -want +got:\n%s", frame, diff)
			}
			if p, ok := p.(*Publish); ok {
				s := Share(v, p.Topic, p.Properties, p.Payload)
				d := Delivery{QoS: p.QoS, PacketID: p.PacketID, Expiry: p.Expiry, TopicAlias: p.TopicAlias, SubscriptionIDs: p.SubscriptionIDs}
				if s.Size(&d) != len(frame) {
					t.Fatalf("Size %d of % x", s.Size(&d), frame)
				}
			}
		})
	}
}

// drawPacket draws a packet whose fields v can carry.
func drawPacket(t *rapid.T, v Version) Packet {
	d := drawer{t, v == V5}
	id := d.uint16(1)
	switch rapid.IntRange(1, 13).Draw(t, "type") {
	case 1:
		return d.connect(v)
	case 2:
		return &Suback{PacketID: id, ReasonString: d.text(), User: d.user(), Codes: []ReasonCode{GrantedQoS1, UnspecifiedError}}
	case 3:
		return d.publish()
	case 4:
		return &Puback{PacketID: id, Code: d.code(TypePuback), ReasonString: d.text(), User: d.user()}
	case 5:
		return &Pubrec{PacketID: id, Code: d.code(TypePubrec), ReasonString: d.text(), User: d.user()}
	case 6:
		return &Pubrel{PacketID: id, Code: d.code(TypePubrel), ReasonString: d.text(), User: d.user()}
	case 7:
		return &Pubcomp{PacketID: id, Code: d.code(TypePubcomp), ReasonString: d.text(), User: d.user()}
	case 8:
		s := &Subscribe{PacketID: id, SubscriptionID: d.uint32(), User: d.user(),
			Filters: []Subscription{{Filter: d.anyText(), QoS: byte(d.below(3))}, {Filter: "#"}}}
		if d.v5 {
			s.SubscriptionID %= 268_435_456
			s.Filters[0].RetainHandling, s.Filters[0].RetainAsPublished, s.Filters[1].NoLocal = byte(d.below(3)), d.bool(), d.bool()
		}
		return s
	case 9:
		return &Unsubscribe{PacketID: id, User: d.user(), Filters: []string{d.anyText(), d.anyText()}}
	case 10:
		u := &Unsuback{PacketID: id, ReasonString: d.text(), User: d.user()}
		if d.v5 {
			u.Codes = []ReasonCode{d.code(TypeUnsuback)}
		}
		return u
	case 11:
		p := &Disconnect{Code: d.code(TypeDisconnect), SessionExpiry: d.optional32(), ReasonString: d.text(), ServerReference: d.text(), User: d.user()}
		return p
	case 12:
		if d.v5 {
			return &Auth{Code: d.code(TypeAuth), Method: "m" + d.text(), Data: d.data(), ReasonString: d.text(), User: d.user()}
		}
	}
	return d.connack()
}

// drawer draws fields; those that only 5.0 has are zero for 3.1.1.
type drawer struct {
	t  *rapid.T
	v5 bool
}

func (d drawer) bool() bool               { return rapid.Bool().Draw(d.t, "bool") }
func (d drawer) below(n int) int          { return rapid.IntRange(0, n-1).Draw(d.t, "below") }
func (d drawer) uint16(min uint16) uint16 { return rapid.Uint16Min(min).Draw(d.t, "uint16") }

func (d drawer) uint32() uint32 {
	if !d.v5 {
		return 0
	}
	return rapid.Uint32().Draw(d.t, "uint32")
}

func (d drawer) optional32() Optional[uint32] {
	if !d.v5 || d.bool() {
		return Optional[uint32]{}
	}
	return Some(d.uint32())
}

// anyText is a string without NUL, at most a few hundred bytes.
func (d drawer) anyText() string {
	return rapid.StringOfN(rapid.Rune().Filter(func(r rune) bool { return r != 0 }), 0, 200, -1).Draw(d.t, "text")
}

func (d drawer) text() string {
	if !d.v5 {
		return ""
	}
	return d.anyText()
}

func (d drawer) name() string {
	return "t/" + rapid.StringMatching(`[a-z/é$]{0,150}`).Draw(d.t, "name")
}

func (d drawer) data() []byte {
	if !d.v5 {
		return nil
	}
	return rapid.SliceOfN(rapid.Byte(), 0, 200).Draw(d.t, "data")
}

func (d drawer) user() (list []UserProperty) {
	if d.v5 {
		for range d.below(3) {
			list = append(list, UserProperty{d.text(), d.text()})
		}
	}
	return list
}

func (d drawer) code(t Type) ReasonCode {
	if !d.v5 {
		return Success
	}
	return rapid.Custom(func(t *rapid.T) ReasonCode { return ReasonCode(rapid.Byte().Draw(t, "code")) }).
		Filter(func(c ReasonCode) bool { return c.Listed(t) || c == Success }).Draw(d.t, "reason")
}

func (d drawer) properties() *PublishProperties {
	p := &PublishProperties{PayloadFormat: byte(d.below(2)), ContentType: d.text(), CorrelationData: d.data(), User: d.user()}
	if d.bool() {
		p.ResponseTopic = d.name()
	}
	if cmp.Equal(p, &PublishProperties{}, cmpopts.EquateEmpty()) || !d.v5 {
		return nil
	}
	return p
}

func (d drawer) publish() *Publish {
	p := &Publish{QoS: byte(d.below(3)), Retain: d.bool(), Topic: d.name(), Expiry: d.optional32(), Properties: d.properties(),
		Payload: rapid.SliceOfN(rapid.Byte(), 0, 300).Draw(d.t, "payload")}
	if p.QoS > 0 {
		p.Dup, p.PacketID = d.bool(), d.uint16(1)
	}
	if d.v5 {
		p.TopicAlias = d.uint16(0)
		p.SubscriptionIDs = rapid.SliceOfN(rapid.Uint32Range(1, 268_435_455), 0, 3).Draw(d.t, "ids")
	}
	return p
}

func (d drawer) connect(v Version) *Connect {
	c := &Connect{Version: v, CleanStart: d.bool(), KeepAlive: d.uint16(0), ClientID: d.anyText(), SessionExpiry: d.uint32(),
		MaximumPacketSize: d.uint32(), User: d.user(), HasUsername: d.bool()}
	if d.v5 {
		c.ReceiveMaximum, c.TopicAliasMaximum = d.uint16(0), d.uint16(0)
		c.RequestResponseInformation, c.NoProblemInformation = d.bool(), d.bool()
		c.AuthMethod, c.AuthData = "m"+d.text(), d.data()
	}
	if c.HasUsername {
		c.Username = d.anyText()
		if c.HasPassword = d.bool(); c.HasPassword {
			c.Password = []byte(d.anyText())
		}
	}
	if d.bool() {
		c.Will = &Will{Topic: d.name(), Payload: []byte(d.anyText()), QoS: byte(d.below(3)), Retain: d.bool(),
			Delay: d.uint32(), Expiry: d.optional32(), Properties: d.properties()}
	}
	return c
}

func (d drawer) connack() *Connack {
	c := &Connack{SessionPresent: d.bool(), SessionExpiry: d.optional32(), MaximumPacketSize: d.uint32(),
		AssignedClientID: d.text(), ReasonString: d.text(), User: d.user(), ResponseInfo: d.text(), ServerReference: d.text()}
	if d.v5 {
		c.ReceiveMaximum, c.TopicAliasMaximum = d.uint16(0), d.uint16(0)
		c.NoRetain, c.NoShared, c.NoWildcards, c.NoSubscriptionIDs = d.bool(), d.bool(), d.bool(), d.bool()
		c.ServerKeepAlive, c.MaximumQoS = Some(d.uint16(0)), Some(byte(d.below(2)))
		c.AuthMethod, c.AuthData = "m", d.data()
	}
	return c
}

func BenchmarkSharedAppend(b *testing.B) {
	s := Share(V5, "plant/oven/temperature", nil, make([]byte, 100))
	d := Delivery{QoS: 1, PacketID: 1}
	dst := make([]byte, 0, 256)
	b.ReportAllocs()
	for b.Loop() {
		s.Append(dst, &d)
	}
}

func BenchmarkDecodePublish(b *testing.B) {
	frame := (&Publish{QoS: 1, PacketID: 1, Topic: "plant/oven/temperature", Payload: make([]byte, 100)}).Append(nil, V5)
	var p Publish
	b.ReportAllocs()
	for b.Loop() {
		if err := DecodePublish(V5, frame, &p, nil); err != nil {
			b.Fatal(err)
		}
	}
}
