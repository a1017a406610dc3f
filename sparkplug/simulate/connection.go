package simulate

import (
	"context"
	"errors"
	"fmt"
	"time"

	"edge/sparkplug"
)

// session is one connection of a node: one bdSeq, one run of seq. Owned by nodeLoop.
type session struct {
	*node
	link  link
	in    chan message
	bdSeq uint8
	seq   uint8 // of the next message that carries one
	born  time.Time
	asked bool   // a host asked for a rebirth that is still owed
	looks int    // intervals since the first birth
	data  int    // data messages, for the faults that count them
	spoil bool   // garbage: the next data message does not decode
	lost  string // device-loss: the device that is away
}

// byeTime is what a clean end may take.
const byeTime = 5 * time.Second

// connection runs one MQTT connection from CONNECT to its end, and tells why it ended.
func (n *node) connection(ctx context.Context) error {
	n.enter(Connecting, "")
	s := &session{node: n, in: make(chan message, inbound)}
	if err := s.number(); err != nil {
		return err
	}
	w, err := n.end.dial(ctx, n.opt.TLS, n.has(SlowLink))
	if err != nil {
		return err
	}
	defer func() {
		_ = w.Close()
		n.hold(nil)
	}()
	if !n.hold(func() { _ = w.Close() }) {
		return errors.New("halted")
	}
	if s.link, err = s.connect(ctx, w); err != nil {
		return err
	}
	err = s.live(ctx)
	_ = w.Close()
	<-s.link.done()
	return err
}

// number takes this session's bdSeq, before CONNECT: an attempt that comes to nothing counts too.
func (s *session) number() (err error) {
	if !s.has(BdSeqStuck) {
		s.bdSeq, err = s.numbers.next(s.key)
	}
	s.update(func(st *Status) { st.Connects++; st.BdSeq = int(s.bdSeq) })
	return err
}

func (s *session) connect(ctx context.Context, w *wire) (link, error) {
	o := connectOptions{clientID: s.clientID, user: s.end.user, password: s.end.password, in: s.in}
	if !s.has(NoWill) {
		m := s.death()
		o.will = &m
	}
	if s.spec.Protocol == V311 {
		return linkOrNil(connect3(ctx, w, o))
	}
	return linkOrNil(connect5(ctx, w, o))
}

// linkOrNil keeps a nil *link3 or *link5 from becoming a link that is not nil.
func linkOrNil[L link](l L, err error) (link, error) {
	if err != nil {
		return nil, err
	}
	return l, nil
}

// live is a session from SUBSCRIBE to its end. Commands and STATE are subscribed before the birth.
// [tck-id-message-flow-edge-node-ncmd-subscribe] [tck-id-message-flow-device-dcmd-subscribe]
func (s *session) live(ctx context.Context) error {
	host := s.opt.PrimaryHost
	if host == "" {
		host = "+"
	}
	filters := []string{
		sparkplug.Topic{Type: sparkplug.NCMD, Group: s.spec.Group, Node: s.spec.Node}.String(),
		sparkplug.Namespace + "/" + s.spec.Group + "/DCMD/" + s.spec.Node + "/#",
		sparkplug.Namespace + "/STATE/" + host,
	}
	if err := s.link.subscribe(ctx, filters); err != nil {
		return fmt.Errorf("subscribe: %w", err)
	}
	if err := s.awaitHost(ctx); err != nil {
		return err
	}
	if err := s.birth(ctx); err != nil {
		return s.endWith(ctx, err)
	}
	s.enter(Online, "")
	s.planHistory()
	return s.loop(ctx)
}

// loop reports until the connection ends, by whichever side.
func (s *session) loop(ctx context.Context) error {
	ticker := time.NewTicker(s.opt.Interval)
	defer ticker.Stop()
	past := time.NewTimer(0)
	defer past.Stop()
	rebirth := time.NewTimer(0)
	rebirth.Stop()
	defer rebirth.Stop()
	for {
		var err error
		select {
		case <-ctx.Done():
			return s.bye(ctx, ctx.Err())
		case <-s.poke:
			if err := s.interrupted(); err != nil {
				return s.bye(ctx, err)
			}
		case <-s.link.done():
			return s.link.cause()
		case m := <-s.in:
			err = s.receive(ctx, m)
			if s.asked {
				rebirth.Reset(max(0, rebirthGap-time.Since(s.born)))
			}
		case <-rebirth.C:
			err = s.birth(ctx)
		case <-ticker.C:
			if !s.asked { // [tck-id-operational-behavior-data-commands-rebirth-action-1]
				err = s.look(ctx)
			}
		case <-past.C:
			pause := rebirthGap
			if !s.asked {
				pause, err = s.sendPast(ctx)
			}
			if len(s.replays) > 0 {
				past.Reset(pause)
			}
		}
		if err != nil {
			return s.endWith(ctx, err)
		}
	}
}

// endWith leaves in the way that err asks for. A message that the end of ctx has cut off is followed by a farewell too.
func (s *session) endWith(ctx context.Context, err error) error {
	if errors.Is(err, errHostOffline) || ctx.Err() != nil {
		return s.bye(ctx, err)
	}
	return err
}

// bye publishes NDEATH and disconnects. [tck-id-operational-behavior-edge-node-intentional-disconnect-ndeath]
func (s *session) bye(ctx context.Context, why error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), byeTime)
	defer cancel()
	if s.wanted() == Killed {
		return why
	}
	if !s.has(NoWill) && !s.born.IsZero() {
		if err := s.link.publish(ctx, s.death()); err != nil {
			return err
		}
		s.update(func(st *Status) { st.Messages++ })
	}
	s.link.disconnect()
	return why
}
