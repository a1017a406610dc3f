package main

import (
	"fmt"

	"edge/historian/journal"
	"edge/sparkplug"
)

// reload takes another mode, other rules and limits. Who is connected and by them would not be is listed, and with mode enforce
// disconnected: what it says would be refused, so its will had better say that it is dead. A will that would not be let in now stays unsaid.
func (f *firewall) reload(cfg *FirewallConfig) {
	f.keeping.Lock()
	f.mu.Lock()
	before := f.is()
	f.set(cfg.Mode)
	var c sparkplug.Changes
	if !f.off() { // else nothing is asked of the rules, and who is connected uses no name
		c = f.rules.Reconfigure(firewallOptions(cfg, nil), f.now())
	}
	f.mu.Unlock()
	for _, name := range c.Freed {
		if _, err := f.kept.Delete(name); err != nil {
			f.log.Warn("binding stays kept", "name", name, "err", err)
		}
	}
	for i := range c.Bound {
		f.keep(&c.Bound[i])
	}
	f.keeping.Unlock()
	f.list.bound(cfg.Limits.Violations)
	if before != f.is() {
		f.tell(fmt.Sprintf("the firewall is in mode %s, before in %s", f.is(), before))
	}
	f.bar(c.Barred)
}

// bar lists sessions that the rules are against, and ends them.
func (f *firewall) bar(list []sparkplug.Barred) {
	enforces := f.enforces()
	for _, b := range list {
		f.violated(b.Caller, "CONNECT", b.Topic, b.Violation, enforces)
	}
	if !enforces {
		return
	}
	for _, b := range list {
		f.believe(b)
		f.disconnect(b.Caller.ClientID)
	}
}

// believe lets the will of a session come out that is, as the host has seen, the node that the will says is dead.
func (f *firewall) believe(b sparkplug.Barred) {
	t, err := sparkplug.ParseTopic(b.Topic)
	if err != nil || t.Type != sparkplug.NDEATH {
		return
	}
	n, _ := f.plant.Node(t.Group, t.Node)
	if n.State != sparkplug.StateOnline || n.Client.ID != b.Caller.ClientID {
		return
	}
	f.mu.Lock()
	f.rules.Believe(b.Caller, t.NodeRef())
	f.mu.Unlock()
}

// tell puts a line into the event log.
func (f *firewall) tell(text string) {
	f.log.Info(text)
	e := journal.Event{Kind: journal.SystemEvent, At: millis(f.now()), Reason: text, BdSeq: -1}
	if _, err := f.journal.Append(f.plant.sampleDue, journal.Record{Kind: journal.KindEvent, Event: &e}); err == nil {
		f.plant.live.Event(e)
	}
}
