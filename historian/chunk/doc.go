// Package chunk turns the samples of one group of series over one window into a block of bytes, and back.
//
//	[]journal.Sample ─► Encoder ─► slots ─► columns ─► PFOR-128 ─► block ─► verified by decoding
//	block ─► Parse (head checked) ─► Timeline ─► Columns of one series ─► Decode, All, Range of indices
//
//	[]Rollup of each series ─► RollupEncoder ─► units ─► columns ─► rollup block ─► verified by decoding
//	rollup block ─► ParseRollups ─► Read one series
//
// Samples that arrived in one message share a slot: its time stamp, its arrival time, its flags and its first journal
// index are stored once. What a series adds is which slots it is in, its values, and its own time stamps where they differ.
//
// The package is pure: no goroutine, file or clock. An Encoder, a RollupEncoder and a *Block belong to one goroutine; a *Block keeps a reference
// to its bytes, and Columns.Bytes do.
//
// Every sample comes back bit by bit (NaN payloads, negative zero, null), or Encode returns an error: nothing is stored that
// cannot be read back; for that the block is decoded, and a digest of every field of every sample compared. Parse and what follows never panic and never allocate more than MaxSamples and MaxSeries allow,
// whatever the bytes are.
//
// FORMAT.md in the folder above draws the bytes. Source of the residual coding: Zukowski et al., "Super-Scalar RAM-CPU
// Cache Compression" (patched frame of reference), with blocks of 128.
package chunk
