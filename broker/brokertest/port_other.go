//go:build !linux

package brokertest

import (
	"net"
	"testing"
)

// HoldPort returns a port of 127.0.0.1 that was free a moment ago. Only on Linux it stays so.
func HoldPort(t testing.TB) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().(*net.TCPAddr).Port
}
