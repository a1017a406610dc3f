package historian

import (
	"cmp"
	"slices"

	"edge/historian/chunk"
	"edge/historian/journal"

	bolt "go.etcd.io/bbolt"
)

// wholeCell writes a cell of which the file can have nothing as one block, without making samples of it first.
func (w *dayWriter) wholeCell(c *cell, key []byte) error {
	data, err := c.encode(&w.s.encoder, w.object)
	if err != nil {
		return err
	}
	last := &c.slots[len(c.slots)-1]
	w.count(c.count, data, c.slots[0].index, last.index+journal.Index(last.rows)-1)
	return put(w.block, bucketBlock, key, data)
}

// encode makes a block of all samples of a cell, and puts its large values into the file.
func (c *cell) encode(e *chunk.Encoder, objects *bolt.Bucket) ([]byte, error) {
	ids, places := c.columns()
	if err := e.Begin(ids); err != nil {
		return nil, err
	}
	for i := range c.slots {
		if err := c.encodeSlot(i, places, e, objects); err != nil {
			return nil, err
		}
	}
	return e.End()
}

// encodeSlot adds the rows of one slot. Most are Good and have a number: of these no sample is made.
func (c *cell) encodeSlot(i int, places []uint16, e *chunk.Encoder, objects *bolt.Bucket) error {
	r := c.rowsOf(i)
	var flags uint8
	if r.slot.flags&slotHistorical != 0 {
		flags |= chunk.Historical
	}
	if r.slot.flags&slotBirth != 0 {
		flags |= chunk.Birth
	}
	for r.left > 0 {
		if place, at, num, ok := r.nextNumber(); ok {
			if err := e.Number(int(places[place]), r.member.kind, r.index, at, r.slot.received, flags, num); err != nil {
				return err
			}
			continue
		}
		var v journal.Sample
		r.next()
		r.view(&v)
		if v.Value.Bytes != nil {
			if err := putLarge(objects, &v.Value); err != nil {
				return err
			}
		}
		if err := e.Add(int(places[r.place]), &v); err != nil {
			return err
		}
	}
	return nil
}

// columns are the series that have samples, ascending by number, and where each place is among them.
func (c *cell) columns() (ids []journal.SeriesID, places []uint16) {
	order := make([]uint16, 0, len(c.members))
	for i := range c.members {
		if c.members[i].series != nil {
			order = append(order, uint16(i))
		}
	}
	slices.SortFunc(order, func(a, b uint16) int { return cmp.Compare(c.members[a].series.id, c.members[b].series.id) })
	ids, places = make([]journal.SeriesID, len(order)), make([]uint16, len(c.members))
	for i, place := range order {
		ids[i], places[place] = c.members[place].series.id, uint16(i)
	}
	return ids, places
}
