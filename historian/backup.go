package historian

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"edge/historian/journal"

	bolt "go.etcd.io/bbolt"
)

// Manifest tells what a backup holds. It is written last: a folder without one is no backup.
type Manifest struct {
	Version int       `json:"version"` // of this description: 1
	Made    time.Time `json:"made"`
	// Mark is a journal index: every sample and event up to it that the store kept is in the files. Some above it are, too.
	Mark    journal.Index  `json:"mark"`
	Files   []ManifestFile `json:"files"`
	Missing []ManifestGap  `json:"missing,omitempty"` // what was too damaged to be copied
}

// ManifestFile is one file of a backup.
type ManifestFile struct {
	Name  string `json:"name"` // relative, with slashes
	Bytes int64  `json:"bytes"`
	CRC   uint32 `json:"crc32c"`
}

// ManifestGap is a file of the store that the backup does not have.
type ManifestGap struct {
	Name string `json:"name"`
	Why  string `json:"why"`
}

// ErrBackup is the answer to a backup while another is under way.
var ErrBackup = errors.New("historian: a backup is under way")

const (
	manifestName    = "manifest.json"
	manifestVersion = 1
	syncBytes       = 8 << 20 // so much is written before it goes to the disk: a commit must not wait for more
)

// Backup copies the whole store to the folder dir, which must not exist and appears when everything is copied, on the disk and
// checked. Run goes on meanwhile. It writes the head first; what was durable before the call is below the mark.
//
// Each file is copied in a read transaction of its own, one after the other: commits of the journal never wait. Who must have a file to
// itself that is being copied, to open it to write late samples or to remove it, has it at once: the copy is begun again. While
// one is copied, its file grows by what flushes write to it. On an error, or when ctx ends, nothing is left behind.
func (s *Store) Backup(ctx context.Context, dir string) (m Manifest, err error) {
	b := &backup{s: s, dir: dir + ".part"}
	return b.run(ctx, dir)
}

// backup is one run of Backup.
type backup struct {
	s    *Store
	dir  string // while it is not whole
	m    Manifest
	pace func() // for tests: called before each write
}

func (b *backup) run(ctx context.Context, dir string) (m Manifest, err error) {
	if !b.s.copying.CompareAndSwap(false, true) {
		return m, ErrBackup
	}
	defer b.s.copying.Store(false)
	if _, err := os.Lstat(dir); !errors.Is(err, fs.ErrNotExist) {
		return m, errors.Join(err, fmt.Errorf("backup %s: it exists", dir))
	}
	if err := os.RemoveAll(b.dir); err != nil { // of one that was cut off
		return m, err
	}
	if err = b.copy(ctx); err == nil {
		err = b.publish(dir)
	}
	if err != nil {
		return m, errors.Join(fmt.Errorf("backup %s: %w", dir, err), os.RemoveAll(b.dir))
	}
	return b.m, nil
}

// copy takes the days, then the months, which the days say that they have, then the catalog with the position that they all have at
// least: what of the journal is above it can be replayed over the copies. The catalog comes last, behind one more flush, so that it
// knows every series in them.
func (b *backup) copy(ctx context.Context) error {
	if err := b.s.reach(ctx, b.s.journal.Durable()); err != nil {
		return err
	}
	if err := b.s.Flush(ctx); err != nil {
		return err
	}
	mark, err := b.s.file.position()
	if err != nil {
		return err
	}
	b.m = Manifest{Version: manifestVersion, Made: b.s.o.Clock().UTC(), Mark: mark.checkpoint}
	for _, set := range [...]*fileSet{b.s.days, b.s.trends} {
		folder := filepath.Base(set.dir)
		if err := os.MkdirAll(filepath.Join(b.dir, folder), 0o750); err != nil {
			return err
		}
		for _, unit := range set.existing(0, 1<<40) {
			d := set.get(unit)
			if err := b.file(ctx, folder+"/"+filepath.Base(d.path), d.kind, d.copyView, nil); err != nil {
				return err
			}
		}
	}
	if err := b.s.Flush(ctx); err != nil {
		return err
	}
	return b.file(ctx, filepath.Base(b.s.file.path), catalogKind, func(_ func(), f func(*bolt.Tx) error) error { return b.s.file.view(f) }, &mark)
}

// file copies one file, checks the copy and notes it. One that was removed meanwhile is left out; of a damaged one the manifest tells. at
// is the position that the copy gets.
func (b *backup) file(ctx context.Context, name string, kind *fileKind, view copyView, at *position) error {
	path := filepath.Join(b.dir, filepath.FromSlash(name))
	there, err := b.pages(ctx, path, view)
	for n := 0; errors.Is(err, errWanted) && n < maxWanted; n++ {
		there, err = b.pages(ctx, path, view)
	}
	if err == nil && there && at != nil {
		err = setPosition(path, *at)
	}
	if err == nil && there {
		err = checkCopy(path, kind)
	}
	if isDamage(err) && at == nil {
		b.s.reportDamage(b.s.dir+"/"+name, err)
		b.m.Missing = append(b.m.Missing, ManifestGap{Name: name, Why: err.Error()})
		if err = os.Remove(path); errors.Is(err, fs.ErrNotExist) {
			err = nil
		}
		return err
	}
	if err != nil || !there {
		return err
	}
	f := ManifestFile{Name: name}
	if f.Bytes, f.CRC, err = sumFile(ctx, path); err == nil {
		b.m.Files = append(b.m.Files, f)
	}
	return err
}

// setPosition changes the position in a catalog's copy.
func setPosition(path string, at position) error {
	db, err := openBolt(path, false, 0)
	if err != nil {
		return err
	}
	err = guard(path, func() error {
		return db.Update(func(tx *bolt.Tx) error {
			meta := tx.Bucket(bucketMeta)
			if err := dropLedger(meta); err != nil { // the other files are older than it says
				return err
			}
			return put(meta, bucketMeta, metaPosition, at.bytes())
		})
	})
	return errors.Join(err, guard(path, db.Close))
}

// checkCopy reads every page of a file and what it says of itself.
func checkCopy(path string, kind *fileKind) error {
	if err := readTree(path); err != nil {
		return err
	}
	d := &storeFile{kind: kind, path: path}
	if unit, ok := kind.unitIn(path); ok {
		d.unit = unit
	}
	defer d.close()
	return d.view(func(tx *bolt.Tx) error { return checkBuckets(path, tx, kind) })
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func sumFile(ctx context.Context, path string) (n int64, crc uint32, err error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, 0, err
	}
	defer f.Close()
	buf := make([]byte, 256<<10)
	for {
		if err := ctx.Err(); err != nil {
			return 0, 0, err
		}
		k, err := f.Read(buf)
		n, crc = n+int64(k), crc32.Update(crc, castagnoli, buf[:k])
		if err == io.EOF {
			return n, crc, nil
		}
		if err != nil {
			return 0, 0, err
		}
	}
}

// publish writes the manifest, puts everything on the disk and gives the folder its name.
func (b *backup) publish(dir string) error {
	text, err := json.MarshalIndent(b.m, "", "\t")
	if err != nil {
		return err
	}
	f, err := os.OpenFile(filepath.Join(b.dir, manifestName), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o640)
	if err != nil {
		return err
	}
	if _, err = f.Write(append(text, '\n')); err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	for _, folder := range [...]string{filepath.Base(b.s.days.dir), filepath.Base(b.s.trends.dir), "."} {
		if err := syncDir(filepath.Join(b.dir, folder)); err != nil {
			return err
		}
	}
	if err := os.Rename(b.dir, dir); err != nil {
		return err
	}
	return syncDir(filepath.Dir(dir))
}

// maxManifest bounds what CheckBackup reads as a manifest: ten years of days take a tenth of it.
const maxManifest = 4 << 20

// CheckBackup reads a whole backup: every file is there, has its size and checksum, and can be read page by page. A store can
// then be opened on a copy of the folder, beside a journal that is empty or has what is above the mark.
func CheckBackup(ctx context.Context, dir string) (m Manifest, err error) {
	wrong := func(name string, err error) (Manifest, error) {
		return m, fmt.Errorf("backup %s: %s: %w", dir, name, err)
	}
	f, err := os.Open(filepath.Join(dir, manifestName))
	if err != nil {
		return wrong(manifestName, err)
	}
	text, err := io.ReadAll(io.LimitReader(f, maxManifest))
	if err = errors.Join(err, f.Close()); err == nil {
		err = json.Unmarshal(text, &m)
	}
	if err == nil && m.Version != manifestVersion {
		err = fmt.Errorf("version %d, this program knows %d", m.Version, manifestVersion)
	}
	if err != nil {
		return wrong(manifestName, err)
	}
	for _, f := range m.Files {
		kind := kindOf(f.Name)
		if kind == nil {
			return wrong(f.Name, errors.New("no name of a file of the store"))
		}
		path := filepath.Join(dir, filepath.FromSlash(f.Name))
		n, crc, err := sumFile(ctx, path)
		if err == nil && (n != f.Bytes || crc != f.CRC) {
			err = fmt.Errorf("%d bytes with checksum %08x, want %d with %08x", n, crc, f.Bytes, f.CRC)
		}
		if err == nil {
			err = checkCopy(path, kind)
		}
		if err != nil {
			return wrong(f.Name, err)
		}
	}
	return m, nil
}

// kindOf is the kind of a file by its name in a manifest; nil: it is none of the store's.
func kindOf(name string) *fileKind {
	if name == "catalog.db" {
		return catalogKind
	}
	for folder, kind := range map[string]*fileKind{"part": dayKind, "trend": trendKind} {
		if ok, _ := filepath.Match(folder+"/[0-9]*.db", name); ok {
			return kind
		}
	}
	return nil
}
