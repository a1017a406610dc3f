package chunk

import (
	"edge/historian/journal"
)

// readDirectory2 reads the directory of a block before version 3, and before version 2 the statistics behind it, which are not used.
func (b *Block) readDirectory2(r, payloads *reader) bool {
	var withStats []bool
	if b.version == 1 {
		withStats = make([]bool, len(b.Entries))
	}
	id, left := uint64(0), b.count
	for i := range b.Entries {
		e := &b.Entries[i]
		bits := r.byte()
		if b.version > 1 {
			e.form = r.byte()
		}
		step := r.uvarint()
		if id += step; id > 1<<32-1 || step > 1<<32-1 || (step == 0 && i > 0) {
			return false
		}
		e.Series, e.Type = journal.SeriesID(id), journal.DataType(bits&maxType)
		e.Ascending = bits&entryAscending != 0
		e.Count = r.count(min(left, b.slots))
		left -= e.Count
		e.payload = payloads.take(r.count(len(payloads.b)))
		e.First = b.First + journal.Millis(r.uvarint())
		e.Last = b.Last - journal.Millis(r.uvarint())
		if b.version > 1 {
			if e.scale = r.scale(e.form); r.bad {
				return false
			}
			if bits&entryStats != 0 {
				e.Stats = &b.stats[i]
				r.stats(e.Stats, e)
			}
		} else {
			e.Last = e.First + (b.Last - e.Last)
			withStats[i] = bits&entryStats != 0
		}
	}
	for i, has := range withStats {
		if has {
			r.skipStats1(b.Entries[i].Type)
		}
	}
	return !r.bad && !payloads.bad && left == 0
}
