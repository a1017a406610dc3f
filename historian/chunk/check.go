package chunk

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"

	"edge/historian/journal"
)

// Check checks the checksums of all series of a block, of which Parse checks the head's; nothing is decoded.
func (b *Block) Check() error {
	for i := range b.Entries {
		if err := checkPayload(b.Entries[i].payload, b.Entries[i].Series); err != nil {
			return err
		}
	}
	return nil
}

// Check checks the checksums of all series of a block of rollups.
func (b *RollupBlock) Check() error {
	for i := range b.series {
		if err := checkPayload(b.series[i].payload, b.series[i].id); err != nil {
			return err
		}
	}
	return nil
}

// checkPayload checks what a series has in a block: its last four bytes are the checksum of the others.
func checkPayload(payload []byte, id journal.SeriesID) error {
	n := len(payload) - 4
	if n < 1 || crc32.Checksum(payload[:n], castagnoli) != binary.LittleEndian.Uint32(payload[n:]) {
		return fmt.Errorf("%w: checksum of series %d", ErrDamaged, id)
	}
	return nil
}
