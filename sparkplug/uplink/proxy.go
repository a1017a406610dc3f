package uplink

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"edge/sparkplug"

	"github.com/eclipse/paho.golang/paho"
)

// An ending is why a session ended, other than by a lost connection.
type ending struct {
	kind   endKind
	reason string
}

type endKind uint8

const (
	endStopped    endKind = iota + 1 // the uplink stops
	endDeath                         // the node died in the plant
	endReborn                        // a postmortem session whose node is back
	endPostmortem                    // a postmortem session that is done
	endHost                          // the primary host is offline
	endMove                          // to another server
	endForeign                       // another client publishes as this node
)

// takeoverPause is how long a node stays away after another client published its births.
const takeoverPause = time.Minute

// proxyLoop is the life of one node's proxy: wait until there is something to carry and somewhere to carry it, hold a
// session, and again.
func (n *node) proxyLoop(ctx context.Context) {
	backoff := n.u.o.BackoffMin
	for ctx.Err() == nil {
		if _, _, ok := n.wanted(); !ok {
			n.pause(ctx, time.Second)
			continue
		}
		if !n.hold(ctx, n.u.entry(), Connecting, "in the line of connecting nodes", "connecting") {
			continue
		}
		server, postmortem, ok := n.wanted() // things change in the line
		if !ok {
			continue
		}
		began := time.Now()
		e, err := n.session(ctx, server, postmortem)
		if err != nil && ctx.Err() == nil {
			n.u.failed(server)
			n.u.lost(n.ref, err.Error(), server)
		}
		n.u.duplicate(n.again)
		n.again = 0
		switch {
		case ctx.Err() != nil:
		case err != nil:
			if time.Since(began) > n.u.o.BackoffMax {
				backoff = n.u.o.BackoffMin
			}
			n.hold(ctx, backoff, Down, err.Error(), "trying again")
			backoff = min(2*backoff, n.u.o.BackoffMax)
		case e.kind == endForeign:
			n.u.lost(n.ref, e.reason, server)
			n.hold(ctx, takeoverPause, Down, e.reason, "trying again")
		default:
			backoff = n.u.o.BackoffMin
			n.set(Idle, e.reason)
		}
	}
}

// startGrace is how long a primary host may take to be found before the wait is an outage.
const startGrace = 5 * time.Second

// wanted tells whether the node should have a session now, on which server, and sets the reason if not.
func (n *node) wanted() (server int, postmortem, ok bool) {
	n.mu.Lock()
	born, owed, died, death := n.model.born, n.owed, n.model.diedAt, n.model.death
	n.mu.Unlock()
	now := n.u.o.Clock()
	if !born {
		if died.IsZero() {
			died, death = n.u.started, "no birth since the appliance started"
		}
		after := n.u.o.PostmortemAfter
		if owed == 0 || after < 0 || now.Sub(died) < after || n.u.fed() < n.u.boot {
			reason := "the node is not alive in the plant: " + death
			if owed > 0 && after > 0 {
				reason += fmt.Sprintf("; its %d owed samples follow at %s", owed, died.Add(after).Format(time.TimeOnly))
			}
			n.set(Idle, reason)
			if owed == 0 || after < 0 {
				n.u.excuse(n.ref)
			}
			return 0, false, false
		}
		postmortem = true
	}
	server, ok, state, reason := n.u.pick(now)
	if ok {
		n.waiting = time.Time{}
		return server, postmortem, true
	}
	n.set(state, reason)
	if n.waiting.IsZero() {
		n.waiting = time.Now()
	}
	if time.Since(n.waiting) >= startGrace {
		n.u.lost(n.ref, reason, server)
	}
	return server, postmortem, false
}

// pause waits until something changed, or d. Meanwhile the queue's bounds are kept.
func (n *node) pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-n.wake:
	case <-t.C:
	}
	n.trim(ctx, nil)
}

// hold waits for d, less if the link comes up; it returns false when ctx ended or the node died meanwhile.
func (n *node) hold(ctx context.Context, d time.Duration, state State, reason, then string) bool {
	until := time.Now().Add(d)
	kicks := n.u.kicks.Load()
	for {
		left := time.Until(until)
		if ctx.Err() != nil {
			return false
		}
		if left <= 0 || n.u.kicks.Load() != kicks {
			return true
		}
		n.set(state, fmt.Sprintf("%s; %s in %d s", reason, then, int((left+time.Second-1)/time.Second)))
		n.pause(ctx, min(left, time.Second))
	}
}

// entry reserves a place in the line of CONNECTs, with jitter.
func (u *Uplink) entry() time.Duration {
	d := u.connects.reserve(time.Now())
	if u.o.Jitter > 0 {
		d += rand.N(u.o.Jitter)
	}
	return d
}

// session connects and carries until the session ends. An error is a lost or failed connection.
func (n *node) session(ctx context.Context, server int, postmortem bool) (ending, error) {
	u := n.u
	n.set(Connecting, "connecting to "+u.o.Servers[server].redacted())
	tcp, err := u.o.Servers[server].dial(ctx)
	if err != nil {
		return ending{}, err // no CONNECT, no bdSeq
	}
	bdSeq, data := n.nextBdSeq()
	if err := u.d.State.PutSync(ctx, n.key("bdseq"), data); err != nil {
		_ = tcp.Close()
		return ending{}, fmt.Errorf("keep bdSeq before CONNECT: %w", err)
	}
	n.mu.Lock()
	n.bdSeq = int(bdSeq)
	n.mu.Unlock()
	s := &session{n: n, u: u, server: server, bdSeq: bdSeq, postmortem: postmortem, ghosts: map[string]bool{},
		commands: make(chan inbound, maxInbound)}
	will := sparkplug.NodeDeath(n.ref, bdSeq, u.o.Clock())
	l, err := u.o.Servers[server].connect(ctx, tcp, &u.o, caller{u.clientID(n.ref),
		&paho.WillMessage{Topic: will.Topic, Payload: will.Payload, QoS: 1}, n.poke, s.receive})
	if err != nil {
		return ending{}, err
	}
	s.l = l
	defer l.close()
	defer context.AfterFunc(ctx, l.conn.hurry)()
	if err := s.subscribe(ctx); err != nil {
		return ending{}, err
	}
	if e, ok := s.awaitHost(ctx); !ok {
		l.disconnect(0) // nothing was born, so nothing has to die
		return e, nil
	}
	n.set(Birthing, "publishing births")
	e, err := s.carry(ctx)
	return e, err
}

// subscribe comes before the births, QoS 1: commands, STATE, and other people's births under our name.
// [tck-id-message-flow-edge-node-ncmd-subscribe] [tck-id-message-flow-device-dcmd-subscribe]
func (s *session) subscribe(ctx context.Context) error {
	base := sparkplug.Namespace + "/" + s.n.ref.Group
	subs := []paho.SubscribeOptions{
		{Topic: base + "/NCMD/" + s.n.ref.Node, QoS: 1},
		{Topic: base + "/DCMD/" + s.n.ref.Node + "/#", QoS: 1},
	}
	if s.u.o.PrimaryHost != "" {
		subs = append(subs, paho.SubscribeOptions{Topic: sparkplug.StateTopic(s.u.o.PrimaryHost), QoS: 1})
	}
	if err := s.l.subscribe(ctx, subs...); err != nil {
		return fmt.Errorf("subscribe to the commands of %s/%s: %s; check the access rules", s.n.ref.Group, s.n.ref.Node, plainError(err))
	}
	guard := paho.SubscribeOptions{Topic: base + "/NBIRTH/" + s.n.ref.Node, QoS: 0, NoLocal: true}
	if err := s.l.subscribe(ctx, guard); err != nil {
		s.u.o.Log.Debug("no takeover guard", "group", s.n.ref.Group, "node", s.n.ref.Node, "err", err)
	}
	return nil
}

// receive takes a message from upstream. It is called by paho's goroutine and never waits: what finds no room is
// dropped, as commands are not queued.
func (s *session) receive(p *paho.Publish) {
	in := inbound{topic: p.Topic, payload: p.Payload, retained: p.Retain, repeated: p.Duplicate(), at: s.u.o.Clock()}
	select {
	case s.commands <- in:
	default:
		s.u.inboundDropped.Add(1)
	}
	s.n.poke()
}

// awaitHost waits until the primary host is online on this server. [tck-id-message-flow-edge-node-birth-publish-phid-wait]
func (s *session) awaitHost(ctx context.Context) (ending, bool) {
	deadline := time.Now().Add(s.u.o.StateWait)
	for {
		s.readInbound(ctx)
		var online bool
		if s.hostLeft, online = s.u.hostOnline(s.server); online {
			return ending{}, true
		}
		if ctx.Err() != nil {
			return ending{endStopped, "the uplink stops"}, false
		}
		if time.Now().After(deadline) {
			return ending{endHost, "the primary host " + s.u.o.PrimaryHost + " is not online on this server"}, false
		}
		s.n.set(WaitState, "connected; waiting for STATE of the primary host "+s.u.o.PrimaryHost)
		s.n.pause(ctx, time.Second)
	}
}
