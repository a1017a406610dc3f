package simulate

import (
	"context"
	"errors"
	"slices"
	"time"

	"edge/sparkplug"
)

const (
	rebirthGap = time.Second // between births; requests within it become one
)

var errHostOffline = errors.New("the primary host is offline")

// limits for what others send to a node: commands are small.
var limits = sparkplug.Limits{Bytes: 1 << 20, Metrics: 1000}

// receive acts on a command or a STATE. Anything else, and what does not decode, is let pass.
func (s *session) receive(ctx context.Context, m message) error {
	topic, err := sparkplug.ParseTopic(m.topic)
	if err != nil {
		return nil
	}
	if topic.Type == sparkplug.STATE {
		if s.state.take(s.opt.PrimaryHost, topic.Host, m.payload) && !s.state.online {
			return errHostOffline
		}
		return nil
	}
	p, err := sparkplug.Decode(m.payload, limits)
	if err != nil {
		s.update(func(st *Status) { st.Refused++ })
		return nil
	}
	for i := range p.Metrics {
		if err := s.command(ctx, topic, &p.Metrics[i]); err != nil {
			return err
		}
	}
	return nil
}

// command obeys one metric of a command, and reports the metric's value at once whether it was set or not.
func (s *session) command(ctx context.Context, topic sparkplug.Topic, m *sparkplug.Metric) error {
	if topic.Type == sparkplug.NCMD && m.Name == sparkplug.NameRebirth {
		if v, err := m.As(sparkplug.Boolean); err == nil && !v.Null && v.Num != 0 {
			s.asked = true
		}
		return nil
	}
	i := slices.IndexFunc(s.tags, func(t *tag) bool {
		return t.device == topic.Device && (m.Name == t.Name || m.Name == "" && m.HasAlias && m.Alias == t.alias)
	})
	if i < 0 {
		s.update(func(st *Status) { st.Refused++ })
		return nil
	}
	t := s.tags[i]
	if v, err := m.As(t.Type); err != nil || !t.accepts(v) {
		s.update(func(st *Status) { st.Refused++ })
	} else {
		s.write(t, v)
	}
	t.known = false
	if s.asked { // the births tell it
		return nil
	}
	return s.report(ctx, topic.Device)
}

func (s *session) write(t *tag, v sparkplug.Value) {
	all := append(s.writes[t.device], Write{Name: t.Name, At: s.now(), Value: v})
	s.writes[t.device] = all[max(0, len(all)-maxWrites):]
	s.update(func(st *Status) { st.Commands++ })
}

// accepts tells whether a command may set the tag to v.
func (t *tag) accepts(v sparkplug.Value) bool {
	if !t.Writable || v.Null || v.Type != t.Type {
		return false
	}
	x := number(v)
	return t.Low == t.High || x >= t.Low && x <= t.High
}

// hostState is what a node knows of its primary host. It outlives a connection, as there is one server.
type hostState struct {
	online bool
	at     int64 // ms, of the last STATE that counted
	heard  bool
}

// take reads a STATE; it returns false for one that does not count: another host's, older than the last,
// or not of the form. [tck-id-message-flow-edge-node-birth-publish-phid-wait-timestamp]
func (h *hostState) take(primary, host string, payload []byte) bool {
	state, err := sparkplug.ParseState(payload)
	if primary == "" || host != primary || err != nil || h.heard && state.Timestamp < h.at {
		return false
	}
	h.online, h.at, h.heard = state.Online, state.Timestamp, true
	return true
}

// awaitHost waits until the primary host is online, if there is one. [tck-id-message-flow-edge-node-birth-publish-phid-wait]
func (s *session) awaitHost(ctx context.Context) error {
	if s.opt.PrimaryHost == "" {
		return nil
	}
	s.state.online = false
	for !s.state.online {
		s.enter(Waiting, "for the primary host "+s.opt.PrimaryHost)
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
			if topic, err := sparkplug.ParseTopic(m.topic); err == nil && topic.Type == sparkplug.STATE {
				s.state.take(s.opt.PrimaryHost, topic.Host, m.payload) // commands can wait for the birth
			}
		}
	}
	return nil
}
