package brokertest

import (
	"syscall"
	"testing"
)

// HoldPort returns a port of 127.0.0.1 for a server that the test starts by its number, and perhaps starts again. Until the test ends
// the system gives it to nobody who asks for a free one: a socket is bound to it that does not listen. A server that names
// the port may listen there beside it if it sets SO_REUSEADDR, as mosquitto and net.Listen do.
func HoldPort(t testing.TB) int {
	t.Helper()
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Close(fd) })
	err = syscall.SetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_REUSEADDR, 1)
	if err == nil {
		err = syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}})
	}
	if err != nil {
		t.Fatal(err)
	}
	at, err := syscall.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	return at.(*syscall.SockaddrInet4).Port
}
