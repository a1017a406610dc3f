package brokertest

import (
	"fmt"
	"net"
	"testing"
)

// TestHoldPort: who asks for any port never gets a held one, who names it does, and again after the server's end.
func TestHoldPort(t *testing.T) {
	const held = 400 // of the 14,000 that servers get: of 400 picks a dozen would be among them
	taken := map[int]bool{}
	for range held {
		taken[HoldPort(t)] = true
	}
	if len(taken) != held {
		t.Fatalf("%d different ports, want %d", len(taken), held)
	}
	for range held {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		if port := l.Addr().(*net.TCPAddr).Port; taken[port] {
			t.Fatalf("port %d is given to another", port)
		}
		l.Close()
	}
	for range 3 {
		port := HoldPort(t)
		for range 2 {
			l, err := net.Listen("tcp", fmt.Sprint("127.0.0.1:", port))
			if err != nil {
				t.Fatal(err)
			}
			c, err := net.Dial("tcp", l.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			if from := c.LocalAddr().(*net.TCPAddr).Port; taken[from] {
				t.Fatalf("port %d is given to a client", from)
			}
			c.Close()
			l.Close()
		}
	}
}
