package session

import "slices"

// idSet is a set of packet identifiers. Few are a list; many are a bit each, so that a client that begins all 65,535 QoS 2
// messages it can, and completes none, costs 8 KiB (CVE-2023-28366).
type idSet struct {
	few  []uint16
	bits *[1 << 16 / 64]uint64 // not nil: instead of few
	n    int
}

// fewIDs is how many are looked through one by one.
const fewIDs = 64

func (s *idSet) has(id uint16) bool {
	if s.bits != nil {
		return s.bits[id/64]&(1<<(id%64)) != 0
	}
	return slices.Contains(s.few, id)
}

// add adds id, which is not in the set.
func (s *idSet) add(id uint16) {
	s.n++
	if s.bits == nil && s.n <= fewIDs {
		s.few = append(s.few, id)
		return
	}
	if s.bits == nil {
		s.bits = new([1 << 16 / 64]uint64)
		for _, old := range s.few {
			s.bits[old/64] |= 1 << (old % 64)
		}
		s.few = nil
	}
	s.bits[id/64] |= 1 << (id % 64)
}

// remove removes id, and tells whether it was there.
func (s *idSet) remove(id uint16) bool {
	if !s.has(id) {
		return false
	}
	s.n--
	switch {
	case s.bits == nil:
		i := slices.Index(s.few, id)
		s.few[i] = s.few[len(s.few)-1]
		s.few = s.few[:len(s.few)-1]
	case s.n == 0:
		s.bits = nil
	default:
		s.bits[id/64] &^= 1 << (id % 64)
	}
	return true
}

// sorted returns the identifiers in rising order, nil if there are none.
func (s *idSet) sorted() (ids []uint16) {
	if s.bits == nil {
		return slices.Sorted(slices.Values(s.few))
	}
	for id := range 1 << 16 {
		if s.bits[id/64]&(1<<(id%64)) != 0 {
			ids = append(ids, uint16(id))
		}
	}
	return ids
}
