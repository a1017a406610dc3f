package chunk

import (
	"fmt"
	"sync"

	"github.com/klauspost/compress/zstd"
)

// MaxUnzipped bounds what Unzip gives, whatever is asked for.
const MaxUnzipped = 16 << 20

// Neither holds a state between calls; both are made when first needed.
var (
	unzstd = sync.OnceValues(func() (*zstd.Decoder, error) {
		return zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(MaxUnzipped), zstd.WithDecodeAllCapLimit(true))
	})
	tozstd = sync.OnceValues(func() (*zstd.Encoder, error) {
		return zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderCRC(false), zstd.WithLowerEncoderMem(true),
			zstd.WithWindowSize(1<<20))
	})
)

// Zip appends b, compressed with zstd.
func Zip(dst, b []byte) ([]byte, error) {
	e, err := tozstd()
	if err != nil {
		return dst, fmt.Errorf("zstd: %w", err)
	}
	return e.EncodeAll(b, dst), nil
}

// Unzip returns the n bytes that Zip was given. It allocates no more than n and MaxUnzipped.
func Unzip(zipped []byte, n uint64) ([]byte, error) {
	if n > MaxUnzipped {
		return nil, fmt.Errorf("%w: %d bytes, compressed", ErrDamaged, n)
	}
	d, err := unzstd()
	if err != nil {
		return nil, fmt.Errorf("zstd: %w", err)
	}
	b, err := d.DecodeAll(zipped, make([]byte, 0, n))
	if err != nil || uint64(len(b)) != n {
		return nil, fmt.Errorf("%w: %d bytes of %d, compressed: %v", ErrDamaged, len(b), n, err)
	}
	return b, nil
}
