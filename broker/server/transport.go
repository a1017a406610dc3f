package server

import (
	"crypto/tls"
	"net"
)

// tlsError is a TLS handshake that failed.
type tlsError struct{ err error }

func (e *tlsError) Error() string { return "TLS handshake: " + e.err.Error() }
func (e *tlsError) Unwrap() error { return e.err }

// handshake ends the TLS handshake of nc, if it has one, within the deadline that is set.
func handshake(nc net.Conn) error {
	t, ok := nc.(*tls.Conn)
	if !ok {
		return nil
	}
	err := t.Handshake()
	if err == nil || isEnd(err) || isTimeout(err) {
		return err
	}
	return &tlsError{err}
}

// closeNow closes a connection at once: Close of TLS waits for who does not read to be told.
func closeNow(nc net.Conn) error {
	if t, ok := nc.(*tls.Conn); ok {
		t.NetConn().Close()
	}
	return nc.Close()
}

// tlsState returns the state of a connection with TLS, else nil.
func tlsState(nc net.Conn) *tls.ConnectionState {
	if ws, ok := nc.(*wsConn); ok {
		nc = ws.Conn
	}
	if t, ok := nc.(interface{ ConnectionState() tls.ConnectionState }); ok {
		s := t.ConnectionState()
		return &s
	}
	return nil
}

// remoteName is what logs, events and the page call the other end: host:port, or the process behind a unix socket.
func remoteName(nc net.Conn) string {
	if u, ok := nc.(*net.UnixConn); ok {
		return peerName(u)
	}
	return nc.RemoteAddr().String()
}
