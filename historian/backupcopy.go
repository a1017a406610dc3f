package historian

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"

	bolt "go.etcd.io/bbolt"
)

// maxWanted is how many times the copy of a file is begun again: late samples open a day once, retention takes it once.
const maxWanted = 100

// errWanted ends the copy of a file that somebody must have to himself.
var errWanted = errors.New("historian: the file is wanted")

// copyView is a view that may be long: stop is called, from another goroutine, when the file is wanted.
type copyView func(stop func(), f func(*bolt.Tx) error) error

// copyView is view, but whoever wants the file for himself calls stop first.
func (d *storeFile) copyView(stop func(), f func(*bolt.Tx) error) error {
	d.stopCopy.Store(&stop)
	defer d.stopCopy.Store(nil)
	return d.view(func(tx *bolt.Tx) error {
		if d.wanted.Load() > 0 { // before it could know of stop
			return errWanted
		}
		return f(tx)
	})
}

// lock takes mu for writing; it waits for questions, but not for a copy.
func (d *storeFile) lock() {
	d.wanted.Add(1)
	if stop := d.stopCopy.Load(); stop != nil {
		(*stop)()
	}
	d.mu.Lock()
	d.wanted.Add(-1)
}

// pages writes a transaction's pages to a file of its own; there is false if the file was removed meanwhile. It returns errWanted when
// it is to be begun again. The disk that is written to may be slow: the transaction does not wait for it when the file is wanted.
func (b *backup) pages(ctx context.Context, path string, view copyView) (there bool, err error) {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) { // of the time before
		return false, err
	}
	g := &gently{ctx: ctx, parts: make(chan []byte), wanted: make(chan struct{}, 1), failed: make(chan struct{}), pace: b.pace}
	done := make(chan error, 1)
	go func() { done <- g.writeLoop(path) }()
	err = view(g.stop, func(tx *bolt.Tx) error {
		there = true
		_, err := tx.WriteTo(g)
		if g.err != nil {
			err = g.err // bbolt keeps only its text
		}
		return err
	})
	close(g.parts)
	if err = errors.Join(err, <-done); err == nil && !there {
		err = os.Remove(path)
	}
	return there, err
}

// gently hands what is read to a writer, in small parts: between two others may run and the end of ctx is seen, and the disk
// never has much to write at once.
type gently struct {
	ctx    context.Context
	parts  chan []byte   // closed when all is read
	wanted chan struct{} // somebody wants the file; holds one
	failed chan struct{} // closed by the writer when it cannot write
	err    error         // of Write
	pace   func()
}

func (g *gently) stop() {
	select {
	case g.wanted <- struct{}{}:
	default:
	}
}

func (g *gently) Write(p []byte) (int, error) {
	if g.err = g.ctx.Err(); g.err != nil {
		return 0, g.err
	}
	select {
	case g.parts <- bytes.Clone(p):
		return len(p), nil
	case <-g.wanted:
		g.err = errWanted
	case <-g.failed:
		g.err = fs.ErrClosed // the writer says why
	case <-g.ctx.Done():
		g.err = g.ctx.Err()
	}
	return 0, g.err
}

// writeLoop writes the parts until there are no more.
func (g *gently) writeLoop(path string) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o640)
	if err != nil {
		close(g.failed)
		return err
	}
	wait := 0 // written since the last sync
	for p := range g.parts {
		if g.pace != nil {
			g.pace()
		}
		n, err := f.Write(p)
		if wait += n; err == nil && wait >= syncBytes {
			wait, err = 0, f.Sync()
		}
		if err != nil {
			close(g.failed)
			return errors.Join(err, f.Close())
		}
	}
	return errors.Join(f.Sync(), f.Close())
}
