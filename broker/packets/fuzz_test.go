package packets

import "testing"

// FuzzDecodeV31, FuzzDecodeV4 and FuzzDecodeV5 feed Decode frames as a 3.1, a 3.1.1 and a 5.0 connection would see them: no panic, what is taken
// survives encoding, and allocation follows the input.
func FuzzDecodeV31(f *testing.F) { fuzzDecode(f, V31) }

func FuzzDecodeV4(f *testing.F) { fuzzDecode(f, V4) }

func FuzzDecodeV5(f *testing.F) { fuzzDecode(f, V5) }

func fuzzDecode(f *testing.F, v Version) {
	for _, c := range wireCases {
		f.Add(c.bytes)
	}
	for _, c := range malformedCases {
		f.Add(c.bytes)
	}
	addStreams(f, v, func(frame []byte) { f.Add(frame) })
	f.Fuzz(func(t *testing.T, frame []byte) {
		checkDecode(t, v, frame)
		if n := allocatedBytes(func() { Decode(v, frame) }); n > 16*uint64(len(frame))+1024 {
			t.Fatalf("%d bytes allocated for %d", n, len(frame))
		}
	})
}

// FuzzFrameLength reads a stream: FrameLength says the same whether more bytes follow or not, and never a length that it has
// not read.
func FuzzFrameLength(f *testing.F) {
	for _, c := range wireCases {
		f.Add(c.bytes, 20)
	}
	for _, s := range streams(f) {
		f.Add(s.b, 0)
	}
	f.Fuzz(func(t *testing.T, buf []byte, limit int) {
		n, complete, err := FrameLength(buf, limit)
		if n < 0 || n > MaxPacketSize || complete && (err != nil || n > len(buf) || n < 2) {
			t.Fatalf("FrameLength(% x, %d) = %d, %v, %v", buf, limit, n, complete, err)
		}
		if complete {
			if m, again, err := FrameLength(buf[:n], limit); m != n || !again || err != nil {
				t.Fatalf("of the frame alone: %d, %v, %v", m, again, err)
			}
		}
	})
}
