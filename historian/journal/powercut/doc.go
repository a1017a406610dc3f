// Package powercut is a disk for tests whose power can be cut.
//
//	file system (ext4) ─► loop device ─► disk (FUSE, a process of its own) ─┬─► what the machine sees
//	                                                                        └─► what is left without power
//
// The disk has a write cache that forgets: what is written is safe when a flush has come after it. A cut keeps all that is safe, and of
// what was written since, each sector of 512 bytes or not, by chance; what is written or flushed after the cut fails. That is what a
// disk promises, no more: a store that orders its writes without flushes loses on it, whatever the page cache of the machine had.
//
// Where there is no FUSE the disk is a plain file, and the cut is EXT4_IOC_SHUTDOWN without a flush of the log: what the page cache had is
// lost, what was given to the device is kept. Linux, root, mkfs.ext4 and a loop device are needed in any case.
//
// The disk's process is the test binary itself, for which its TestMain calls Main first: in the tests' own process a goroutine that reads a
// mapped page of a file on the disk could hold up the one which has to bring it. It ends with the tests, also when they are killed, and
// takes its mounts with it.
//
// Only tests import it.
//
// Sources: linux/fuse.h (protocol 7.31); linux/loop, whose flush is an fsync of its file; ext4(5).
package powercut
