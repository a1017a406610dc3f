package packets

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func TestDecode(t *testing.T) {
	for _, c := range wireCases {
		t.Run(c.name, func(t *testing.T) {
			checkTags(t, c.name, c.v)
			got, err := Decode(c.v, c.bytes)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.packet, got, cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

// checkTags: a case proves a rule of its own version only.
func checkTags(t *testing.T, name string, v Version) {
	t.Helper()
	if v != V5 && strings.Contains(name, "[MQTT-") || v == V5 && strings.Contains(name, "[v3 ") {
		t.Errorf("%s: a tag of another version", name)
	}
}

func TestAppend(t *testing.T) {
	for _, c := range wireCases {
		if c.decodeOnly {
			continue
		}
		t.Run(c.name, func(t *testing.T) {
			got := c.packet.Append([]byte("before"), c.v)
			if want := append([]byte("before"), c.bytes...); !bytes.Equal(got, want) {
				t.Errorf("got  % x\nwant % x", got, want)
			}
		})
	}
}

func TestAppendDoesNotAllocate(t *testing.T) {
	dst := make([]byte, 0, 1024)
	for _, c := range wireCases {
		if n := testing.AllocsPerRun(10, func() { c.packet.Append(dst, c.v) }); n != 0 {
			t.Errorf("%s: %v allocations", c.name, n)
		}
	}
}

func TestDecodeRefuses(t *testing.T) {
	for _, c := range malformedCases {
		t.Run(c.name, func(t *testing.T) {
			checkTags(t, c.name, c.v)
			n, complete, _ := FrameLength(c.bytes, 0)
			if n != 0 && (!complete || n != len(c.bytes)) {
				t.Fatalf("the case itself is wrong: %d of %d bytes", n, len(c.bytes))
			}
			p, err := Decode(c.v, c.bytes)
			var e *Error
			if !errors.As(err, &e) {
				t.Fatalf("took it as %+v", p)
			}
			if e.Code != c.code || e.Section == "" {
				t.Errorf("%v, want %v", err, c.code)
			}
		})
	}
}

// TestFlags walks over all flags of each packet type [MQTT-2.1.3-1] [v3 MQTT-2.2.2-1] [v3 MQTT-2.2.2-2].
func TestFlags(t *testing.T) {
	allowed := map[Type]string{TypePublish: "0 1 2 3 4 5 8 9 10 11 12 13", TypePubrel: "2 10", TypeSubscribe: "2 10", TypeUnsubscribe: "2 10"}
	for typ := Type(0); typ < 16; typ++ {
		want := allowed[typ]
		if want == "" && typ != 0 {
			want = "0"
		}
		got := ""
		for flags := byte(0); flags < 16; flags++ {
			if _, _, err := FrameLength([]byte{byte(typ)<<4 | flags}, 0); err == nil {
				if got != "" {
					got += " "
				}
				got += string(appendDecimal(nil, flags))
			}
		}
		if got != want {
			t.Errorf("%v takes flags %q, want %q", typ, got, want)
		}
	}
}

func appendDecimal(b []byte, n byte) []byte {
	if n > 9 {
		b = append(b, '1')
	}
	return append(b, '0'+n%10)
}

// TestTruncated cuts every valid packet at every byte, and writes a Remaining Length to match, so that the cut is in the fields.
func TestTruncated(t *testing.T) {
	for _, c := range wireCases {
		body := c.bytes[1:]
		_, used := varint(body)
		body = body[used:]
		for n := range body {
			frame := append(appendVarint([]byte{c.bytes[0]}, n), body[:n]...)
			p, err := Decode(c.v, frame)
			if err == nil && bytes.Equal(p.Append(nil, c.v), c.packet.Append(nil, c.v)) {
				if !c.decodeOnly {
					t.Errorf("%s cut at %d of %d bytes decodes to the whole packet", c.name, n, len(body))
				}
			}
		}
		for n := range c.bytes {
			if p, err := Decode(c.v, c.bytes[:n]); err == nil {
				t.Errorf("%s: %d of %d bytes decode to %+v", c.name, n, len(c.bytes), p)
			}
			if _, complete, err := FrameLength(c.bytes[:n], 0); complete || err != nil {
				t.Errorf("%s: FrameLength of %d of %d bytes: complete %v, %v", c.name, n, len(c.bytes), complete, err)
			}
		}
	}
}

// TestBitFlips flips each bit of every valid packet, for both versions: Decode refuses it or returns a packet that
// survives encoding, and never panics.
func TestBitFlips(t *testing.T) {
	for _, c := range wireCases {
		for bit := range len(c.bytes) * 8 {
			frame := bytes.Clone(c.bytes)
			frame[bit/8] ^= 1 << (bit % 8)
			for _, v := range []Version{V4, V5} {
				checkDecode(t, v, frame)
			}
		}
	}
}

// checkDecode fails the test unless Decode refuses frame with an *Error or returns a packet that encodes to at most as many
// bytes, which decode to an equal packet.
func checkDecode(t *testing.T, v Version, frame []byte) {
	t.Helper()
	p, err := Decode(v, frame)
	if err != nil {
		var e *Error
		if !errors.As(err, &e) || !e.Code.Failed() {
			t.Fatalf("Decode(% x) = %v", frame, err)
		}
		return
	}
	if c, ok := p.(*Connect); ok {
		v = c.Version
	}
	again := p.Append(nil, v)
	if len(again) > len(frame) {
		t.Fatalf("% x encodes to % x", frame, again)
	}
	q, err := Decode(v, again)
	if err != nil {
		t.Fatalf("% x encodes to % x: %v", frame, again, err)
	}
	if diff := cmp.Diff(p, q, cmpopts.EquateEmpty()); diff != "" {
		t.Fatalf("% x encodes to % x (-first +second):\n%s", frame, again, diff)
	}
}

func TestFrameLength(t *testing.T) {
	tests := []struct {
		name     string
		buf      []byte
		limit    int
		n        int
		complete bool
		code     ReasonCode // 0: no error
	}{
		{"nothing yet", nil, 0, 0, false, 0},
		{"first byte only", wire(0x30), 10, 0, false, 0},
		{"length not complete", wire(0x30, 0x80), 10, 0, false, 0},
		{"body to come", wire(0x30, 3, 0), 0, 5, false, 0},
		{"whole", wire(0xC0, 0), 0, 2, true, 0},
		{"whole and more", wire(0xC0, 0, 0xC0), 0, 2, true, 0},
		{"at the limit", wire(0x30, 8), 10, 10, false, 0},
		{"above the limit", wire(0x30, 9), 10, 11, false, PacketTooLarge},
		{"largest", wire(0x30, 0xFF, 0xFF, 0xFF, 0x7F), 0, MaxPacketSize, false, 0},
		{"bad first byte", wire(0x0F), 0, 0, false, MalformedPacket},
		{"four continuation bytes", wire(0x30, 0xFF, 0xFF, 0xFF, 0xFF), 0, 0, false, MalformedPacket},
		{"over-long FF 80 00 [MQTT-1.5.5-1]", wire(0x30, 0xFF, 0x80, 0), 0, 0, false, MalformedPacket},
	}
	for _, c := range tests {
		t.Run(c.name, func(t *testing.T) {
			n, complete, err := FrameLength(c.buf, c.limit)
			var e *Error
			code := ReasonCode(0)
			if errors.As(err, &e) {
				code = e.Code
			}
			if n != c.n || complete != c.complete || code != c.code {
				t.Errorf("got %d %v %v, want %d %v %v", n, complete, err, c.n, c.complete, c.code)
			}
		})
	}
}

func TestConnectVersion(t *testing.T) {
	tests := []struct {
		name  string
		frame []byte
		want  Version
	}{
		{"nothing", nil, 0},
		{"first byte", wire(0x10), 0},
		{"3.1.1 with a reserved flag", wire(0x10, 13, 0, 4, "MQTT", 4, 3, 0, 0, 0, 1, "c"), V4},
		{"5.0 cut behind the version", wire(0x10, 7, 0, 4, "MQTT", 5), V5},
		{"level 6", wire(0x10, 7, 0, 4, "MQTT", 6), 0},
		{"other name", wire(0x10, 7, 0, 4, "mqtt", 5), 0},
		{"other packet", wire(0x30, 7, 0, 4, "MQTT", 5), 0},
	}
	for _, c := range tests {
		if got := ConnectVersion(c.frame); got != c.want {
			t.Errorf("%s: %d, want %d", c.name, got, c.want)
		}
	}
}

// TestAppendWithin proves that Reason String and user properties give way to the receiver's Maximum Packet Size
// [MQTT-3.2.2-19] [MQTT-3.2.2-20] [MQTT-3.4.2-2] [MQTT-3.4.2-3] [MQTT-3.5.2-2] [MQTT-3.5.2-3] [MQTT-3.6.2-2] [MQTT-3.6.2-3]
// [MQTT-3.7.2-2] [MQTT-3.7.2-3] [MQTT-3.9.2-1] [MQTT-3.9.2-2] [MQTT-3.11.2-1] [MQTT-3.11.2-2] [MQTT-3.14.2-3] [MQTT-3.14.2-4]
// [MQTT-3.15.2-2] [MQTT-3.15.2-3].
func TestAppendWithin(t *testing.T) {
	user := []UserProperty{{"name", "value"}}
	codes := []ReasonCode{Success}
	tests := []struct{ long, short Packet }{
		{&Connack{Code: NotAuthorized, ReasonString: "because", User: user}, &Connack{Code: NotAuthorized}},
		{&Puback{PacketID: 1, Code: NotAuthorized, ReasonString: "because", User: user}, &Puback{PacketID: 1, Code: NotAuthorized}},
		{&Pubrec{PacketID: 1, Code: NotAuthorized, ReasonString: "because", User: user}, &Pubrec{PacketID: 1, Code: NotAuthorized}},
		{&Pubrel{PacketID: 1, ReasonString: "because", User: user}, &Pubrel{PacketID: 1}},
		{&Pubcomp{PacketID: 1, ReasonString: "because", User: user}, &Pubcomp{PacketID: 1}},
		{&Suback{PacketID: 1, Codes: codes, ReasonString: "because", User: user}, &Suback{PacketID: 1, Codes: codes}},
		{&Unsuback{PacketID: 1, Codes: codes, ReasonString: "because", User: user}, &Unsuback{PacketID: 1, Codes: codes}},
		{&Disconnect{Code: ServerBusy, ReasonString: "because", User: user}, &Disconnect{Code: ServerBusy}},
		{&Auth{Method: "m", ReasonString: "because", User: user}, &Auth{Method: "m"}},
	}
	for _, c := range tests {
		t.Run(c.long.Type().String(), func(t *testing.T) {
			long, short := c.long.Append(nil, V5), c.short.Append(nil, V5)
			for max, want := range map[int][]byte{0: long, len(long): long, len(long) - 1: short, len(short): short, len(short) - 1: nil} {
				got, ok := AppendWithin([]byte("x"), V5, c.long, max)
				if !bytes.Equal(got[1:], want) || ok != (want != nil) {
					t.Errorf("within %d: % x, %v; want % x", max, got[1:], ok, want)
				}
			}
		})
	}
}

// TestVersionsDiffer proves that no code of 5.0 reaches a 3.1.1 client [v3 MQTT-3.9.3-2] [v3 MQTT-3.2.2-6].
func TestVersionsDiffer(t *testing.T) {
	got := (&Suback{PacketID: 1, Codes: []ReasonCode{GrantedQoS1, NotAuthorized, QuotaExceeded}}).Append(nil, V4)
	if want := wire(0x90, 5, 0, 1, 1, 0x80, 0x80); !bytes.Equal(got, want) {
		t.Errorf("SUBACK % x, want % x", got, want)
	}
	got = (&Connack{Code: ServerBusy, ReasonString: "r"}).Append(nil, V4)
	if want := wire(0x20, 2, 0, 3); !bytes.Equal(got, want) {
		t.Errorf("CONNACK % x, want % x", got, want)
	}
	for code := range 256 {
		if n, ok := ConnackV4(ReasonCode(code)); n > 5 || ok && n == 0 != (code == 0) {
			t.Errorf("ConnackV4(0x%02X) = %d, %v", code, n, ok)
		}
	}
	if _, ok := ConnackV4(MalformedPacket); ok {
		t.Error("3.1.1 has no return code for a malformed packet")
	}
}

// TestLongFieldsAreCut: a field of more than 65,535 bytes does not shift those behind it.
func TestLongFieldsAreCut(t *testing.T) {
	long := strings.Repeat("x", 70000)
	for _, p := range []Packet{
		&Puback{PacketID: 1, ReasonString: long, User: []UserProperty{{long, "v"}}},
		&Publish{Topic: long, Payload: []byte("p"), Properties: &PublishProperties{ContentType: long, CorrelationData: []byte(long)}},
		&Subscribe{PacketID: 1, Filters: []Subscription{{Filter: long, QoS: 1}}},
	} {
		got, err := Decode(V5, p.Append(nil, V5))
		if err != nil {
			t.Errorf("%v: %v", p.Type(), err)
			continue
		}
		if again := got.Append(nil, V5); !bytes.Equal(again, p.Append(nil, V5)) {
			t.Errorf("%v decodes to another packet", p.Type())
		}
	}
}

// TestListedCodes: the codes of SUBACK [MQTT-3.9.3-a] and UNSUBACK [MQTT-3.11.3-a] are these and no others, and an encoder that is handed another is
// found by the decoder of every test.
func TestListedCodes(t *testing.T) {
	for typ, want := range map[Type]string{
		TypeSuback:   "00 01 02 80 83 87 8F 91 97 9E A1 A2 ",
		TypeUnsuback: "00 11 80 83 87 8F 91 ",
		TypePubrel:   "00 92 ",
		TypePubcomp:  "00 92 ",
		TypeAuth:     "00 18 19 ",
	} {
		got := ""
		for c := range 256 {
			if ReasonCode(c).Listed(typ) {
				got += fmt.Sprintf("%02X ", c)
			}
		}
		if got != want {
			t.Errorf("%v may carry %s, want %s", typ, got, want)
		}
	}
}

func TestReasonCodesHaveNames(t *testing.T) {
	for typ := range Type(16) {
		for c := range 256 {
			if code := ReasonCode(c); code.Listed(typ) && reasonNames[code] == "" {
				t.Errorf("0x%02X, listed for %v, has no name", c, typ)
			}
		}
	}
}
