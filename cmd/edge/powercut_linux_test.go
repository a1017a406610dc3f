package main

import (
	"os"
	"syscall"
	"testing"
	"unsafe"
)

// cut is EXT4_IOC_SHUTDOWN without flushing the log: from now on nothing reaches the disk.
func (d *disk) cut(t *testing.T) {
	t.Helper()
	f, err := os.Open(d.mnt)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	const request, noLogFlush = 0x8004587d, 2
	how := uint32(noLogFlush)
	if _, _, errno := syscall.Syscall(syscall.SYS_IOCTL, f.Fd(), request, uintptr(unsafe.Pointer(&how))); errno != 0 {
		t.Fatal("shut down:", errno)
	}
}
