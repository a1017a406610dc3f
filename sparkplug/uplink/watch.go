package uplink

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"edge/sparkplug"

	"github.com/eclipse/paho.golang/paho"
)

// hosts is what is known of the primary host on each server, and which server is used.
type hosts struct {
	mu      sync.Mutex // guards the rest
	current int
	servers []hostView
}

// A hostView is the primary host's STATE on one server.
type hostView struct {
	seen    bool // a STATE was taken since the watcher connected
	watched bool // by the watcher itself
	online  bool
	last    int64 // its time stamp; an older one is ignored
	since   time.Time
	flapped bool   // it was offline before: births wait for the debounce
	left    uint64 // how often it has gone offline
	walked  uint64 // how often it had when the nodes went to the next server for that
	trouble string // why the watcher is not connected
}

func (h *hosts) init(servers int) { h.servers = make([]hostView, servers) }

func (h *hosts) server() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.current
}

// observe takes a STATE message, of the watcher or of a node's session. One that is older than the last is of a session that is over.
// A host's death has the time stamp of its birth: of two with the same the watcher knows the order, and what a node hears may be late.
// It returns whether something changed. [tck-id-message-flow-edge-node-birth-publish-phid-wait-timestamp]
// [tck-id-operational-behavior-edge-node-termination-host-offline-timestamp]
func (h *hosts) observe(server int, s sparkplug.HostState, watcher bool, now time.Time) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	v := &h.servers[server]
	if v.seen && (s.Timestamp < v.last || s.Timestamp == v.last && v.watched && !watcher) {
		return false
	}
	changed := !v.seen || v.online != s.Online
	if changed {
		v.since = now
	}
	if changed && !s.Online {
		v.flapped = v.flapped || v.online
		v.left++
	}
	v.seen, v.watched, v.online, v.last = true, v.watched || watcher, s.Online, s.Timestamp
	return changed
}

// pick returns the server to be used now, or why there is none: WaitState for want of the primary host, Down when no
// server can be reached to ask for it.
func (u *Uplink) pick(now time.Time) (server int, ok bool, state State, reason string) {
	h := &u.hosts
	h.mu.Lock()
	defer h.mu.Unlock()
	if u.o.PrimaryHost == "" {
		return h.current, true, "", ""
	}
	state = Down
	var why []string
	for k := range h.servers {
		i := (h.current + k) % len(h.servers)
		v := &h.servers[i]
		name := u.o.Servers[i].redacted()
		switch {
		case v.online && v.flapped && now.Sub(v.since) < u.o.StateDebounce:
			why = append(why, fmt.Sprintf("back online on %s, giving it %s to settle", name, u.o.StateDebounce))
		case v.online:
			h.current = i
			return i, true, "", ""
		case v.trouble != "":
			why = append(why, v.trouble)
		case !v.seen:
			why = append(why, "no STATE on "+name)
		default:
			why = append(why, fmt.Sprintf("offline since %s on %s", v.since.Format(time.TimeOnly), name))
		}
		if v.trouble == "" {
			state = WaitState
		}
	}
	if state == Down {
		return h.current, false, state, strings.Join(why, "; ")
	}
	return h.current, false, state, "waiting for the primary host " + u.o.PrimaryHost + ": " + strings.Join(why, "; ")
}

// hostOnline tells whether the primary host is online on a server, and how often it has left it before; without one births never wait.
func (u *Uplink) hostOnline(server int) (left uint64, online bool) {
	if u.o.PrimaryHost == "" {
		return 0, true
	}
	u.hosts.mu.Lock()
	defer u.hosts.mu.Unlock()
	v := &u.hosts.servers[server]
	return v.left, v.online
}

// hostOffline tells whether it said on a server that it is offline, since it had left that often. That it is back by now does not undo
// it. [tck-id-operational-behavior-edge-node-termination-host-offline]
func (u *Uplink) hostOffline(server int, left uint64) bool {
	if u.o.PrimaryHost == "" {
		return false
	}
	u.hosts.mu.Lock()
	defer u.hosts.mu.Unlock()
	v := &u.hosts.servers[server]
	return v.seen && !v.online || v.left != left
}

// moved tells whether another server is used now. One at a time. [tck-id-operational-behavior-primary-application-state-with-multiple-servers-single-server]
func (u *Uplink) moved(server int) bool { return u.hosts.server() != server }

// failed moves to the next server when this one cannot be reached. With a primary host its STATE decides.
func (u *Uplink) failed(server int) {
	for _, n := range u.all() {
		n.mu.Lock()
		up := n.attached
		n.mu.Unlock()
		if up {
			return
		}
	}
	h := &u.hosts
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.current == server && (u.o.PrimaryHost == "" || !h.servers[server].online) {
		h.current = (server + 1) % len(h.servers)
	}
}

// next moves on request.
func (u *Uplink) next(server int) {
	u.hosts.mu.Lock()
	if u.hosts.current == server {
		u.hosts.current = (server + 1) % len(u.hosts.servers)
	}
	u.hosts.mu.Unlock()
	u.wake()
}

// walk moves for a host that has left a server since it had left it so often. Whoever is late does not take along those that were born
// since then, there or elsewhere. [tck-id-operational-behavior-edge-node-termination-host-offline-reconnect]
func (u *Uplink) walk(server int, left uint64) {
	u.hosts.mu.Lock()
	v := &u.hosts.servers[server]
	first := left >= v.walked
	v.walked = v.left
	u.hosts.mu.Unlock()
	if first {
		u.next(server)
	}
}

// watchLoop follows the primary host's STATE on one server with a plain client of its own, so that it is known before
// anything is born, and does not flap with the nodes' sessions.
func (u *Uplink) watchLoop(ctx context.Context, server int) {
	backoff := u.o.BackoffMin
	for ctx.Err() == nil {
		kicks := u.kicks.Load()
		err := u.watch(ctx, server, func() { backoff = u.o.BackoffMin })
		if ctx.Err() != nil {
			return
		}
		u.hosts.mu.Lock()
		v := &u.hosts.servers[server]
		v.trouble, v.seen, v.watched, v.online = err.Error(), false, false, false
		u.hosts.mu.Unlock()
		u.wake()
		for until := time.Now().Add(backoff); ctx.Err() == nil && time.Now().Before(until) && u.kicks.Load() == kicks; {
			sleep(ctx, min(time.Until(until), time.Second))
		}
		backoff = min(2*backoff, u.o.BackoffMax)
	}
}

// sleep waits for d or ctx.
func sleep(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}

// watch is one connection of the watcher.
func (u *Uplink) watch(ctx context.Context, server int, connected func()) error {
	wake := make(chan struct{}, 1)
	poke := func() {
		select {
		case wake <- struct{}{}:
		default:
		}
	}
	receive := func(p *paho.Publish) { u.observe(server, p.Topic, p.Payload, true) }
	tcp, err := u.o.Servers[server].dial(ctx)
	if err != nil {
		return err
	}
	l, err := u.o.Servers[server].connect(ctx, tcp, &u.o, caller{fmt.Sprintf("%s/STATE/%d", u.o.ClientID, server), nil, poke, receive})
	if err != nil {
		return err
	}
	topic := sparkplug.StateTopic(u.o.PrimaryHost)
	if err := l.subscribe(ctx, paho.SubscribeOptions{Topic: topic, QoS: 1}); err != nil {
		l.close()
		return fmt.Errorf("subscribe to %s: %s", topic, plainError(err))
	}
	connected()
	u.hosts.mu.Lock()
	u.hosts.servers[server].trouble = ""
	u.hosts.mu.Unlock()
	u.wake()
	var pings uint64
	asked := time.Now()
	t := time.NewTicker(l.keepAlive / 2)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			l.disconnect(0)
			return nil
		case <-l.done():
			return l.cause()
		case <-wake:
		case <-t.C:
			if l.ping.pongs.Load() < pings && time.Since(asked) >= l.keepAlive {
				l.close()
				return fmt.Errorf("%s has not answered for %s", u.o.Servers[server].redacted(), l.keepAlive)
			}
			if l.ping.pongs.Load() >= pings {
				pings, asked = pings+1, time.Now()
				if err := l.conn.ping(); err != nil {
					l.close()
					return fmt.Errorf("write to the server: %s", plainError(err))
				}
			}
		}
	}
}

// observe takes a STATE message from a watcher or from a node's session.
func (u *Uplink) observe(server int, topic string, payload []byte, watcher bool) {
	if topic != sparkplug.StateTopic(u.o.PrimaryHost) {
		return
	}
	s, err := sparkplug.ParseState(payload)
	if err != nil {
		return
	}
	if u.hosts.observe(server, s, watcher, u.o.Clock()) {
		u.o.Log.Info("primary host", "uplink", u.o.Name, "server", u.o.Servers[server].redacted(), "online", s.Online)
		u.wake()
	}
}
