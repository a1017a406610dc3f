package journal

import "time"

// enough is how many awaited records do not wait for more: together they fill a page of flash (16 KiB), so that a commit of their
// own costs it nothing.
const enough = 128

// A commit that comes at once and does not fill a page writes padding. As many a second are allowed in the long run as an interval of
// 10 ms makes, and reserve on top: 400 MB that bursts and backlogs may write, and one client that never stops may not write all day.
const (
	hurriedPerSecond = 100
	hurriedReserve   = 100_000
)

// Await says that someone waits for i, who may do so for due from now. The commit that holds it comes earlier when enough
// others are awaited in it, and at once if now says that waiting gathers nothing more, unless too many such commits wrote little.
// An index that is on its way to the disk or not given yet changes nothing.
func (j *Journal) Await(i Index, due time.Duration, now bool) {
	began := time.Now()
	at := began
	j.mu.Lock()
	b := &j.active
	if b.empty() || i < b.first || i > b.last {
		j.mu.Unlock()
		return
	}
	b.awaited++
	if b.awaited < enough && !(now && j.mayHurryLocked(b, at)) {
		at = at.Add(due)
	}
	wake := false
	if at.Before(b.due) {
		wake = !j.alarmLocked(at.Sub(began))
		b.due = at
	}
	j.mu.Unlock()
	if wake {
		poke(j.wake)
	}
}

// mayHurryLocked tells whether b may be committed at once for someone's sake, and counts it if it writes less than a page.
func (j *Journal) mayHurryLocked(b *batch, now time.Time) bool {
	if len(b.buf) >= pageBytes || !b.due.After(now) {
		return true
	}
	earned := int64(now.Sub(j.hurriedAt) / (time.Second / hurriedPerSecond))
	if earned > 0 {
		j.hurried, j.hurriedAt = max(0, j.hurried-earned), now
	}
	if j.hurried >= hurriedReserve {
		return false
	}
	j.hurried++
	return true
}
