package uplink

import (
	"context"
	"fmt"
	"time"

	"edge/historian/journal"
	"edge/sparkplug"
)

// maxCommandBytes bounds the payload of a command.
const maxCommandBytes = 64 << 10

// readInbound takes what came from upstream. It returns an ending if that asks for one.
func (s *session) readInbound(ctx context.Context) *ending {
	for {
		select {
		case in := <-s.commands:
			if e := s.inbound(ctx, in); e != nil {
				return e
			}
		default:
			return nil
		}
	}
}

func (s *session) inbound(ctx context.Context, in inbound) *ending {
	t, err := sparkplug.ParseTopic(in.topic)
	if err != nil {
		return nil
	}
	switch {
	case t.Type == sparkplug.STATE:
		s.u.observe(s.server, in.topic, in.payload, false)
	case t.NodeRef() != s.n.ref:
	case t.Type == sparkplug.NBIRTH && !in.retained:
		return &ending{endForeign, fmt.Sprintf("another client publishes the births of %s/%s on %s; only one may",
			t.Group, t.Node, s.u.o.Servers[s.server].redacted())}
	case t.Type == sparkplug.NCMD || t.Type == sparkplug.DCMD:
		return s.command(ctx, t, in)
	}
	return nil
}

// command answers the node's own controls here, and takes what the gate allows to the plant. It leaves an audit record
// either way; a rebirth is not worth one.
func (s *session) command(ctx context.Context, t sparkplug.Topic, in inbound) *ending {
	if len(in.payload) > maxCommandBytes {
		s.audit(t, "refused: larger than 64 KiB")
		return nil
	}
	p, err := sparkplug.Decode(in.payload, sparkplug.Limits{Bytes: maxCommandBytes, Metrics: 256})
	if err != nil {
		s.audit(t, "refused: "+err.Error())
		return nil
	}
	c := command{topic: t, payload: p, received: in.at, retained: in.retained, redone: in.repeated}
	if t.Type == sparkplug.NCMD && !in.retained && len(p.Metrics) == 1 {
		switch {
		case sparkplug.IsRebirthRequest(p): // answered from the model, never passed down
			s.askRebirth()
			s.held = true
			return nil
		case asks(p, sparkplug.NameNextServer):
			if len(s.u.o.Servers) == 1 {
				s.audit(t, "refused: there is no other server")
				return nil
			}
			s.u.next(s.server)
			return &ending{endMove, "a host asked for the next server"}
		}
	}
	writes, aliased, err := s.writes(t, p)
	if err != nil {
		s.audit(t, "refused: "+err.Error())
		return nil
	}
	if why := s.u.gate.check(c, writes, s.u.o.Clock()); why != "" {
		s.audit(t, "refused: "+why)
		return nil
	}
	if s.u.d.Commands == nil {
		s.audit(t, "refused: commands from upstream are switched off")
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	if err := s.u.d.Commands.Command(ctx, in.topic, aliased); err != nil {
		s.audit(t, "refused: "+err.Error())
		return nil
	}
	s.audit(t, "delivered: "+describe(writes))
	return nil
}

// writes returns what a command writes, in the datatypes of the plant's birth, and the payload for the plant: a metric
// that has an alias there goes by alias alone. [tck-id-payloads-alias-data-cmd-requirement]
func (s *session) writes(t sparkplug.Topic, p *sparkplug.Payload) ([]write, []byte, error) {
	s.n.mu.Lock()
	defer s.n.mu.Unlock()
	set := s.n.model.set(t.Device)
	if set == nil || !set.born {
		return nil, nil, fmt.Errorf("the node or device is not alive")
	}
	now := sparkplug.Millis(s.u.o.Clock())
	down := sparkplug.Payload{Timestamp: now, HasTimestamp: true}
	var out []write
	for i := range p.Metrics {
		m := &p.Metrics[i]
		c := set.byName[m.Name]
		if c == nil {
			return nil, nil, fmt.Errorf("there is no metric %.80q", m.Name)
		}
		v, err := m.As(c.m.Type)
		if err != nil {
			return nil, nil, fmt.Errorf("%q: %w", m.Name, err)
		}
		if v.Null {
			return nil, nil, fmt.Errorf("%q: a command carries a value", m.Name)
		}
		out = append(out, write{m.Name, v})
		d := sparkplug.Metric{Name: m.Name, Type: c.m.Type, Value: v, Field: c.m.Field, Timestamp: now, HasTimestamp: true}
		if c.m.HasAlias && !sparkplug.IsControl(m.Name) {
			d.Name, d.Alias, d.HasAlias = "", c.m.Alias, true
		}
		down.Metrics = append(down.Metrics, d)
	}
	return out, sparkplug.Encode(&down), nil
}

// asks tells whether a command sets a control to true.
func asks(p *sparkplug.Payload, name string) bool {
	v, err := p.Metrics[0].As(sparkplug.Boolean)
	return p.Metrics[0].Name == name && err == nil && !v.Null && v.Num != 0
}

// describe names what was written, without the values.
func describe(writes []write) string {
	text := ""
	for i, w := range writes {
		if i == 4 {
			return fmt.Sprintf("%s and %d more", text, len(writes)-i)
		}
		if i > 0 {
			text += ", "
		}
		text += w.metric
	}
	return text
}

// audit leaves a record of a command. It is never deliverable.
func (s *session) audit(t sparkplug.Topic, outcome string) {
	if w := s.u.audits.wait(time.Now()); w > 0 {
		s.u.inboundDropped.Add(1) // a flood of commands does not fill the journal
		return
	}
	s.u.audits.take(time.Now(), 1)
	s.u.append(journal.Event{Kind: journal.CommandEvent, At: journal.Millis(s.u.o.Clock().UnixMilli()), Group: t.Group, Node: t.Node,
		Device: t.Device, User: "uplink " + s.u.o.Name, Reason: "command from upstream " + outcome})
}
