package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"edge/broker"
	"edge/broker/topic"
	"edge/historian/journal"
	"edge/sparkplug"
	"edge/ui"
)

// commands is the one gate through which anybody but the host speaks to devices. Every command is an audit
// event in the journal before it is sent, is sent at QoS 0 and never queued: a command is never executed late.
type commands struct {
	plant   *plant
	journal *journal.Journal
	to      broker.Publisher
	writes  bool // whether the page may write values; rebirths are always allowed
}

// pageName is the publisher name of commands from the page.
const pageName = "$page"

// Rebirth implements ui.Commands: the host asks the node for its births. Its event says who wanted it.
func (c *commands) Rebirth(_ context.Context, group, node, by string) error {
	ref := sparkplug.NodeRef{Group: group, Node: node}
	view, ok := c.plant.Node(group, node)
	switch {
	case !ok:
		return fmt.Errorf("node %s/%s is %w", group, node, ui.ErrUnknown)
	case view.State == sparkplug.StateOffline:
		return fmt.Errorf("node %s/%s is %w; it gives its births by itself when it comes back", group, node, ui.ErrStale)
	}
	if !c.plant.requestRebirth(ref, "asked for by "+by) {
		return fmt.Errorf("node %s/%s is %w", group, node, ui.ErrUnknown)
	}
	return nil
}

// CheckWrite implements ui.Commands.
func (c *commands) CheckWrite(w ui.Write) error {
	if !c.writes {
		return fmt.Errorf("writing from the page is %w in this release", ui.ErrRefused)
	}
	m, ok := c.plant.Metric(w.Ref)
	switch {
	case !ok:
		return fmt.Errorf("metric %s is %w", w.Ref.Name, ui.ErrUnknown)
	case m.Quality == sparkplug.QualityStale || m.Quality == sparkplug.QualityNever:
		return fmt.Errorf("metric %s is %w: %s", w.Ref.Name, ui.ErrStale, m.Cause)
	}
	_, err := sparkplug.CommandMessage(m, w.Value, time.Now())
	return err
}

// Write implements ui.Commands. The effect is seen when the device reports it.
func (c *commands) Write(_ context.Context, w ui.Write) error {
	e := journal.Event{Kind: journal.CommandEvent, Group: w.Ref.Group, Node: w.Ref.Node, Device: w.Ref.Device, User: w.By}
	if err := c.CheckWrite(w); err != nil {
		e.Reason = fmt.Sprintf("write to %s refused: %v", w.Ref.Name, err)
		return errors.Join(err, c.audit(e))
	}
	m, _ := c.plant.Metric(w.Ref)
	out, err := sparkplug.CommandMessage(m, w.Value, time.Now())
	if err != nil {
		return err
	}
	e.Reason = fmt.Sprintf("write to %s: %s (was %s); reason given: %s", w.Ref.Name, sparkplug.AppendJSON(nil, w.Value), sparkplug.AppendJSON(nil, m.Value), w.Reason)
	if err := c.audit(e); err != nil {
		return err
	}
	return c.send(pageName, out.Topic, out.Payload)
}

// audit records a command before it is sent; a command that cannot be recorded is not sent.
func (c *commands) audit(e journal.Event) error {
	e.At, e.BdSeq = millis(time.Now()), -1
	if _, err := c.journal.Append(c.plant.ackedDue, journal.Record{Kind: journal.KindEvent, Event: &e}); err != nil {
		return fmt.Errorf("command not sent, since it cannot be recorded: %w", err)
	}
	c.plant.live.Event(e)
	return nil
}

func (c *commands) send(from, name string, payload []byte) error {
	_, err := c.to.Publish(&broker.Message{Topic: topic.Name(name), Payload: payload, From: from, Received: time.Now()})
	return err
}

// upstream is the way down for commands that an uplink let through; it implements uplink.Commands.
type upstream struct {
	*commands
	from string
}

// errNotOnline refuses a command to a node that would get it late or never.
var errNotOnline = errors.New("the node is not online")

// Command implements uplink.Commands.
func (u upstream) Command(_ context.Context, name string, payload []byte) error {
	t, err := sparkplug.ParseTopic(name)
	if err != nil {
		return err
	}
	if t.Type != sparkplug.NCMD && t.Type != sparkplug.DCMD {
		return fmt.Errorf("%s is no command", t.Type)
	}
	if view, ok := u.plant.Node(t.Group, t.Node); !ok || view.State != sparkplug.StateOnline {
		return errNotOnline
	}
	return u.send(u.from, name, payload)
}
