package simulate

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"
)

// bdSeqs hands out the birth-death sequence numbers of all nodes of a fleet, and keeps them in a
// file if it has one: {"group/node": last used}.
type bdSeqs struct {
	file string // empty: in memory

	mu   sync.Mutex
	last map[string]uint8 // guarded by mu
}

func openBdSeqs(file string) (*bdSeqs, error) {
	b := &bdSeqs{file: file, last: map[string]uint8{}}
	if file == "" {
		return b, nil
	}
	data, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return b, nil
	}
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(data, &b.last); err != nil {
		return nil, fmt.Errorf("bdSeq file %s: %w; remove it to begin at 0", file, err)
	}
	return b, nil
}

// next is the number for one CONNECT attempt: 0 at first, then one more than the last, modulo 256. It is on disk
// before it is used. [tck-id-topics-nbirth-bdseq-increment]
func (b *bdSeqs) next(key string) (uint8, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	last, used := b.last[key]
	next := last + 1
	if !used {
		next = 0
	}
	b.last[key] = next
	if b.file == "" {
		return next, nil
	}
	data, err := json.Marshal(b.last)
	if err != nil {
		return 0, err
	}
	if err := os.WriteFile(b.file+".new", data, 0o600); err != nil {
		return 0, err
	}
	return next, os.Rename(b.file+".new", b.file)
}
