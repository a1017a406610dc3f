package main

import (
	"context"
	"net"
	"os"
	"strconv"
	"time"
)

// notify tells the service manager a state, such as READY=1, over the socket it named; without one it does nothing.
func notify(state string) error {
	socket := os.Getenv("NOTIFY_SOCKET")
	if socket == "" {
		return nil
	}
	if socket[0] == '@' { // an abstract socket
		socket = "\x00" + socket[1:]
	}
	c, err := net.Dial("unixgram", socket)
	if err != nil {
		return err
	}
	defer c.Close()
	_, err = c.Write([]byte(state))
	return err
}

// watchdogInterval is how often the service manager wants to hear from us: half of what it allows; 0: never.
func watchdogInterval() time.Duration {
	usec, err := strconv.ParseInt(os.Getenv("WATCHDOG_USEC"), 10, 64)
	if err != nil || usec <= 0 {
		return 0
	}
	return time.Duration(usec) * time.Microsecond / 2
}

// watchdog pings the service manager while alive reports true, until ctx ends. A part that hangs makes it fall
// silent, and the service manager starts the program again.
func watchdog(ctx context.Context, alive func() bool) {
	every := watchdogInterval()
	if every == 0 {
		return
	}
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			if alive() {
				notify("WATCHDOG=1") //nolint:errcheck // a manager that does not listen restarts us, which is its right
			}
		}
	}
}
