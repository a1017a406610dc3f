package journal

import (
	"context"
	"time"
)

// askEvery is how often owners are asked again while the log is too long.
const askEvery = 5 * time.Second

// Owner is one who keeps what the log holds in files of its own, and says how far.
type Owner struct {
	j    *Journal
	name string

	// Guarded by Journal.mu.
	now, before Index // the latest checkpoint and the one before it
	ask         func()
}

// Owner registers an owner, whose checkpoint is 0 until it tells: no segment above it is recycled. Register before Run.
// The same name gives the same Owner.
func (j *Journal) Owner(name string) *Owner {
	j.mu.Lock()
	defer j.mu.Unlock()
	o := j.owners[name]
	if o == nil {
		o = &Owner{j: j, name: name}
		j.owners[name] = o
	}
	return o
}

// Checkpoint says that everything this owner needs, up to and including i, is safe in its own files. Call it once per
// checkpoint written (and once when the files are opened): the log keeps what is above the previous one, so that the
// owner's file may fall back by one. If i is beyond the last index, the log it came from is lost; the next index given is
// above i.
func (o *Owner) Checkpoint(i Index) {
	o.j.mu.Lock()
	o.before = min(o.now, i)
	o.now = i
	o.j.skipLocked(i)
	o.j.mu.Unlock()
	poke(o.j.wake)
	poke(o.j.chores)
}

// OnRequest registers f, called when the log needs this owner's checkpoint to stay small. It is called from the journal's
// housekeeping goroutine, repeatedly until the checkpoint came; it may take as long as writing a file.
func (o *Owner) OnRequest(f func()) {
	o.j.mu.Lock()
	defer o.j.mu.Unlock()
	o.ask = f
}

// housekeep keeps spare segments ready and the log short, until ctx ends.
func (j *Journal) housekeep(ctx context.Context) {
	tick := time.NewTicker(askEvery)
	defer tick.Stop()
	for {
		for _, ask := range j.askWhom() {
			ask()
		}
		for {
			name, ok := j.recycleOldest(j.opt.MaxBytes)
			if !ok {
				break
			}
			j.keepSpare(name)
		}
		j.makeSpares(ctx)
		select {
		case <-j.chores:
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// askWhom returns the requests of the owners that keep the log longer than MaxBytes.
func (j *Journal) askWhom() (asks []func()) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if len(j.segs) < 2 || j.bytesLocked() <= j.opt.MaxBytes {
		return nil
	}
	need := j.segs[0].lastLocked()
	for _, o := range j.owners {
		if o.before < need && o.ask != nil {
			asks = append(asks, o.ask)
		}
	}
	return asks
}

// recycleOldest takes the oldest segment out of the log, if the log is longer than keep and every owner's previous
// checkpoint has passed it, and returns its file under a spare's name.
func (j *Journal) recycleOldest(keep int64) (string, bool) {
	j.mu.Lock()
	if len(j.segs) < 2 || j.bytesLocked() <= keep || j.segs[0].pins > 0 || j.segs[0].lastLocked() > j.safeLocked() {
		j.mu.Unlock()
		return "", false
	}
	s := j.segs[0]
	j.segs = append([]*segment(nil), j.segs[1:]...)
	j.mu.Unlock()

	closeAll(s.r)
	spare := j.spareName()
	if err := j.fs.Rename(s.name, spare); err != nil {
		j.log.Warn("journal segment not recycled", "file", s.name, "err", err)
		return "", false
	}
	if s.size != int64(j.opt.SegmentBytes) {
		j.remove(spare)
		return "", false
	}
	return spare, true
}

// safeLocked is the index up to which every owner has two checkpoints.
func (j *Journal) safeLocked() Index {
	safe := j.durable
	for _, o := range j.owners {
		safe = min(safe, o.before)
	}
	return safe
}

func (j *Journal) slowestOwner() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	name, low := "nobody", Index(0)
	for _, o := range j.owners {
		if name == "nobody" || o.before < low {
			name, low = o.name, o.before
		}
	}
	return name
}

func (j *Journal) keepSpare(name string) {
	j.mu.Lock()
	keep := len(j.spares) < j.opt.Spares
	if keep {
		j.spares = append(j.spares, name)
	}
	j.mu.Unlock()
	if !keep {
		j.remove(name)
	}
}

func (j *Journal) makeSpares(ctx context.Context) {
	for ctx.Err() == nil {
		j.mu.Lock()
		enough := len(j.spares) >= j.opt.Spares || len(j.segs) == 0 // the first segment is made first
		j.mu.Unlock()
		if enough {
			return
		}
		name := j.spareName()
		if err := createZeroed(j.fs, name, j.opt.SegmentBytes); err != nil {
			j.log.Warn("journal has no spare segment", "err", err)
			return
		}
		j.keepSpare(name)
	}
}

func (j *Journal) remove(name string) {
	if err := j.fs.Remove(name); err != nil {
		j.log.Warn("journal file not removed", "file", name, "err", err)
	}
}
