package historian

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"edge/historian/journal"
)

// ErrUnread is OpenReadOnly's for a journal that holds more than fits into memory.
var ErrUnread = errors.New("historian: the journal holds more than is read into memory")

// readOnlyHeads is how many times Options.HeadBytes a store that cannot write may hold.
const readOnlyHeads = 4

// OpenReadOnly opens the store in dir to be read, beside a journal of journal.OpenReadOnly: what the files do not have yet is
// read from there into memory. Neither changes a byte on disk; nobody else may have them open to write. A damaged day is a
// gap. Do not Run it. It returns ErrUnread when the journal has more than readOnlyHeads times Options.HeadBytes.
func OpenReadOnly(dir string, j *journal.Journal, o Options) (*Store, error) {
	s := newStore(dir, j, o)
	s.readOnly, s.days.readOnly, s.trends.readOnly = true, true, true
	lost, err := s.readFiles()
	if err == nil {
		s.lookAtClock()
		from := s.pos.checkpoint + 1
		if lost {
			from = 0 // as Open does
		}
		err = s.readJournal(from)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open historian %s to read: %w", dir, err), s.closeFiles())
	}
	s.measure()
	return s, nil
}

// readFiles reads the catalog, or the series from the day files when it is lost, and what each day says of itself.
func (s *Store) readFiles() (lost bool, err error) {
	lost, err = s.readCatalogFile(filepath.Join(s.dir, "catalog.db"))
	if err == nil {
		err = s.findStore()
	}
	if err != nil {
		return false, err
	}
	s.replayed, s.applied = s.pos.applied, s.pos.checkpoint
	days, err := s.days.scan()
	if err != nil {
		return false, err
	}
	for _, day := range days {
		if lost, err = s.readDay(day, lost); err != nil {
			return false, err
		}
	}
	months, err := s.trends.scan()
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false, err
	}
	for _, month := range months {
		if err = s.readMonth(month); err != nil {
			return false, err
		}
	}
	if s.file == nil {
		return lost, nil
	}
	lacks, err := s.afterFiles()
	return lost || lacks, err
}

func (s *Store) readCatalogFile(path string) (lost bool, err error) {
	db, err := openBolt(path, true, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return true, nil
	}
	if err == nil {
		s.file = &catalogFile{path: path, db: db}
		err = s.file.read(s)
	}
	if isDamage(err) {
		s.o.Log.Error("catalog is damaged, series are read from the day files", "part", "historian", "file", path, "err", err)
		s.forgetCatalog()
		return true, nil
	}
	return err == nil && s.pos == position{}, err
}

// readDay is openDay for a store that cannot move a file aside: of a damaged one the whole day is a gap.
func (s *Store) readDay(day int64, lost bool) (bool, error) {
	d := s.days.get(day)
	a, err := d.readMeta()
	if err == nil && lost {
		err = s.seriesOf(d)
	}
	if isDamage(err) {
		s.o.Log.Error("day file is damaged", "part", "historian", "file", d.path, "err", err)
		s.event(journal.Event{Kind: journal.GapEvent, At: dayStart(day), Until: dayStart(day + 1), Reason: "the day's file is damaged"})
		return true, nil
	}
	if err != nil {
		return false, err
	}
	s.opens(d, a)
	lacks, err := s.wentBack(d, a)
	return lost || lacks, err
}

func (s *Store) readMonth(month int64) error {
	d := s.trends.get(month)
	a, err := d.readMeta()
	if isDamage(err) {
		s.o.Log.Error("file is damaged", "part", "historian", "file", d.path, "err", err)
		return nil
	}
	if err != nil {
		return err
	}
	s.trends.setInfo(d, a)
	return s.monthWentBack(d, a)
}

// readJournal takes what the files do not have.
func (s *Store) readJournal(from journal.Index) error {
	s.reader = s.journal.NewReader(from)
	for {
		rec, ok, err := s.reader.TryNext()
		switch {
		case errors.Is(err, journal.ErrRecycled):
			s.skipRecycled(err)
			continue
		case err != nil || !ok:
			s.passed(s.reader.Pos() - 1)
			return err
		}
		s.apply(&rec)
		if s.head.bytes > readOnlyHeads*s.o.HeadBytes {
			return fmt.Errorf("%w; start the appliance, which writes it to its files", ErrUnread)
		}
	}
}
