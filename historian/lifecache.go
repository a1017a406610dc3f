package historian

import (
	"sync"

	"edge/historian/journal"

	bolt "go.etcd.io/bbolt"
)

// lifeCache keeps the life rows of day files as they were when they were last read, so that a question about a year does
// not open a file for each day. It holds maxLife rows; when they are full it begins anew.
type lifeCache struct {
	mu sync.Mutex
	// Guarded by mu.
	days  map[int64]dayLife // months have negative numbers
	count int
}

// dayLife are the rows of one day, by owner as keys have it, ascending by time. Nobody changes them.
type dayLife struct {
	about about // of the file when it was read
	rows  map[owner][]loggedEvent
	count int
}

// lifeOf returns a day's life rows; lifeOfMonth those that the days which are gone left in their month's trend file.
func (s *Store) lifeOf(day int64) (map[owner][]loggedEvent, error) { return s.lifeIn(s.days, day, day) }

func (s *Store) lifeOfMonth(month int64) (map[owner][]loggedEvent, error) {
	return s.lifeIn(s.trends, month, -1-month)
}

// lifeIn returns a file's life rows, which are kept under key.
func (s *Store) lifeIn(set *fileSet, unit, key int64) (map[owner][]loggedEvent, error) {
	now := set.about(unit) // before the file: what is written meanwhile makes it another
	c := &s.lives
	c.mu.Lock()
	kept, ok := c.days[key]
	c.mu.Unlock()
	if ok && kept.about == now {
		return kept.rows, nil
	}
	read := dayLife{about: now, rows: make(map[owner][]loggedEvent)}
	err := set.get(unit).view(func(tx *bolt.Tx) error {
		cur := tx.Bucket(bucketLife).Cursor()
		for k, v := cur.First(); k != nil && read.count < maxLife; k, v = cur.Next() {
			f := &journal.Fields{B: k}
			o := owner{f.Text(), f.Text(), f.Text()}
			if e, err := readLife(o, k, v); err == nil && len(f.B) == 16 && !f.Bad {
				read.rows[o] = append(read.rows[o], e)
				read.count++
			}
		}
		return nil
	}, bucketLife)
	if err != nil {
		return nil, s.survive(err)
	}
	c.keep(key, read)
	return read.rows, nil
}

func (c *lifeCache) keep(day int64, d dayLife) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.count -= c.days[day].count
	delete(c.days, day)
	if c.days == nil || c.count+d.count > maxLife || len(c.days) >= maxLife {
		c.days, c.count = make(map[int64]dayLife), 0
	}
	c.days[day] = d
	c.count += d.count
}
