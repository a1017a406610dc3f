package server

import (
	"fmt"
	"net"

	"golang.org/x/sys/unix"
)

// peerName is who connected, as the kernel tells.
func peerName(nc *net.UnixConn) (name string) {
	name = "unix"
	if raw, err := nc.SyscallConn(); err == nil {
		raw.Control(func(fd uintptr) { name = peerOf(int(fd)) })
	}
	return name
}

// peerOf is the process behind a unix socket, as it connected: unix:pid=12,uid=1000.
func peerOf(fd int) string {
	who, err := unix.GetsockoptUcred(fd, unix.SOL_SOCKET, unix.SO_PEERCRED)
	if err != nil {
		return "unix"
	}
	return fmt.Sprintf("unix:pid=%d,uid=%d", who.Pid, who.Uid)
}
