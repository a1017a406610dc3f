package journal

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Recovery tells what Open found.
type Recovery struct {
	Segments    int      // segment files with records
	Records     uint64   // indices found
	Oldest      Index    // first index in the log, 0 if it is empty
	Last        Index    // last index in the log
	TornBytes   int      // length of an unfinished last commit that was cut; it was never acknowledged
	Lost        []Lost   // damage in the middle
	Quarantined []string // files in the quarantine folder
	Took        time.Duration
}

// Lost is a stretch of indices that cannot be read: Reason says why, in plain words.
type Lost struct {
	From, To Index // both inclusive; To 0: unknown
	Reason   string
}

const (
	// indexJump keeps new indices clear of those that an unreadable end of the log may have given.
	indexJump = 1 << 32
	// maxQuarantined bounds the quarantine folder: later damaged segments are not copied there.
	maxQuarantined = 16
)

// Open opens or creates the journal in dir and recovers it: a torn tail is cut, damaged segments are copied or moved
// aside to Options.Quarantine, and Recovered tells what was found. It fails only when the folder cannot be used, or
// with a *VersionError. Nothing is committed before Run.
func Open(dir string, o Options) (*Journal, error) {
	start := time.Now()
	j := newJournal(dir, o)
	if err := j.fs.MkdirAll(dir); err != nil {
		return nil, fmt.Errorf("open journal: %w", err)
	}
	if err := j.recover(); err != nil {
		return nil, j.notOpened(err)
	}
	j.reopenLast()
	j.recovered.Took = time.Since(start)
	return j, nil
}

func newJournal(dir string, o Options) *Journal {
	o = o.withDefaults(dir)
	return &Journal{
		dir: dir, opt: o, fs: o.Files, log: o.Log,
		wake: make(chan struct{}, 1), chores: make(chan struct{}, 1),
		stop: make(chan struct{}), done: make(chan struct{}),
		owners: map[string]*Owner{}, tail: tail{max: o.TailBytes},
	}
}

func (j *Journal) notOpened(err error) error {
	for _, s := range j.segs {
		closeAll(s.r)
	}
	return fmt.Errorf("open journal %s: %w", j.dir, err)
}

// recover finds the segments, reads them in order, and decides where the log goes on.
func (j *Journal) recover() error {
	names, err := j.listFiles()
	if err != nil {
		return err
	}
	if err := j.checkVersions(names); err != nil {
		return err
	}
	lastUnreadable := false
	var buf []byte
	for _, name := range names {
		var scan segmentScan
		if buf, scan, err = j.scanFile(name, buf); err != nil {
			return err
		}
		lastUnreadable = j.adopt(scan)
	}
	j.cutRefused()
	j.dropEmpty()
	j.noteLast(lastUnreadable)
	return nil
}

// listFiles returns the segment files in order, keeps the spares and removes what an interrupted creation left.
func (j *Journal) listFiles() (segments []string, err error) {
	entries, err := j.fs.ReadDir(j.dir)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		name := e.Name()
		switch {
		case e.IsDir():
		case strings.HasSuffix(name, ".tmp"):
			j.remove(filepath.Join(j.dir, name))
		case strings.HasPrefix(name, sparePrefix):
			j.adoptSpare(name, e)
		default:
			if seq, ok := segmentSeq(name); ok && name == segmentName(seq) {
				segments = append(segments, name)
				j.nextSeq = max(j.nextSeq, seq)
			}
		}
	}
	return segments, nil
}

func (j *Journal) adoptSpare(name string, e os.DirEntry) {
	path := filepath.Join(j.dir, name)
	var n uint32
	fmt.Sscanf(name, sparePrefix+"%d", &n) // another name keeps n 0
	j.spareSeq = max(j.spareSeq, n)
	info, err := e.Info()
	if err == nil && info.Size() == int64(j.opt.SegmentBytes) && len(j.spares) < j.opt.Spares {
		j.spares = append(j.spares, path)
		return
	}
	j.remove(path)
}

// checkVersions looks at every header before anything is changed.
func (j *Journal) checkVersions(names []string) error {
	page := make([]byte, pageBytes)
	for _, name := range names {
		path := filepath.Join(j.dir, name)
		f, err := j.fs.Open(path, os.O_RDONLY)
		if err != nil {
			return err
		}
		n, _ := f.ReadAt(page, 0) // what cannot be read is judged by scanFile
		closeAll(f)
		if v, _, _, ok := parseSegmentHeader(page[:n]); ok && v > formatVersion {
			return &VersionError{File: path, Found: v, Known: formatVersion}
		}
	}
	return nil
}

// scanFile reads one segment whole. buf is scratch and is returned grown.
func (j *Journal) scanFile(name string, buf []byte) ([]byte, segmentScan, error) {
	path := filepath.Join(j.dir, name)
	seq, _ := segmentSeq(name)
	r, err := j.fs.Open(path, os.O_RDONLY)
	if err != nil {
		return buf, segmentScan{}, err
	}
	size, err := r.Size()
	if err != nil {
		closeAll(r)
		return buf, segmentScan{}, err
	}
	// A file longer than we ever make is damage: what is beyond is not looked at.
	size = min(size, max(int64(j.opt.SegmentBytes), 1<<30))
	if int64(cap(buf)) < size {
		buf = make([]byte, size)
	}
	buf = buf[:size]
	n, err := r.ReadAt(buf, 0)
	scan := scanSegment(buf[:n], seq)
	if err != nil && err != io.EOF && int64(n) < size {
		scan.damage = append(scan.damage, Lost{Reason: fmt.Sprintf("%s: %v", path, err)})
		scan.seg.end = 0
	}
	scan.seg.name, scan.seg.size, scan.seg.r = path, size, r
	return buf, scan, nil
}

// adopt takes a scanned segment into the log, moves it aside, or makes it a spare. It says whether it was unreadable.
func (j *Journal) adopt(scan segmentScan) (unreadable bool) {
	s := scan.seg
	switch {
	case scan.unstarted:
		closeAll(s.r)
		j.remove(s.name)
		return false
	case len(scan.damage) > 0 && len(s.frames) == 0:
		closeAll(s.r)
		j.quarantine(s.name, true)
		j.lose(scan.damage)
		return true
	case len(scan.damage) > 0:
		j.quarantine(s.name, false)
		j.lose(scan.damage)
	}
	j.segs = append(j.segs, s)
	j.recovered.TornBytes = scan.torn // of the last segment
	return false
}

func (j *Journal) lose(lost []Lost) {
	for _, l := range lost {
		j.log.Warn("journal damaged", "from", l.From, "to", l.To, "reason", l.Reason)
	}
	j.recovered.Lost = append(j.recovered.Lost, lost...)
}

// cutRefused makes each segment end where its successor says that the log did. Frames beyond that had failed to
// reach the disk for sure and were written again; records short of it are missing.
func (j *Journal) cutRefused() {
	for i := 0; i+1 < len(j.segs); i++ {
		s, after := j.segs[i], j.segs[i+1].after
		n := len(s.frames)
		for n > 0 && s.frames[n-1].first > after {
			n--
		}
		s.frames = s.frames[:n]
		if last := s.lastLocked(); last < after {
			j.lose([]Lost{{From: last + 1, To: after, Reason: "records missing before " + filepath.Base(j.segs[i+1].name)}})
		}
	}
}

// dropEmpty removes segments without a frame, but for the last.
func (j *Journal) dropEmpty() {
	if len(j.segs) == 0 {
		return
	}
	last := j.segs[len(j.segs)-1]
	j.segs = slices.DeleteFunc(j.segs, func(s *segment) bool {
		if len(s.frames) > 0 || s == last {
			return false
		}
		closeAll(s.r)
		j.remove(s.name)
		return true
	})
}

// noteLast sets where the log ends.
func (j *Journal) noteLast(lastUnreadable bool) {
	for _, s := range j.segs {
		j.durable = max(j.durable, s.lastLocked())
		if len(s.frames) > 0 {
			j.recovered.Segments++
		}
		for _, f := range s.frames {
			j.recovered.Records += uint64(f.last - f.first + 1)
			if j.recovered.Oldest == 0 {
				j.recovered.Oldest = f.first
			}
		}
	}
	j.recovered.Last = j.durable
	if lastUnreadable {
		j.durable += indexJump
	}
	j.last = j.durable
}

// reopenLast makes the last segment the active one, if it is whole and of this format version. What a killed process wrote may only be in the
// kernel's memory: it is flushed before anyone is told that it is durable.
func (j *Journal) reopenLast() {
	if len(j.segs) == 0 {
		return
	}
	s := j.segs[len(j.segs)-1]
	w, err := j.fs.Open(s.name, os.O_RDWR|Direct)
	if err == nil {
		err = w.Datasync()
	}
	if err != nil || s.end == 0 || s.older {
		closeAll(w)
		if err != nil {
			j.log.Error("journal segment not flushed, going on in a new one", "file", s.name, "err", err)
		}
		return
	}
	j.w = w
}

// quarantine moves a file to the quarantine folder, or copies it there if it is still of use here.
func (j *Journal) quarantine(path string, move bool) {
	to := filepath.Join(j.opt.Quarantine, "journal-"+filepath.Base(path))
	err := j.fs.MkdirAll(j.opt.Quarantine)
	if err == nil && move {
		if err = j.fs.Rename(path, to); err == nil {
			j.recovered.Quarantined = append(j.recovered.Quarantined, to)
			return
		}
	}
	if j.mayQuarantine(to) {
		err = copyFile(j.fs, path, to)
		if err == nil {
			j.recovered.Quarantined = append(j.recovered.Quarantined, to)
		}
	}
	if err != nil {
		j.log.Warn("damaged file not kept for inspection", "file", path, "err", err)
	}
	if move {
		j.remove(path)
	}
}

// mayQuarantine says whether one more file may be copied to the quarantine folder: not twice the same, not without end.
func (j *Journal) mayQuarantine(to string) bool {
	entries, err := j.fs.ReadDir(j.opt.Quarantine)
	n := 0
	for _, e := range entries {
		if e.Name() == filepath.Base(to) {
			return false
		}
		if strings.HasPrefix(e.Name(), "journal-") {
			n++
		}
	}
	return err == nil && n < maxQuarantined
}

func copyFile(fs Files, from, to string) error {
	r, err := fs.Open(from, os.O_RDONLY)
	if err != nil {
		return err
	}
	defer r.Close()
	size, err := r.Size()
	if err != nil {
		return err
	}
	w, err := fs.Open(to, os.O_RDWR|os.O_CREATE|os.O_TRUNC)
	if err != nil {
		return err
	}
	_, err = io.Copy(io.NewOffsetWriter(w, 0), io.NewSectionReader(r, 0, size))
	if cerr := w.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		fs.Remove(to)
	}
	return err
}
