package powercut

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"
)

// The parts of linux/fuse.h that a file system of one file needs.
const (
	fuseLookup, fuseForget, fuseGetattr, fuseSetattr        = 1, 2, 3, 4
	fuseOpen, fuseRead, fuseWrite, fuseRelease              = 14, 15, 16, 18
	fuseFsync, fuseFlush, fuseInit, fuseOpendir             = 20, 25, 26, 27
	fuseReleasedir, fuseInterrupt, fuseDestroy              = 29, 36, 38
	fuseBatchForget                                         = 42
	fuseMajor, fuseMinor                                    = 7, 31
	fuseDirectIO                                            = 1      // of an open file: the kernel keeps no pages of it
	fuseBigWrites                                           = 1 << 5 // more than a page a request
	maxWrite                                                = 128 << 10
	headBytes                                               = 40
	folderID, diskID                                 uint64 = 1, 2
	diskName                                                = "disk"
)

type fuseIn struct {
	Len, Op              uint32
	Unique, Node         uint64
	UID, GID, PID, Extra uint32
}

type fuseOut struct {
	Len    uint32
	Err    int32
	Unique uint64
}

type fuseAttr struct {
	Ino, Size, Blocks, Atime, Mtime, Ctime                 uint64
	AtimeNs, MtimeNs, CtimeNs, Mode, Nlink, UID, GID, Rdev uint32
	BlkSize, Flags                                         uint32
}

type fuseEntryOut struct {
	Node, Generation, EntryValid, AttrValid uint64
	EntryValidNs, AttrValidNs               uint32
	Attr                                    fuseAttr
}

type fuseAttrOut struct {
	Valid       uint64
	ValidNs, At uint32
	Attr        fuseAttr
}

type fuseOpenOut struct {
	Handle         uint64
	Flags, Backing uint32
}

type fuseInitOut struct {
	Major, Minor, ReadAhead, Flags uint32
	Background, Congestion         uint16
	MaxWrite, TimeGran             uint32
	MaxPages, Align                uint16
	More                           [8]uint32
}

type fuseIO struct { // of a read and a write
	Handle, Offset uint64
	Size, Flags    uint32
	Owner          uint64
	Open, Pad      uint32
}

type fuseWriteOut struct{ Size, Pad uint32 }

// A fuse serves one file, the disk, below a mounted folder.
type fuse struct {
	dev  *os.File
	disk *cache
	size int64
}

// mountFuse mounts a file system of one file, whose content is the disk's.
func mountFuse(at string, disk *cache, size int64) (*fuse, error) {
	fd, err := syscall.Open("/dev/fuse", syscall.O_RDWR|syscall.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	how := fmt.Sprintf("fd=%d,rootmode=40000,user_id=0,group_id=0", fd)
	if err := syscall.Mount("powercut", at, "fuse.powercut", syscall.MS_NODEV|syscall.MS_NOSUID, how); err != nil {
		_ = syscall.Close(fd)
		return nil, err
	}
	return &fuse{os.NewFile(uintptr(fd), "/dev/fuse"), disk, size}, nil
}

// serve answers one request after the other until the file system is unmounted.
func (f *fuse) serve() error {
	buf := make([]byte, maxWrite+4096)
	for {
		n, err := f.dev.Read(buf)
		switch {
		case errors.Is(err, syscall.ENODEV): // unmounted
			return nil
		case errors.Is(err, syscall.EINTR), errors.Is(err, syscall.EAGAIN), errors.Is(err, syscall.ENOENT): // the caller went away
			continue
		case err != nil:
			return err
		}
		var in fuseIn
		if _, err := binary.Decode(buf[:n], binary.NativeEndian, &in); err != nil {
			return err
		}
		if in.Op == fuseForget || in.Op == fuseBatchForget || in.Op == fuseInterrupt {
			continue
		}
		answer, errno := f.answer(in, buf[headBytes:n])
		out, err := binary.Append(nil, binary.NativeEndian, fuseOut{uint32(16 + len(answer)), -int32(errno), in.Unique})
		if err != nil {
			return err
		}
		if _, err := f.dev.Write(append(out, answer...)); err != nil && !errors.Is(err, syscall.ENOENT) {
			return err
		}
	}
}

// answer does what a request asks for.
func (f *fuse) answer(in fuseIn, body []byte) ([]byte, syscall.Errno) {
	switch in.Op {
	case fuseInit:
		return plain(fuseInitOut{Major: fuseMajor, Minor: fuseMinor, ReadAhead: maxWrite, Flags: fuseBigWrites,
			Background: 16, Congestion: 12, MaxWrite: maxWrite, TimeGran: 1})
	case fuseLookup:
		if in.Node != folderID || string(body) != diskName+"\x00" {
			return nil, syscall.ENOENT
		}
		return plain(fuseEntryOut{Node: diskID, EntryValid: 3600, AttrValid: 3600, Attr: f.attr(diskID)})
	case fuseGetattr, fuseSetattr: // a loop device asks for no other change than of times
		return plain(fuseAttrOut{Valid: 3600, Attr: f.attr(in.Node)})
	case fuseOpen:
		return plain(fuseOpenOut{Flags: fuseDirectIO})
	case fuseOpendir:
		return plain(fuseOpenOut{})
	case fuseRead, fuseWrite:
		return f.transfer(in.Op, body)
	case fuseFsync:
		return nil, failed(f.disk.flush())
	case fuseFlush, fuseRelease, fuseReleasedir, fuseDestroy:
		return nil, 0
	}
	return nil, syscall.ENOSYS
}

// transfer reads or writes.
func (f *fuse) transfer(op uint32, body []byte) ([]byte, syscall.Errno) {
	var io fuseIO
	n, err := binary.Decode(body, binary.NativeEndian, &io)
	if err != nil {
		return nil, syscall.EINVAL
	}
	if op == fuseRead {
		return f.get(int(io.Size), int64(io.Offset))
	}
	data := append([]byte(nil), body[n:]...)
	if len(data) != int(io.Size) || int64(io.Offset)+int64(len(data)) > f.size {
		return nil, syscall.EINVAL
	}
	if err := f.disk.write(data, int64(io.Offset)); err != nil {
		return nil, syscall.EIO
	}
	return plain(fuseWriteOut{Size: io.Size})
}

func (f *fuse) get(n int, at int64) ([]byte, syscall.Errno) {
	data := make([]byte, max(0, min(int64(n), f.size-at)))
	if _, err := f.disk.read(data, at); err != nil && !errors.Is(err, io.EOF) {
		return nil, syscall.EIO
	}
	return data, 0
}

func (f *fuse) attr(node uint64) fuseAttr {
	if node == folderID {
		return fuseAttr{Ino: folderID, Mode: syscall.S_IFDIR | 0o700, Nlink: 2}
	}
	return fuseAttr{Ino: diskID, Mode: syscall.S_IFREG | 0o600, Nlink: 1, Size: uint64(f.size), Blocks: uint64(f.size / sector), BlkSize: 4096}
}

func plain(v any) ([]byte, syscall.Errno) {
	b, err := binary.Append(nil, binary.NativeEndian, v)
	return b, failed(err)
}

func failed(err error) syscall.Errno {
	if err != nil {
		return syscall.EIO
	}
	return 0
}
