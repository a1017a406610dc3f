package server

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"github.com/coder/websocket"
)

// The subprotocols of MQTT. Clients made before the standard offer the second; the packets are the same [MQTT-6.0.0-3] [MQTT-6.0.0-4].
var subprotocols = []string{"mqtt", "mqttv3.1"}

const (
	maxUpgrade = 8 << 10 // bytes of the HTTP request
	wsBuffer   = 2 << 10 // bytes, of each of a connection's two buffers
)

var errNoUpgrade = errors.New("not upgraded to WebSocket")

// upgradeError is an HTTP request that was not upgraded.
type upgradeError struct {
	status int // that was answered
	detail string
}

func (e *upgradeError) Error() string {
	return fmt.Sprintf("WebSocket: %d %s: %s", e.status, http.StatusText(e.status), e.detail)
}

// upgrade reads the HTTP request and answers it.
func (w *wsConn) upgrade() error {
	if err := handshake(w.Conn); err != nil {
		return err
	}
	request := &requestReader{from: w.Conn, left: maxUpgrade}
	answer := &upgradeAnswer{conn: w, in: bufio.NewReaderSize(request, wsBuffer), header: make(http.Header)}
	r, err := http.ReadRequest(answer.in)
	switch {
	case request.left == 0:
		return answer.refuse(http.StatusRequestHeaderFieldsTooLarge, "header too large")
	case err != nil && request.err != nil:
		return request.err
	case err != nil:
		return answer.refuse(http.StatusBadRequest, err.Error())
	}
	if status, detail := w.options.check(r, w.LocalAddr()); status != 0 {
		return answer.refuse(status, detail)
	}
	ws, err := websocket.Accept(answer, r, &websocket.AcceptOptions{
		Subprotocols: subprotocols, InsecureSkipVerify: true, // the origin is checked
	})
	if err != nil {
		return &upgradeError{answer.status, err.Error()}
	}
	ws.SetReadLimit(-1) // a message is a piece of a stream: packets have limits, messages none
	w.in = answer.in
	w.ws.Store(ws)
	return nil
}

// requestReader gives out a bounded number of bytes, and remembers why there are no more: ReadRequest takes the rest of a line for a line.
type requestReader struct {
	from io.Reader
	left int
	err  error
}

func (r *requestReader) Read(p []byte) (n int, err error) {
	if r.left == 0 {
		return 0, io.EOF
	}
	n, r.err = r.from.Read(p[:min(len(p), r.left)])
	r.left -= n
	return n, r.err
}

// check returns the status with which to refuse r, which came to the address local, 0 if there is nothing to object to.
func (o *WebSocketOptions) check(r *http.Request, local net.Addr) (status int, detail string) {
	origins := r.Header.Values("Origin")
	switch {
	case r.Host == "" || r.ContentLength != 0:
		return http.StatusBadRequest, "no host, or a body"
	case r.URL.Path != o.Path:
		return http.StatusNotFound, fmt.Sprintf("path %.100q is not served", r.URL.Path)
	case len(origins) > 1, len(origins) == 1 && !o.allows(origins[0], r.Host, local):
		return http.StatusForbidden, fmt.Sprintf("origin %.100q is not among origins", strings.Join(origins, ", "))
	case r.Header.Get("Upgrade") != "" && !offersMQTT(r.Header):
		return http.StatusBadRequest, "subprotocol mqtt is not offered"
	}
	return 0, ""
}

// allows tells whether a page of origin may connect to host. The page of the same host may; where only this machine can
// come in, host must say so too: a stranger's name can be made to point here.
func (o *WebSocketOptions) allows(origin, host string, local net.Addr) bool {
	if slices.ContainsFunc(o.Origins, func(known string) bool { return strings.EqualFold(known, origin) }) {
		return true
	}
	u, err := url.Parse(origin)
	if err != nil || u.Host == "" || !strings.EqualFold(u.Host, host) {
		return false
	}
	at, err := netip.ParseAddrPort(local.String())
	return err != nil || !at.Addr().Unmap().IsLoopback() || namesLoopback(u.Hostname())
}

func namesLoopback(host string) bool {
	addr, err := netip.ParseAddr(host)
	return strings.EqualFold(host, "localhost") || err == nil && addr.Unmap().IsLoopback()
}

func offersMQTT(h http.Header) bool {
	for _, line := range h.Values("Sec-WebSocket-Protocol") {
		for name := range strings.SplitSeq(line, ",") {
			if slices.Contains(subprotocols, strings.ToLower(strings.TrimSpace(name))) {
				return true
			}
		}
	}
	return false
}

// upgradeAnswer is the http.ResponseWriter of one request.
type upgradeAnswer struct {
	conn   *wsConn
	in     *bufio.Reader
	header http.Header
	status int
}

func (a *upgradeAnswer) refuse(status int, detail string) error {
	http.Error(a, detail, status)
	return &upgradeError{status, detail}
}

func (a *upgradeAnswer) Header() http.Header { return a.header }

// WriteHeader implements http.ResponseWriter. An error of the connection is met again by who reads next.
func (a *upgradeAnswer) WriteHeader(status int) {
	a.status = status
	if status != http.StatusSwitchingProtocols {
		a.header.Add("Connection", "close")
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "HTTP/1.1 %d %s\r\n", status, http.StatusText(status))
	a.header.Write(&b)
	b.WriteString("\r\n")
	a.conn.Conn.Write(b.Bytes())
}

func (a *upgradeAnswer) Write(p []byte) (int, error) { return a.conn.Conn.Write(p) }

// Hijack implements http.Hijacker.
func (a *upgradeAnswer) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	below := &wsBelow{a.conn.Conn, a.conn}
	return below, bufio.NewReadWriter(a.in, bufio.NewWriterSize(below, wsBuffer)), nil
}
