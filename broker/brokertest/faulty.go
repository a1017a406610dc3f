package brokertest

import (
	"errors"
	"net"
	"sync"
)

// ErrCut is the error of a Faulty connection after its cut.
var ErrCut = errors.New("connection cut by the test")

// Faulty is a connection that ends in the middle: after CutWrite bytes written or CutRead bytes read (negative: never).
// The other side has got exactly the bytes before the cut. Chunk, if above 0, is the most bytes that one Write hands on at once,
// so that packets arrive in pieces.
type Faulty struct {
	net.Conn
	CutWrite, CutRead int
	Chunk             int

	mu            sync.Mutex // guards what follows; not held while reading or writing
	written, read int
}

// CutAfter returns conn cut after n bytes have been written to it.
func CutAfter(conn net.Conn, n int) *Faulty { return &Faulty{Conn: conn, CutWrite: n, CutRead: -1} }

// InPieces returns conn handing on at most n bytes at once.
func InPieces(conn net.Conn, n int) *Faulty {
	return &Faulty{Conn: conn, CutWrite: -1, CutRead: -1, Chunk: n}
}

// Write writes b, or as much as comes before the cut, and closes the connection there.
func (f *Faulty) Write(b []byte) (n int, err error) {
	allowed := f.take(&f.written, f.CutWrite, len(b))
	for n < allowed {
		piece := b[n:allowed]
		if f.Chunk > 0 && len(piece) > f.Chunk {
			piece = piece[:f.Chunk]
		}
		m, err := f.Conn.Write(piece)
		n += m
		if err != nil {
			return n, err
		}
	}
	if allowed < len(b) {
		f.Conn.Close()
		return n, ErrCut
	}
	return n, nil
}

// Read reads what comes before the cut and closes the connection there.
func (f *Faulty) Read(b []byte) (int, error) {
	allowed := f.take(&f.read, f.CutRead, len(b))
	if allowed == 0 && len(b) > 0 {
		f.Conn.Close()
		return 0, ErrCut
	}
	n, err := f.Conn.Read(b[:allowed])
	f.mu.Lock()
	f.read -= allowed - n // what was allowed and did not come
	f.mu.Unlock()
	return n, err
}

// take adds up to want to *done without passing cut, and returns how much.
func (f *Faulty) take(done *int, cut, want int) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	if cut >= 0 {
		want = min(want, cut-*done)
	}
	*done += want
	return want
}
