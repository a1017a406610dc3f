package server

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coder/websocket"

	"edge/broker/packets"
)

// WebSocketOptions are what a WebSocket listener asks of an upgrade.
type WebSocketOptions struct {
	Path    string   // of the request; default /mqtt
	Origins []string // scheme://host[:port] of the pages that may connect, beside those of the same host and port
}

// WebSocketListener carries MQTT over WebSocket on the connections of l, TCP or TLS. Its Accept waits for no client: a connection is
// upgraded by its first Read, so by the goroutine that serves it, counted by the limits and within the time for CONNECT.
func WebSocketListener(l net.Listener, o WebSocketOptions) net.Listener {
	if o.Path == "" {
		o.Path = "/mqtt"
	}
	return &webSocketListener{Listener: l, options: o}
}

type webSocketListener struct {
	net.Listener
	options WebSocketOptions
}

func (l *webSocketListener) Accept() (net.Conn, error) {
	nc, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &wsConn{Conn: nc, options: &l.options}, nil
}

// wsConn is the byte stream that the binary messages of a WebSocket connection make [MQTT-6.0.0-2] [v3 MQTT-6.0.0-2]. Deadlines are those of
// the connection below. A Read that meets its deadline may have taken part of a frame, so none can follow.
type wsConn struct {
	net.Conn // TCP or TLS
	options  *WebSocketOptions
	ws       atomic.Pointer[websocket.Conn] // nil until upgraded
	closing  atomic.Bool                    // nothing is to be read any more

	reading sync.Mutex
	in      *bufio.Reader        // what ws reads from; guarded by reading
	message io.Reader            // the message that is being read, nil between two; guarded by reading
	whole   bool                 // the rest of message lies in in; guarded by reading
	fault   websocket.StatusCode // what the client did wrong, 0: nothing; guarded by reading

	writing sync.Mutex // one message at a time

	deadlines  sync.Mutex
	writeUntil time.Time // guarded by deadlines
}

// Read waits for bytes, and takes further messages along that have come whole.
func (w *wsConn) Read(p []byte) (n int, err error) {
	w.reading.Lock()
	defer w.reading.Unlock()
	if w.ws.Load() == nil {
		if err := w.upgrade(); err != nil {
			return 0, err
		}
	}
	for n < len(p) {
		if w.message == nil {
			if n == 0 {
				w.in.Peek(1) // an error comes again
			}
			if w.whole = w.hasWhole(); n > 0 && !w.whole {
				return n, nil
			}
			if err := w.next(); err != nil {
				return n, err
			}
		}
		m, err := w.message.Read(p[n:][:min(len(p)-n, max(1, w.in.Buffered()))]) // of what came, or the first byte to come
		n += m
		switch {
		case err == io.EOF:
			w.message = nil
		case err != nil:
			return n, w.explain(err)
		case !w.whole:
			return n, nil // the rest may have to be waited for
		}
	}
	return n, nil
}

// hasWhole tells whether a binary message of one frame lies in the buffer.
func (w *wsConn) hasWhole() bool {
	const finalBinary, maskKey = 0x82, 4
	n := w.in.Buffered()
	if n < 2 {
		return false
	}
	head, _ := w.in.Peek(min(n, 4))
	if head[0] != finalBinary {
		return false
	}
	switch size := int(head[1] & 0x7f); {
	case size < 126:
		return n >= 2+maskKey+size
	case size == 126 && n >= 4:
		return n >= 4+maskKey+int(binary.BigEndian.Uint16(head[2:]))
	}
	return false // of 64 KiB or more
}

// next begins the next message. Only binary ones are taken [MQTT-6.0.0-1] [v3 MQTT-6.0.0-1]; pings are answered on the way.
func (w *wsConn) next() error {
	kind, message, err := w.ws.Load().Reader(context.Background())
	switch {
	case err != nil:
		return w.explain(err)
	case kind != websocket.MessageBinary:
		w.fault = websocket.StatusUnsupportedData
		return protocolError("6", "WebSocket message is not binary")
	}
	w.message = message
	return nil
}

// explain tells the end of a connection from what the client did wrong.
func (w *wsConn) explain(err error) error {
	switch {
	case websocket.CloseStatus(err) != -1:
		return io.EOF
	case isEnd(err), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, os.ErrDeadlineExceeded), errors.As(err, new(*net.OpError)),
		errors.Is(err, context.DeadlineExceeded): // the answer to a ping found no place between messages
		return err
	}
	w.fault = websocket.StatusProtocolError
	return &packets.Error{Code: packets.ProtocolError, Section: "6", Detail: "WebSocket: " + err.Error()}
}

// Write sends p as one message.
func (w *wsConn) Write(p []byte) (int, error) {
	w.writing.Lock()
	defer w.writing.Unlock()
	ws := w.ws.Load()
	if ws == nil {
		return 0, errNoUpgrade
	}
	if err := ws.Write(context.Background(), websocket.MessageBinary, p); err != nil {
		return 0, err
	}
	return len(p), nil
}

// SetReadDeadline implements net.Conn. Once CloseWrite was called it changes nothing.
func (w *wsConn) SetReadDeadline(t time.Time) error {
	err := w.Conn.SetReadDeadline(t)
	if w.closing.Load() {
		w.Conn.SetReadDeadline(longAgo)
	}
	return err
}

// SetWriteDeadline implements net.Conn.
func (w *wsConn) SetWriteDeadline(t time.Time) error {
	w.deadlines.Lock()
	defer w.deadlines.Unlock()
	w.writeUntil = t
	return w.Conn.SetWriteDeadline(t)
}

// SetDeadline implements net.Conn.
func (w *wsConn) SetDeadline(t time.Time) error {
	return errors.Join(w.SetReadDeadline(t), w.SetWriteDeadline(t))
}

// CloseWrite says that no more comes, and waits a moment for the client to say the same. Nothing can be read or written afterwards.
func (w *wsConn) CloseWrite() error {
	ws := w.ws.Load()
	if ws == nil {
		return nil
	}
	w.closing.Store(true)
	w.Conn.SetReadDeadline(longAgo) // who reads ends
	w.reading.Lock()
	defer w.reading.Unlock()
	soon := time.Now().Add(lingering)
	w.Conn.SetReadDeadline(soon)
	w.SetWriteDeadline(soon)
	code := websocket.StatusNormalClosure
	if w.fault != 0 {
		code = w.fault
	}
	return ws.Close(code, "")
}

// Close cuts the connection.
func (w *wsConn) Close() error {
	err := closeNow(w.Conn)
	if ws := w.ws.Load(); ws != nil {
		ws.CloseNow()
	}
	return err
}

// wsBelow is the connection as the WebSocket library has it.
type wsBelow struct {
	net.Conn
	above *wsConn
}

// maxControl is the size of the largest control frame.
const maxControl = 2 + 125

// Write gives what begins when the deadline, which was set for an earlier message, is over a time of its own, and a control frame
// too when it is near: the answer to a ping. One that failed would be the last write of all.
func (b *wsBelow) Write(p []byte) (int, error) {
	w := b.above
	w.deadlines.Lock()
	now := time.Now()
	if left := w.writeUntil.Sub(now); !w.writeUntil.IsZero() && (left <= 0 || len(p) <= maxControl && left < lastWrite) && !w.closing.Load() {
		b.Conn.SetWriteDeadline(now.Add(lastWrite))
	}
	w.deadlines.Unlock()
	return b.Conn.Write(p)
}
