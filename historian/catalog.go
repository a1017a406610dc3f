package historian

import (
	"cmp"
	"slices"
	"sync"
	"time"

	"edge/historian/chunk"
	"edge/historian/journal"
)

// groupSeries is how many series share a block.
const groupSeries = 128

// announceAgain is how long a fresh series may go without its schema record being seen before Resolve asks for it again:
// the journal may have refused the first.
const announceAgain = 2 * time.Second

// series is one type epoch of one metric. What every sample looks at takes 64 bytes, a line of the processor's cache: with
// 20,000 series waiting for memory would else cost more than anything else that is done for a sample.
type series struct {
	id     journal.SeriesID
	group  uint32           // of the block format; given once
	place  uint16           // among the series of the group; of this run of the program
	kind   journal.DataType // key.Type
	beside bool             // details.past or details.old is set; guarded by Store.mu, as latest
	latest latest
	*details
}

// details are the rest of a series.
type details struct {
	key journal.SeriesKey

	// Guarded by catalog.mu.
	announced time.Time
	durable   bool // its schema is in the durable journal, or in a file
	saved     bool // it is in catalog.db

	// Guarded by Store.mu.
	text   []byte          // the latest one's
	past   *journal.Sample // the newest historical one since the store was opened, if there is no live one
	old    *journal.Sample // the newest one of the files, when they were looked at
	looked bool
	filled journal.Millis // of those that do not count the newest one's time, if it is later than that of the newest live one of the files
}

// latest is a series' newest live sample since the store was opened.
type latest struct {
	at, received journal.Millis
	index        journal.Index
	num          uint64
	quality      journal.Quality
	have         bool // there is one
	null, birth  bool
}

func newSeries(id journal.SeriesID, k journal.SeriesKey, group uint32) *series {
	return &series{id: id, group: group, kind: k.Type, details: &details{key: k}}
}

// isAhead says of a sample with a time, received at another, that a clock which was ahead stamped it: it is later than any stamp may be,
// or, now that our clock fell back, than v came.
func isAhead(at, received journal.Millis, v *journal.Sample, latest journal.Millis) bool {
	return at > latest || received > v.Received+clockLeap && at > v.Received+clockLeap
}

// isLatest says that a live sample that came is the latest one: as a rule if it is not earlier. latest is that of bounds.
func (e *series) isLatest(v *journal.Sample, latest journal.Millis) bool {
	if e.beside && e.old != nil && isAhead(e.old.At, e.old.Received, v, latest) {
		e.old = nil
	}
	return v.At >= e.latest.at || isAhead(e.latest.at, e.latest.received, v, latest)
}

// take makes a live sample the latest one.
func (e *series) take(v *journal.Sample) {
	e.latest = latest{v.At, v.Received, v.Index, v.Value.Num, v.Quality, true, v.Value.Null, v.Birth}
	if width(e.kind) == 0 {
		e.text = v.Value.Bytes
	}
}

// takeEarlier takes a live sample that is stamped before the latest one.
func (e *series) takeEarlier(v *journal.Sample) {
	if last := e.live(); outdoes(v, &last) {
		e.filled = max(e.filled, last.At)
		e.take(v)
	}
}

// takePast takes a historical sample.
func (e *series) takePast(v *journal.Sample) {
	e.filled = max(e.filled, v.At)
	if e.latest.have || e.past != nil && v.At < e.past.At {
		return
	}
	if e.past == nil {
		e.past, e.beside = new(journal.Sample), true
	}
	*e.past = *v
}

// live returns the latest sample; Series is 0 if there is none.
func (e *series) live() (v journal.Sample) {
	if l := &e.latest; l.have {
		v = journal.Sample{Index: l.index, Series: e.id, At: l.at, Received: l.received, Quality: l.quality, Birth: l.birth,
			Value: journal.Value{Type: e.kind, Null: l.null, Num: l.num}}
		if width(e.kind) == 0 {
			v.Value.Bytes = e.text
		}
	}
	return v
}

// metric is what its type epochs share; owner is a device, or with device empty a node.
type metric struct{ group, node, device, name string }
type owner struct{ group, node, device string }

// catalog is the table of all series.
type catalog struct {
	limit int
	clock func() time.Time

	mu       sync.RWMutex
	byID     map[journal.SeriesID]*series
	table    []*series // byID again for low numbers, which all are that this program gives; nil: none
	byKey    map[journal.SeriesKey]*series
	byMetric map[metric][]*series
	byHash   map[string]metric // by journal.SeriesKey.MetricID
	groups   map[owner][]uint32
	members  map[uint32]int    // series in a group
	sorted   []*series         // all, by id, if it is as long as byID
	led      map[uint32][]lead // what leads found when byID was as long as ledOf: nobody changes it
	ledOf    int
	lastID   journal.SeriesID
	lastGrp  uint32
}

func newCatalog(limit int, clock func() time.Time) *catalog {
	return &catalog{limit: limit, clock: clock, byID: make(map[journal.SeriesID]*series), byKey: make(map[journal.SeriesKey]*series),
		byMetric: make(map[metric][]*series), byHash: make(map[string]metric), groups: make(map[owner][]uint32),
		members: make(map[uint32]int)}
}

// Resolve returns the id of a series and gives it one when it is fresh: then the caller appends a journal.KindSchema
// record before the series' first sample. id is 0 when Options.MaxSeries are taken; the sample cannot be recorded.
// A series is fresh again when its schema record did not come through the journal for two seconds.
func (s *Store) Resolve(k journal.SeriesKey) (id journal.SeriesID, fresh bool) {
	return s.catalog.resolve(k)
}

func (c *catalog) resolve(k journal.SeriesKey) (id journal.SeriesID, fresh bool) {
	c.mu.RLock()
	e := c.byKey[k]
	known := e != nil && e.durable
	c.mu.RUnlock()
	if known {
		return e.id, false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.clock()
	if e = c.byKey[k]; e == nil {
		if len(c.byID) >= c.limit {
			return 0, false
		}
		e = newSeries(c.lastID+1, k, c.groupLocked(owner{k.Group, k.Node, k.Device}))
		e.looked = true // no file has any of it that memory did not have
		c.addLocked(e)
	} else if e.durable || now.Sub(e.announced) < announceAgain {
		return e.id, false
	}
	e.announced = now
	return e.id, true
}

// groupLocked returns the group that takes the owner's next series.
func (c *catalog) groupLocked(o owner) uint32 {
	if g := c.groups[o]; len(g) > 0 && c.members[g[len(g)-1]] < groupSeries {
		return g[len(g)-1]
	}
	return c.lastGrp + 1
}

func (c *catalog) addLocked(e *series) {
	o := owner{e.key.Group, e.key.Node, e.key.Device}
	m := metric{o.group, o.node, o.device, e.key.Metric}
	c.byID[e.id], c.byKey[e.key] = e, e
	if n := int(e.id) + 1; n <= 2*c.limit+1 {
		if n > len(c.table) {
			c.table = slices.Grow(c.table, n-len(c.table))[:n]
		}
		c.table[e.id] = e
	}
	if c.byMetric[m] == nil {
		c.byHash[e.key.MetricID()] = m
	}
	c.byMetric[m] = append(c.byMetric[m], e)
	if !slices.Contains(c.groups[o], e.group) {
		c.groups[o] = append(c.groups[o], e.group)
	}
	e.place = uint16(c.members[e.group])
	c.members[e.group]++
	c.lastID, c.lastGrp = max(c.lastID, e.id), max(c.lastGrp, e.group)
}

// bind takes a series from the journal or from a file. A number or key that is already bound stays as it is.
func (c *catalog) bind(id journal.SeriesID, k journal.SeriesKey, group uint32, saved bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.byID[id]
	if e == nil {
		if c.byKey[k] != nil || len(c.byID) >= c.limit || id == 0 {
			return
		}
		if group == 0 || c.members[group] >= chunk.MaxSeries { // the latter: of a damaged file
			group = c.groupLocked(owner{k.Group, k.Node, k.Device})
		}
		e = newSeries(id, k, group)
		c.addLocked(e)
	}
	if e.key == k {
		e.durable, e.saved = true, e.saved || saved
	}
}

func (c *catalog) get(id journal.SeriesID) *series {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.getLocked(id)
}

func (c *catalog) getLocked(id journal.SeriesID) *series {
	if int(id) < len(c.table) {
		return c.table[id]
	}
	return c.byID[id]
}

// Key is what an id stands for.
func (s *Store) Key(id journal.SeriesID) (k journal.SeriesKey, ok bool) {
	if e := s.catalog.get(id); e != nil {
		return e.key, true
	}
	return k, false
}

// FindMetric finds the metric of a journal.SeriesKey.MetricID.
func (s *Store) FindMetric(id string) (group, node, device, metric string, ok bool) {
	s.catalog.mu.RLock()
	defer s.catalog.mu.RUnlock()
	m, ok := s.catalog.byHash[id]
	return m.group, m.node, m.device, m.name, ok
}

// Metrics lists every series, in the order of their ids.
func (s *Store) Metrics() []journal.Schema {
	all := s.catalog.list(func(*series) bool { return true })
	out := make([]journal.Schema, len(all))
	for i, e := range all {
		out[i] = journal.Schema{Series: e.id, Key: e.key}
	}
	return out
}

// list returns the series that keep says, by id. keep runs under the lock.
func (c *catalog) list(keep func(*series) bool) []*series {
	c.mu.RLock()
	var out []*series
	for _, e := range c.byID {
		if keep(e) {
			out = append(out, e)
		}
	}
	c.mu.RUnlock() // who resolves a new series, and all who come after, wait no longer than for this
	slices.SortFunc(out, func(a, b *series) int { return int(int64(a.id) - int64(b.id)) })
	return out
}

// unsaved lists the series that catalog.db does not have; markSaved says that it has them now.
func (c *catalog) unsaved() []*series { return c.list(func(e *series) bool { return !e.saved }) }

func (c *catalog) markSaved(list []*series) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, e := range list {
		e.saved, e.durable = true, true
	}
}

// epochs are the series of one metric.
func (c *catalog) epochs(m metric) []*series {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return slices.Clone(c.byMetric[m])
}

// nodeGroups are the groups of a node and its devices, ascending.
func (c *catalog) nodeGroups(group, node string) []uint32 {
	c.mu.RLock()
	defer c.mu.RUnlock()
	var out []uint32
	for o, g := range c.groups {
		if o.group == group && o.node == node {
			out = append(out, g...)
		}
	}
	slices.Sort(out)
	return out
}

// lead is the first epoch of a series' metric.
func (c *catalog) lead(e *series) *series {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return firstOf(c.byMetric[metric{e.key.Group, e.key.Node, e.key.Device, e.key.Metric}])
}

func firstOf(epochs []*series) *series {
	return slices.MinFunc(epochs, func(a, b *series) int { return cmp.Compare(a.id, b.id) })
}

// leads are all metrics by the group of their first epoch, ascending by its number. Nobody changes the answer.
func (c *catalog) leads() map[uint32][]lead {
	c.mu.RLock()
	out, n := c.led, len(c.byID)
	if n == c.ledOf {
		c.mu.RUnlock()
		return out
	}
	out = make(map[uint32][]lead, len(c.members))
	for _, epochs := range c.byMetric {
		first := firstOf(epochs)
		out[first.group] = append(out[first.group], lead{first.id, epochs[:len(epochs):len(epochs)]}) // nothing in it is ever another
	}
	c.mu.RUnlock()
	for _, list := range out {
		slices.SortFunc(list, func(a, b lead) int { return cmp.Compare(a.id, b.id) })
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.led, c.ledOf = out, n
	return out
}

// manyGroups is from how many groups on an event counts as one of all.
const manyGroups = 32

// groupsOf are the groups that an owner's life bears on; 0 stands for all.
func (c *catalog) groupsOf(o owner) []uint32 {
	if o.group == "" && o.node == "" {
		return []uint32{0}
	}
	var out []uint32
	if o.device == "" {
		out = c.nodeGroups(o.group, o.node)
	} else {
		c.mu.RLock()
		out = slices.Clone(c.groups[o])
		c.mu.RUnlock()
	}
	if len(out) > manyGroups {
		return []uint32{0}
	}
	return out
}

func (c *catalog) len() int {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return len(c.byID)
}
