package historian

import (
	"cmp"
	"context"
	"errors"
	"slices"

	"edge/historian/chunk"
	"edge/historian/journal"

	bolt "go.etcd.io/bbolt"
)

const maxBacklog = 10_000

// Backlog returns the samples of one node with from <= Index < to in index order, at most limit (at most 10,000). next is where
// to go on: every sample of the node below next was returned or is no longer kept; it is to when nothing is left, and less
// when the store has not read the journal so far yet. A repetition of a sample that was kept is not there.
func (s *Store) Backlog(ctx context.Context, group, node string, from, to journal.Index, limit int) (samples []journal.Sample, next journal.Index, err error) {
	var b *backlog
	for err = errReplaced; errors.Is(err, errReplaced); { // by a file with other flushes
		b = &backlog{s: s, groups: s.catalog.nodeGroups(group, node), from: from, limit: min(max(1, limit), maxBacklog)}
		b.inMemory(to) // before the files: what moves there meanwhile is then seen twice, not never
		if b.from >= b.to {
			return nil, from, nil
		}
		err = b.inFiles(ctx)
	}
	if err != nil {
		return nil, from, err
	}
	if len(b.list) == b.limit {
		return b.list, b.list[len(b.list)-1].Index + 1, nil
	}
	return b.list, b.to, nil
}

var errReplaced = errors.New("the day was written anew meanwhile")

// backlog gathers the lowest limit indices of a node. What is gathered is in order; when it is full, to falls to the
// highest in it.
type backlog struct {
	s        *Store
	groups   []uint32
	from, to journal.Index
	limit    int
	list     []journal.Sample
}

func (b *backlog) inMemory(to journal.Index) {
	b.s.mu.RLock()
	defer b.s.mu.RUnlock()
	b.to = min(to, b.s.applied+1)
	for _, h := range b.s.heads() {
		for k, c := range h.cells {
			if slices.Contains(b.groups, k.group) {
				b.add(c.between(nil, b.from, b.to, b.limit))
			}
		}
	}
}

// add merges more samples in, which are in index order.
func (b *backlog) add(more []journal.Sample) {
	if len(more) == 0 {
		return
	}
	b.list = append(b.list, more...)
	slices.SortFunc(b.list, func(x, y journal.Sample) int { return cmp.Compare(x.Index, y.Index) })
	b.list = slices.CompactFunc(b.list, func(x, y journal.Sample) bool { return x.Index == y.Index })
	if len(b.list) >= b.limit {
		clear(b.list[b.limit:])
		b.list = b.list[:b.limit]
		b.to = b.list[b.limit-1].Index + 1
	}
}

// inFiles goes through the flushes that may hold the range, by the lowest index of each: when that of the next is not below
// the highest that was gathered, the list is complete.
func (b *backlog) inFiles(ctx context.Context) error {
	rows, err := b.flushes(ctx)
	if err != nil {
		return err
	}
	for _, r := range rows {
		if r.from >= b.to {
			return nil
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		d := b.s.days.get(r.day)
		err := d.view(func(tx *bolt.Tx) error {
			if d.replaced.Load() != r.replaced {
				return errReplaced
			}
			return b.flush(tx, r)
		}, bucketBlock, bucketLate)
		if err := b.s.survive(err); err != nil {
			return err
		}
	}
	return nil
}

// flushes lists the flushes that may hold samples of the range, by the lowest index of each.
func (b *backlog) flushes(ctx context.Context) (out []flushRow, err error) {
	for _, day := range b.s.days.existing(0, 1<<40) {
		if _, t := b.s.days.info(day); !t.holdsFrom(b.from) || t.firstIndex >= b.to {
			continue
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		d := b.s.days.get(day)
		err := d.view(func(tx *bolt.Tx) error {
			version, _ := versionOf(tx.Bucket(bucketMeta))
			return tx.Bucket(bucketFlush).ForEach(func(k, v []byte) error {
				if r, err := readFlushRow(day, version, k, v); err == nil && r.applied >= b.from && r.from < b.to {
					r.replaced = d.replaced.Load()
					out = append(out, r)
				}
				return nil
			})
		}, bucketFlush)
		if err := b.s.survive(err); err != nil {
			return nil, err
		}
	}
	slices.SortFunc(out, func(x, y flushRow) int {
		return cmp.Or(cmp.Compare(x.from, y.from), cmp.Compare(x.day, y.day), cmp.Compare(x.number, y.number))
	})
	return out, nil
}

// flush takes what one flush wrote of the node.
func (b *backlog) flush(tx *bolt.Tx, r flushRow) error {
	var buf []journal.Sample
	visit := func(_, v []byte) error {
		block, err := chunk.Parse(v)
		if err == nil && (block.FirstIndex >= b.to || block.LastIndex < b.from) {
			return nil
		}
		if err == nil {
			block.Objects = objectsOf(tx, func(err error) { b.s.reportDamage(b.s.days.path(r.day), err) })
			buf, err = block.Range(buf[:0], b.from, b.to, b.limit)
		}
		if isDamage(err) {
			b.s.reportDamage(b.s.days.path(r.day), err)
			return nil
		}
		b.add(buf)
		return err
	}
	blk, late := tx.Bucket(bucketBlock), tx.Bucket(bucketLate).Cursor()
	for _, g := range b.groups {
		for _, u := range r.units {
			if v := blk.Get(blockKey(u, g)); v != nil {
				if err := visit(nil, v); err != nil {
					return err
				}
			}
		}
		if err := eachLateOf(late, r.number, g, visit); err != nil {
			return err
		}
	}
	return nil
}
