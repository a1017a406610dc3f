package packets

import "testing"

// TestCountStops: what is too much for a packet is refused without being counted to its end.
func TestCountStops(t *testing.T) {
	r := reader{b: make([]byte, 1<<20)} // empty filters
	if n := r.count(1); n != MaxEntries+1 {
		t.Errorf("counted to %d", n)
	}
	pair := []byte{0, 0, 0, 0, byte(propUser)}
	var pairs []byte
	for range 4 * MaxEntries {
		pairs = append(pairs, pair...)
	}
	if n := pairsAhead(pairs); n != MaxEntries+1 {
		t.Errorf("%d pairs ahead", n)
	}
}
