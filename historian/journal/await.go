package journal

import "time"

// enough is how many awaited records do not wait for more: together they fill a page of flash (16 KiB), so that a commit of their
// own costs it nothing.
const enough = 128

// Await says that someone waits for i, who may do so for due from now. The commit that holds it comes earlier when enough
// others are awaited in it. An index that is on its way to the disk or not given yet changes nothing.
func (j *Journal) Await(i Index, due time.Duration) {
	j.mu.Lock()
	b := &j.active
	if b.empty() || i < b.first || i > b.last {
		j.mu.Unlock()
		return
	}
	b.awaited++
	if b.awaited >= enough {
		due = 0
	}
	at := time.Time{}
	if due > 0 {
		at = time.Now().Add(due)
	}
	wake := at.Before(b.due)
	if wake {
		b.due = at
	}
	j.mu.Unlock()
	if wake {
		poke(j.wake)
	}
}
