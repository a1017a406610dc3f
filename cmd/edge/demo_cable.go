package main

import (
	"context"
	"errors"
	"net"
	"sync"
)

// cable is the demo's line to the enterprise: it dials TCP, and can be pulled.
type cable struct {
	mu    sync.Mutex
	cut   bool
	conns map[net.Conn]struct{}
}

var errCut = errors.New("the cable is pulled")

// dial is an uplink's Dial.
func (c *cable) dial(ctx context.Context, network, address string) (net.Conn, error) {
	if c.isCut() {
		return nil, errCut
	}
	var d net.Dialer
	conn, err := d.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cut {
		conn.Close()
		return nil, errCut
	}
	if c.conns == nil {
		c.conns = map[net.Conn]struct{}{}
	}
	plugged := &cableConn{Conn: conn, cable: c}
	c.conns[plugged] = struct{}{}
	return plugged, nil
}

// pull cuts every connection in the middle of whatever it carries; until plug none can be made.
func (c *cable) pull() {
	c.mu.Lock()
	c.cut = true
	conns := c.conns
	c.conns = nil
	c.mu.Unlock()
	for conn := range conns {
		conn.Close()
	}
}

func (c *cable) plug() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cut = false
}

func (c *cable) isCut() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.cut
}

// cableConn says why it ended, and leaves its cable's list when it is closed.
type cableConn struct {
	net.Conn
	cable *cable
}

func (c *cableConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	return n, c.cable.why(err)
}

func (c *cableConn) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	return n, c.cable.why(err)
}

// why names the pulled cable as the cause of an error.
func (c *cable) why(err error) error {
	if errors.Is(err, net.ErrClosed) && c.isCut() {
		return errCut
	}
	return err
}

func (c *cableConn) Close() error {
	c.cable.mu.Lock()
	delete(c.cable.conns, c)
	c.cable.mu.Unlock()
	return c.Conn.Close()
}
