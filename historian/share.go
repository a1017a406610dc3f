package historian

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
)

// A question about many metrics is cut into pieces, which its caller's goroutine takes one after the other. Where other
// processors are free for it, helpers take some of them as well: there is one less than there are processors, for all questions
// together. While a window is written to the files no helper begins another piece: what comes in goes before what is asked.

// leastShared is how many metrics of one block group make a piece at least: who has a piece reads the heads of its blocks.
const leastShared = 16

func newHelpers() chan struct{} { return make(chan struct{}, runtime.GOMAXPROCS(0)-1) }

// shared is a scan in pieces.
type shared struct {
	sc     *scan
	f      func(context.Context, *scan) error
	pieces [][]*track
	next   atomic.Int64 // of pieces

	mu   sync.Mutex
	work work // guarded by mu
}

// inPieces calls f with scans that have all the tracks between them, from several goroutines at once, and ends the scans.
func (sc *scan) inPieces(ctx context.Context, f func(context.Context, *scan) error) error {
	s := &shared{sc: sc, f: f, pieces: sc.pieces(1 + cap(sc.s.helpers))}
	if len(s.pieces) == 1 {
		return f(ctx, sc)
	}
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	var helpers sync.WaitGroup
	for range len(s.pieces) - 1 {
		s.startHelper(ctx, stop, &helpers)
	}
	for s.take(ctx, stop) {
	}
	helpers.Wait()
	sc.work.add(&s.work)
	return context.Cause(ctx)
}

// startHelper starts one if a processor is free for it. It ends when the pieces do, or ctx does, and the starter waits for it.
func (s *shared) startHelper(ctx context.Context, stop context.CancelCauseFunc, running *sync.WaitGroup) {
	select {
	case s.sc.s.helpers <- struct{}{}:
	default:
		return
	}
	running.Go(func() {
		defer func() { <-s.sc.s.helpers }()
		for !s.sc.s.isWriting() && s.take(ctx, stop) {
		}
	})
}

// take does the next piece; false: there is none, or one failed.
func (s *shared) take(ctx context.Context, stop context.CancelCauseFunc) bool {
	i := int(s.next.Add(1)) - 1
	if i >= len(s.pieces) || ctx.Err() != nil {
		return false
	}
	part := s.sc.s.newScan(s.pieces[i])
	defer part.end()
	part.usable, part.left, part.piece, part.reader.numbersOnly = s.sc.usable, s.sc.left, s.sc.piece, s.sc.reader.numbersOnly
	if err := s.f(ctx, part); err != nil {
		stop(err)
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.work.add(&part.work)
	return true
}

// pieces divides the tracks for n goroutines. Those of one part of the scan stay together, unless they are more than a share; small
// parts are put together.
func (sc *scan) pieces(n int) (out [][]*track) {
	share := max(sc.s.leastShared, (len(sc.tracks)+n-1)/n)
	var small []*track
	for _, p := range sc.parts {
		if len(p.tracks) <= share/2 {
			if small = append(small, p.tracks...); len(small) > share/2 {
				out, small = append(out, small), nil
			}
			continue
		}
		cuts := max(1, (len(p.tracks)+share/2)/share)
		for i := range cuts { // dense and sparse metrics mostly alternate: each piece has some of both
			var piece []*track
			for k := i; k < len(p.tracks); k += cuts {
				piece = append(piece, p.tracks[k])
			}
			out = append(out, piece)
		}
	}
	if len(small) > 0 || len(out) == 0 {
		out = append(out, small)
	}
	slices.SortStableFunc(out, func(a, b []*track) int { return len(b) - len(a) })
	return out
}

// isWriting says that a window is being written to the files.
func (s *Store) isWriting() bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.flushing != nil
}

func (w *work) add(o *work) {
	w.Views, w.ViewRows = w.Views+o.Views, max(w.ViewRows, o.ViewRows)
	w.Blocks, w.Lines, w.Rows, w.Skipped = w.Blocks+o.Blocks, w.Lines+o.Lines, w.Rows+o.Rows, w.Skipped+o.Skipped
	w.Rollups, w.RollBlocks = w.Rollups+o.Rollups, w.RollBlocks+o.RollBlocks
}

// budget is how many samples a question may have, of all who work for it.
type budget struct {
	limit int
	left  atomic.Int64
}

func newBudget(limit int) *budget {
	b := &budget{limit: limit}
	b.left.Store(int64(limit))
	return b
}

func (b *budget) take(n int) { b.left.Add(-int64(n)) }

// over is ErrTooMuch when more was taken than there was.
func (b *budget) over() error {
	if b.left.Load() >= 0 {
		return nil
	}
	return fmt.Errorf("%w: more than %d samples; ask for a shorter time or fewer metrics", ErrTooMuch, b.limit)
}
