package historian

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"slices"

	"edge/historian/journal"
)

// wreck is a damaged day file, read without bbolt: page by page, down from the root as far as pages can be trusted, and where
// that misses blocks, through all other pages. What is found goes into a new file.
type wreck struct {
	s      *Store
	d      *storeFile
	file   *os.File
	seen   []bool // pages
	a      *anew
	units  map[uint32]*flushRow // what blocks there are, by unit
	flush  map[uint64]*flushRow // and late blocks, by flush
	ids    map[journal.SeriesID]bool
	blocks map[blockIdentity]bool // that were put
	about  about                  // of the wreck, as far as it is known; totals are of what is found
	had    totals                 // of the wreck
	stale  bool                   // pages of earlier transactions are looked at
	rolled []element              // the state of its rollups
	said   uint64                 // bytes of births' payloads

	sums    map[string]uint64 // of the wreck's buckets, as it has them
	version uint32
	metaSum uint64 // of the rows of meta that were found
	stray   error  // it is another file than its name says
	lost    []Gap  // times whose blocks were not reached

	lacksEvents, lacksLife bool // rows of events, or of births, deaths and gaps, may be lost
	wrongLife              bool // and of the latter not all were found elsewhere
}

// salvage writes a day anew with what can still be read of it. Its position is 0: what the log has of the day is taken again.
func (s *Store) salvage(d *storeFile) (found uint64, err error) {
	w, err := s.openWreck(d)
	if err != nil {
		return 0, err
	}
	defer w.file.Close()
	save := w.save
	if s.reader == nil { // at the start, when all of the log is read again: at the next one too, should this one end before it has written
		save = func() error {
			if err := w.save(); err != nil {
				return err
			}
			return s.readAgain(position{checkpoint: s.journal.NewReader(0).Pos() - 1})
		}
	}
	if err := w.replace(save); err != nil {
		return 0, err
	}
	if w.about, err = d.readMeta(); err != nil {
		return 0, err
	}
	s.days.setInfo(d, w.about)
	if !w.about.thin { // it is rolled up again
		s.setTrended(d.unit, false)
		if s.rolling != nil { // else all are looked at
			s.rolling[d.unit] = true
		}
	}
	w.tell()
	return w.about.totals.samples, nil
}

// openWreck begins the file that is to take the wreck's place.
func (s *Store) openWreck(d *storeFile) (w *wreck, err error) {
	w = &wreck{s: s, d: d, units: make(map[uint32]*flushRow), flush: make(map[uint64]*flushRow), ids: make(map[journal.SeriesID]bool),
		blocks: make(map[blockIdentity]bool), sums: make(map[string]uint64)}
	if w.file, err = os.Open(d.path); err != nil {
		return nil, err
	}
	st, err := w.file.Stat()
	if err == nil {
		w.seen = make([]bool, st.Size()/pageBytes)
		w.a, err = beginAnew(d)
	}
	if err != nil {
		return nil, errors.Join(err, w.file.Close())
	}
	return w, nil
}

// replace puts what save finds in the wreck's place, and the wreck into the quarantine.
func (w *wreck) replace(save func() error) error {
	if err := save(); err != nil {
		w.a.abandon()
		return err
	}
	w.d.close()
	if err := keepWreck(w.d.path, w.s.o.Quarantine, w.s.o.Clock()); err != nil {
		w.a.abandon()
		return err
	}
	return w.a.finish()
}

func (w *wreck) save() error {
	metas := readMetas(w.file)
	var err error
	var undone bool
	if len(metas) > 0 {
		err = w.page(metas[0].root, nil, nil, nil, 0)
	} else {
		w.miss(bucketBlock, nil, nil)
	}
	if err == nil && len(w.lost) == 0 && w.about.totals.blockBytes != w.had.blockBytes {
		w.miss(nil, nil, nil) // elements left a page without a trace
	}
	if err == nil && (len(w.lost) > 0 || len(metas) < 2) { // a meta page that is lost may have been of the last transaction
		before := w.about.totals.samples
		err = w.others()
		undone = len(metas) < 2 && w.about.totals.samples == before // nothing is left of it, if it was the newer one
	}
	if err == nil && w.had.samples > 0 && w.about.totals.samples >= w.had.samples && w.metaIsSound() {
		w.lost = nil // all was found
	}
	if err == nil {
		err = w.stray
	}
	if err == nil {
		err = w.compare()
	}
	if undone {
		w.lost = append(w.lost, Gap{From: dayStart(w.d.unit), To: dayStart(w.d.unit + 1), Cause: "the day's file may have lost its last transaction"})
	}
	if w.wrongLife || w.lacksEvents && w.lacksLife { // else each is made of the other
		w.lost = append(w.lost, Gap{From: dayStart(w.d.unit), To: dayStart(w.d.unit + 1), Cause: "births, deaths and gaps of the day may be lost"})
	}
	if err == nil {
		err = w.series()
	}
	if w.about.thin { // else they are rolled up again, from what is there
		for _, e := range w.rolled {
			err = errors.Join(err, w.a.put(bucketMeta, e.key, e.value))
		}
	}
	if err == nil {
		err = w.flushes()
	}
	if err == nil && w.d.kind == dayKind && !w.metaIsSound() { // it may have said so
		err = w.a.put(bucketMeta, metaAgain, nil)
	}
	if err == nil && w.said > 0 {
		err = w.a.put(bucketMeta, metaSaid, binary.AppendUvarint(nil, w.said))
	}
	if err != nil {
		return err
	}
	return w.a.put(bucketMeta, metaTotals, w.about.totals.bytes())
}

// miss notes that rows of a bucket between two keys may be lost.
func (w *wreck) miss(bucket, low, high []byte) {
	if w.stale {
		return // what is lost was known before
	}
	is := func(b []byte) bool { return bucket == nil || &bucket[0] == &b[0] }
	w.lacksEvents, w.lacksLife = w.lacksEvents || is(bucketEvent), w.lacksLife || is(bucketLife)
	g := Gap{From: w.d.kind.start(w.d.unit), To: w.d.kind.start(w.d.unit + 1), Cause: "the day's file was damaged"}
	switch {
	case bucket == nil, is(bucketLate):
	case is(bucketBlock):
		if len(low) == 8 {
			g.From = max(g.From, floorTo(journal.Millis(be4(low))*unitMillis, w.s.window))
		}
		if len(high) == 8 {
			g.To = min(g.To, floorTo(journal.Millis(be4(high))*unitMillis, w.s.window)+w.s.window)
		}
	case is(bucketHour):
		if len(low) == 8 {
			g.From = max(g.From, journal.Millis(be4(low))*1000)
		}
		if len(high) == 8 {
			g.To = min(g.To, journal.Millis(be4(high))*1000+dayMillis)
		}
	default:
		return
	}
	if g.From < g.To {
		w.lost = append(w.lost, g)
	}
}

// tell puts what may be lost into the log of events.
func (w *wreck) tell() {
	w.tellLost()
	t := w.about.totals
	if w.lacksEvents {
		w.s.event(journal.Event{Kind: journal.SystemEvent, Reason: fmt.Sprintf("%s: events of the day may be lost or wrong", w.d.path)})
	}
	text := fmt.Sprintf("%s: %d samples are saved", w.d.path, t.samples)
	if w.had.samples > t.samples {
		text += fmt.Sprintf(" of %d", w.had.samples)
	}
	w.s.event(journal.Event{Kind: journal.SystemEvent, Reason: text + "; what the log still has is taken again"})
}

func (w *wreck) tellLost() {
	slices.SortFunc(w.lost, func(a, b Gap) int { return cmp.Compare(a.From, b.From) })
	merged := w.lost[:0]
	for _, g := range w.lost {
		if n := len(merged); n > 0 && merged[n-1].To >= g.From {
			merged[n-1].To = max(merged[n-1].To, g.To)
			continue
		}
		merged = append(merged, g)
	}
	for _, g := range merged {
		w.s.event(journal.Event{Kind: journal.GapEvent, At: g.From, Until: g.To, Reason: g.Cause})
	}
}
