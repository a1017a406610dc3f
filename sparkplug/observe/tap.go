package observe

import (
	"bytes"
	"io"
	"net"
	"sync"

	"edge/broker/packets"
)

// Tap is a TCP proxy between MQTT clients and one server: it gives every packet to a Wire before it passes it on. What is
// not MQTT ends the connection. Plain TCP only.
type Tap struct {
	w      *Wire
	name   string
	target string
	listen net.Listener
	wg     sync.WaitGroup

	mu   sync.Mutex // guards the rest
	open map[net.Conn]bool
	shut bool
}

// maxPacket bounds the packets that a Tap lets through.
const maxPacket = 16 << 20

// Tap starts to listen on an address, "127.0.0.1:0" for any free port, for clients of the server at target. name tells the server
// from others, in the judgement of edge nodes and hosts that know several.
func (w *Wire) Tap(name, address, target string) (*Tap, error) {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, err
	}
	t := &Tap{w: w, name: name, target: target, listen: l, open: map[net.Conn]bool{}}
	t.wg.Go(t.acceptLoop)
	return t, nil
}

// Addr is where clients connect.
func (t *Tap) Addr() string { return t.listen.Addr().String() }

// Name is the server's name.
func (t *Tap) Name() string { return t.name }

// Cut closes every connection without a packet, as a broken line would.
func (t *Tap) Cut() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for c := range t.open {
		_ = c.Close()
	}
}

// Close ends the listener and all connections, and waits for them.
func (t *Tap) Close() {
	t.mu.Lock()
	t.shut = true
	t.mu.Unlock()
	_ = t.listen.Close()
	t.Cut()
	t.wg.Wait()
}

func (t *Tap) acceptLoop() {
	for {
		c, err := t.listen.Accept()
		if err != nil {
			return
		}
		t.wg.Go(func() { t.serve(c) })
	}
}

// hold notes a socket that Cut closes; it returns false when the Tap is closed.
func (t *Tap) hold(c net.Conn) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.open[c] = true
	return !t.shut
}

func (t *Tap) drop(c net.Conn) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.open, c)
	_ = c.Close()
}

// serve carries one connection until either side ends it.
func (t *Tap) serve(client net.Conn) {
	defer t.drop(client)
	server, err := net.Dial("tcp", t.target)
	if err != nil {
		return
	}
	defer t.drop(server)
	if !t.hold(client) || !t.hold(server) {
		return
	}
	judged := t.w.Open(t.name)
	both := passage{conn: judged, known: make(chan struct{})}
	var back sync.WaitGroup
	back.Go(func() {
		both.toClient(server, client)
		_ = client.Close()
	})
	both.toServer(client, server)
	_ = server.Close()
	back.Wait()
	judged.Closed()
}

// passage is the two directions of one connection.
type passage struct {
	conn    *Conn
	version packets.Version // set before known is closed
	known   chan struct{}   // closed when the CONNECT was read
}

func (p *passage) toServer(from io.Reader, to io.Writer) {
	first := true
	pass(from, to, func(frame []byte) (packets.Packet, error) {
		pk, err := packets.Decode(p.version, frame)
		if c, ok := pk.(*packets.Connect); ok && first {
			p.version, first = c.Version, false
			close(p.known)
		}
		return pk, err
	}, func(pk packets.Packet) { p.conn.Packet(true, pk) })
	if first {
		close(p.known)
	}
}

func (p *passage) toClient(from io.Reader, to io.Writer) {
	<-p.known
	pass(from, to, func(frame []byte) (packets.Packet, error) { return packets.Decode(p.version, frame) },
		func(pk packets.Packet) { p.conn.Packet(false, pk) })
}

// pass reads packets, shows each of them, then writes its bytes as they came. Topic aliases are resolved in what is shown.
func pass(from io.Reader, to io.Writer, decode func([]byte) (packets.Packet, error), show func(packets.Packet)) {
	var buf []byte
	chunk := make([]byte, 16<<10)
	aliases := map[uint16]string{}
	for {
		n, complete, err := packets.FrameLength(buf, maxPacket)
		if err != nil {
			return
		}
		if !complete {
			n, err := from.Read(chunk)
			buf = append(buf, chunk[:n]...)
			if err != nil && n == 0 {
				return
			}
			continue
		}
		frame := bytes.Clone(buf[:n])
		buf = buf[n:]
		p, err := decode(frame)
		if err != nil {
			return
		}
		if pub, ok := p.(*packets.Publish); ok && pub.TopicAlias > 0 {
			if pub.Topic == "" {
				pub.Topic = aliases[pub.TopicAlias]
			} else {
				aliases[pub.TopicAlias] = pub.Topic
			}
		}
		show(p)
		if _, err := to.Write(frame); err != nil {
			return
		}
	}
}
