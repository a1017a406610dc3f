package server

import (
	"context"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"net"
	"runtime"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"edge/broker/brokertest"
	"edge/broker/packets"
)

// TestLargePacket passes one message to three subscribers over TCP: it is in memory once, it came in without being copied much,
// and afterwards nothing of it is left.
func TestLargePacket(t *testing.T) {
	for name, c := range map[string]struct {
		size   int
		stream bool
		qos    byte
	}{
		"QoS 0":                {200 << 20, false, 0},
		"QoS 1 on a goroutine": {48 << 20, true, 1},
	} {
		t.Run(name, func(t *testing.T) {
			if testing.Short() || raceEnabled {
				c.size = 16 << 20
			}
			passLarge(t, c.size, c.stream, c.qos)
		})
	}
}

// notPlain is a listener whose connections get goroutines.
type notPlain struct{ net.Listener }

func passLarge(t *testing.T, size int, stream bool, qos byte) {
	r := (&rig{limits: Limits{PacketBytes: packets.MaxPacketSize}}).start(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if stream {
		l = notPlain{l}
	}
	ctx, cancel := context.WithCancel(context.Background())
	var serving sync.WaitGroup
	serving.Go(func() { r.Server.Serve(ctx, Listener{Listener: l, Anonymous: true}) })
	defer serving.Wait()
	defer cancel()

	piece := make([]byte, 1<<20)
	for i := range len(piece) / 8 {
		binary.BigEndian.PutUint64(piece[8*i:], uint64(i)*0x9E3779B97F4A7C15)
	}
	want := crc32.NewIEEE()
	for range size / len(piece) {
		want.Write(piece)
	}
	head := (&packets.Publish{Topic: "t", QoS: qos, PacketID: 1}).Append(nil, packets.V4)
	head = append(binary.AppendUvarint([]byte{head[0]}, uint64(len(head)-2+size)), head[2:]...)

	var reading sync.WaitGroup
	for i := range 3 {
		c := rawClient(t, l, packets.V4, fmt.Sprint("sub", i))
		c.Write((&packets.Subscribe{PacketID: 1, Filters: []packets.Subscription{{Filter: "t", QoS: qos}}}).Append(nil, packets.V4))
		if _, err := io.ReadFull(c, make([]byte, 5)); err != nil {
			t.Fatal(err)
		}
		reading.Go(func() {
			sum := crc32.NewIEEE()
			if _, err := io.CopyN(io.Discard, c, int64(len(head))); err != nil {
				t.Error(err)
			}
			if n, err := io.CopyN(sum, c, int64(size)); err != nil || sum.Sum32() != want.Sum32() {
				t.Errorf("%d bytes came, right %v: %v", n, sum.Sum32() == want.Sum32(), err)
			}
			if qos > 0 {
				c.Write((&packets.Puback{PacketID: 1}).Append(nil, packets.V4))
			}
		})
	}
	pub := rawClient(t, l, packets.V4, "pub")
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	pub.Write(head)
	for range size / len(piece) {
		if _, err := pub.Write(piece); err != nil {
			t.Fatal(err)
		}
	}
	reading.Wait()
	runtime.ReadMemStats(&after)
	if n := float64(after.TotalAlloc-before.TotalAlloc) / float64(size); n > 2.2 {
		t.Errorf("%.2f times its size allocated", n)
	} else {
		t.Logf("%d MiB, %.2f times its size allocated", size>>20, n)
	}
	ping := packets.Pingreq{}
	pub.Write(ping.Append(nil, packets.V4))
	io.ReadFull(pub, make([]byte, 2))
	for until := time.Now().Add(10 * time.Second); ; {
		runtime.GC()
		runtime.ReadMemStats(&after)
		if int64(after.HeapAlloc)-int64(before.HeapAlloc) < int64(size/4) {
			break
		}
		if time.Now().After(until) {
			t.Fatalf("%d bytes are still there", after.HeapAlloc-before.HeapAlloc)
		}
	}
}

// TestLengthFor: a buffer never has more than four times the bytes that have come, and growing it to any packet copies and
// allocates less than twice that packet.
func TestLengthFor(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		need := rapid.IntRange(1, packets.MaxPacketSize).Draw(t, "need")
		allocated := 0
		for have := smallBuffer; have < need; {
			n := lengthFor(have, need)
			if n <= have || n > 4*have {
				t.Fatalf("%d bytes become %d", have, n)
			}
			allocated += n
			have = n
		}
		if allocated > 2*need+largeBuffer {
			t.Fatalf("%d bytes allocated for %d", allocated, need)
		}
	})
}

// TestInboxGivesUp sends large and small packets back to back in pieces of any size: what was handed out is not written to.
func TestInboxGivesUp(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var wire []byte
		var want []uint32
		for range rapid.IntRange(1, 6).Draw(t, "packets") {
			p := &packets.Publish{Topic: "t", Payload: make([]byte, rapid.SampledFrom([]int{1, 5000, 70_000, 300_000}).Draw(t, "size"))}
			for i := range p.Payload {
				p.Payload[i] = byte(i + len(want))
			}
			want = append(want, crc32.ChecksumIEEE(p.Payload))
			wire = p.Append(wire, packets.V4)
		}
		var in inbox
		defer in.free()
		var got [][]byte
		for len(wire) > 0 {
			space := in.space()
			n := copy(space[:min(len(space), rapid.IntRange(1, 200_000).Draw(t, "read"))], wire)
			in.w += n
			wire = wire[n:]
			for {
				frame, rest, err := in.next(in.waiting(), 0)
				if err != nil {
					t.Fatal(err)
				}
				if frame == nil {
					break
				}
				in.r = in.w - len(rest)
				var p packets.Publish
				if err := packets.DecodePublish(packets.V4, frame, &p, nil); err != nil {
					t.Fatal(err)
				}
				got = append(got, in.own(frame, p.Payload))
			}
		}
		if len(got) != len(want) {
			t.Fatalf("%d packets, want %d", len(got), len(want))
		}
		for i := range got {
			if crc32.ChecksumIEEE(got[i]) != want[i] {
				t.Fatalf("packet %d was written over", i)
			}
		}
	})
}

// TestInboxGivesUpLittle: a message does not hold more memory than a third beyond its own, whatever buffer was free when it came; and what the
// server counts is what a half packet holds.
func TestInboxGivesUpLittle(t *testing.T) {
	for name, size := range map[string]int{"just above a class": largeBuffer + 1, "half of one": 300_000, "most of one": 1_000_000} {
		t.Run(name, func(t *testing.T) {
			r := new(rig).start(t)
			in := inbox{mem: &r.Server.buffers, conn: &conn{server: r.Server, client: &client{}}}
			in.mem.give(make([]byte, smallBuffer<<classOf(size)))
			p := packets.Publish{Topic: "t", Payload: make([]byte, size)}
			for wire := p.Append(nil, packets.V4); len(wire) > 0; {
				_, _, err := in.next(in.waiting(), 0)
				if err != nil {
					t.Fatal(err)
				}
				n := copy(in.space(), wire)
				in.w += n
				wire = wire[n:]
				if held, _ := r.Server.half.held(); held != int64(cap(in.buf)) && cap(in.buf) > largeBuffer {
					t.Fatalf("%d bytes counted, of %d", held, cap(in.buf))
				}
			}
			frame, _, err := in.next(in.waiting(), 0)
			if err != nil || frame == nil {
				t.Fatal(frame, err)
			}
			if in.own(frame, frame[5:]); in.given && cap(in.buf) > len(frame)/3*4+4 {
				t.Errorf("%d bytes are held for %d", cap(in.buf), len(frame))
			}
			in.free()
		})
	}
}

// TestSlowLargePacket sends a packet that takes longer than the time for any packet, but not too slowly; then one too slowly.
func TestSlowLargePacket(t *testing.T) {
	both(t, func(t *testing.T, way path) {
		r := (&rig{limits: Limits{PacketBytes: 16 << 20}}).over(way).start(t)
		c := r.client(packets.V5, "c", true)
		raw := (&packets.Publish{Topic: "t", QoS: 1, PacketID: 1, Payload: make([]byte, 10<<20)}).Append(nil, packets.V5)
		for len(raw) > 0 {
			n := min(len(raw), 100<<10)
			c.SendRaw(raw[:n])
			raw = raw[n:]
			r.pass(time.Second)
		}
		brokertest.Expect[*packets.Puback](c)
		raw = (&packets.Publish{Topic: "t", Payload: make([]byte, 10<<20)}).Append(nil, packets.V5)
		for i := 0; i < 25; i++ {
			c.TrySendRaw(raw[:100])
			raw = raw[100:]
			r.pass(time.Second)
		}
		if code := c.ExpectClosed(); code != packets.ProtocolError {
			t.Errorf("ended with %v", code)
		}
	})
}

// TestLargeHasRoom: one packet above the limit waits beside what the limit is for, not two.
func TestLargeHasRoom(t *testing.T) {
	for _, c := range []struct {
		waiting, size int
		want          bool
	}{{0, 100, true}, {1, 100, false}, {0, 101, true}, {99, 500, true}, {100, 500, true}, {101, 500, false}, {500, 1, false}, {500, 500, false}} {
		if o := (outbox{size: c.waiting}); o.hasRoomLocked(c.size, 100) != c.want {
			t.Errorf("%d bytes beside %d: %v", c.size, c.waiting, !c.want)
		}
	}
}
