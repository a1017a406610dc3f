package server

import (
	"testing"

	"pgregory.net/rapid"

	"edge/broker/packets"
)

// TestBuffers takes and gives buffers at random: each has the room that was asked for and nobody else has it, and what is kept is bounded.
func TestBuffers(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var mem buffers
		type held struct {
			b    []byte
			mark byte
		}
		var all []held
		for i := range rapid.IntRange(1, 200).Draw(t, "steps") {
			if len(all) > 0 && rapid.Bool().Draw(t, "give") {
				at := rapid.IntRange(0, len(all)-1).Draw(t, "which")
				x := all[at]
				all[at] = all[len(all)-1]
				all = all[:len(all)-1]
				if x.b[0] != x.mark || x.b[len(x.b)-1] != x.mark {
					t.Fatalf("a buffer of %d bytes was written over", len(x.b))
				}
				mem.give(x.b)
				continue
			}
			n := rapid.SampledFrom([]int{1, smallBuffer, smallBuffer + 1, partBuffer, largeBuffer, 300_000, 1 << 20, 5 << 20}).Draw(t, "size")
			b := mem.space(n)
			if len(b) != n || cap(b) > max(partBuffer, 2*n) {
				t.Fatalf("asked for %d bytes: %d, and room for %d", n, len(b), cap(b))
			}
			b[0], b[n-1] = byte(i), byte(i)
			all = append(all, held{b, byte(i)})
		}
		kept := 0
		for _, class := range mem.free {
			for _, b := range class {
				kept += cap(b)
			}
		}
		if kept != mem.size || kept > keepBuffers {
			t.Fatalf("%d bytes kept, %d counted", kept, mem.size)
		}
	})
}

// TestAttackersMakeNoGarbage: packets that come in pieces, and output that waits for who does not read, use the memory of those before.
// Else a client that sends nothing but those has the garbage collector work without end.
func TestAttackersMakeNoGarbage(t *testing.T) {
	var mem buffers
	shared := packets.Share(packets.V5, "flood/x", nil, make([]byte, 1900))
	size := shared.Size(&packets.Delivery{})
	for name, f := range map[string]func(){
		"a packet of 1 MB in pieces": func() {
			in := inbox{mem: &mem}
			for have := 0; have < 1_000_010; {
				in.need = 1_000_010
				n := min(len(in.space()), 40_000)
				in.w += n
				have += n
			}
			in.free()
		},
		"half a megabyte that nobody reads": func() {
			var o outbox
			for range 250 {
				o.appendLocked(&mem, &shared, &packets.Delivery{}, size)
			}
			for !o.nothingLocked() {
				b, _ := o.takeLocked()
				mem.give(b)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			f()
			if n := testing.AllocsPerRun(20, f); n > 8 { // the list of parts
				t.Errorf("%v allocations", n)
			}
		})
	}
}
