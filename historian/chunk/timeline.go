package chunk

import (
	"fmt"
	"slices"
	"sort"

	"edge/historian/journal"
)

// Timeline is what the series of a block share, decoded: when its messages came, and who was in them. It is read once for a
// block and serves all its series; reading the next block into it uses its memory again. The zero value is ready.
type Timeline struct {
	block   *Block
	at      []int64  // of each slot; of a block since version 3 the block's
	own     []int64  // memory of the times of an earlier one
	rest    reader   // arrival and what follows it: not read yet
	members [][]byte // for each series, the bytes that say which slots it is in

	arrived         bool // received and flags are read
	received, flags []int64

	// Set by number: what only a sample's index needs.
	numbered bool
	index    []int64    // of each slot's first sample
	base     []uint32   // for each slot, the place of its first sample in index order
	in       [][]uint32 // for each series its slots
	place    [][]uint32 // for each sample of a series its place in index order
	memory   []uint32   // of in and place
}

// Timeline reads the block's time line into t.
func (b *Block) Timeline(t *Timeline) error {
	t.block, t.arrived, t.numbered = nil, false, false
	r := reader{b: b.timeline, tight: b.version >= 3}
	ok := false
	if r.tight {
		t.at = b.at
		t.skipMembers(&r, b)
		t.rest, ok = r, !r.bad
	} else {
		t.own = resize(t.own, b.slots)
		t.at = t.own
		r.column(t.at)
		t.rest = r
		for range 3 { // arrival, flags, indices
			r.skipColumn(b.slots)
		}
		t.skipMembers(&r, b)
		ok = !r.bad && len(r.b) == 0
	}
	if !ok {
		return fmt.Errorf("%w: malformed timeline", ErrDamaged)
	}
	t.block = b
	return nil
}

// skipMembers finds where each series' slots are said.
func (t *Timeline) skipMembers(r *reader, b *Block) {
	t.members = t.members[:0]
	for i := range b.Entries {
		from := r.b
		r.skipSlots(b.Entries[i].Count, b.slots)
		t.members = append(t.members, from[:len(from)-len(r.b)])
	}
}

// Release forgets the block, and keeps the memory.
func (t *Timeline) Release() {
	clear(t.members[:cap(t.members)])
	t.block, t.at, t.rest, t.members = nil, nil, reader{}, t.members[:0]
}

// slots appends the slots of a series to dst.
func (t *Timeline) slots(dst []uint32, i int) ([]uint32, error) {
	dst = resize(dst, t.block.Entries[i].Count)
	r := reader{b: t.members[i], tight: t.block.version >= 3}
	if r.slots(dst, t.block.slots); r.bad {
		return dst, fmt.Errorf("%w: malformed slots of series %d", ErrDamaged, t.block.Entries[i].Series)
	}
	return dst, nil
}

// arrivals reads when messages came, and their flags.
func (t *Timeline) arrivals() error {
	if t.arrived {
		return nil
	}
	n := t.block.slots
	t.received, t.flags = resize(t.received, n), resize(t.flags, n)
	t.rest.column(t.received)
	if t.rest.column(t.flags); t.rest.bad {
		return fmt.Errorf("%w: malformed timeline", ErrDamaged)
	}
	t.arrived = true
	return nil
}

// number reads the rest and gives each sample its place and each slot its index.
func (t *Timeline) number() error {
	if t.numbered {
		return nil
	}
	if err := t.arrivals(); err != nil {
		return err
	}
	b, r := t.block, t.rest
	t.index = resize(t.index, b.slots)
	if r.column(t.index); r.bad || r.tight && len(r.b) != 0 {
		return fmt.Errorf("%w: malformed timeline", ErrDamaged)
	}
	t.memory = resize(t.memory, 2*b.count+2*b.slots)
	size, rest := t.memory[:b.slots], t.memory[b.slots:]
	clear(size)
	t.base, rest = rest[:b.slots], rest[b.slots:]
	t.in, t.place = t.in[:0], t.place[:0]
	for i := range b.Entries {
		n := b.Entries[i].Count
		slots, err := t.slots(rest[:0:n], i)
		if err != nil {
			return err
		}
		place := rest[n : 2*n]
		for k, slot := range slots {
			place[k] = size[slot] // among those of its slot; completed below
			size[slot]++
		}
		t.in, t.place, rest = append(t.in, slots), append(t.place, place), rest[2*n:]
	}
	t.count(size)
	t.numbered = true
	return nil
}

// count turns what lies between the slots into each slot's index and place, and each sample's place.
func (t *Timeline) count(size []uint32) {
	next, index := uint32(0), int64(t.block.FirstIndex)
	for k, n := range size {
		t.base[k] = next
		index += t.index[k]
		t.index[k] = index
		next += n
		index += int64(n)
	}
	for i, slots := range t.in {
		place := t.place[i]
		for k, slot := range slots {
			place[k] += t.base[slot]
		}
	}
}

// position is the place in index order of the first sample whose index is at least i.
func (t *Timeline) position(i journal.Index) int {
	slot := sort.Search(len(t.index), func(k int) bool { return journal.Index(t.index[k]) > i })
	if slot == 0 {
		return 0
	}
	end := t.block.count
	if slot < len(t.base) {
		end = int(t.base[slot])
	}
	inside := i - journal.Index(t.index[slot-1]) // indices run on inside a slot
	return min(int(t.base[slot-1])+int(min(inside, MaxSamples)), end)
}

// resize returns a slice of n elements, in s's memory if it has room; what is in it is of no meaning.
func resize[T any](s []T, n int) []T { return slices.Grow(s[:0], n)[:n] }
