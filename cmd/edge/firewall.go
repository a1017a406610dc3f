package main

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"math"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"edge/broker"
	"edge/broker/auth"
	"edge/broker/server"
	"edge/broker/topic"
	"edge/historian/journal"
	"edge/sparkplug"
	"edge/ui"
)

// firewall puts sparkplug.Firewall into the broker: as its guard it is asked of CONNECT and SUBSCRIBE, as a gate of every message,
// as a tap it follows who is connected. What it is against it lists, and with mode enforce refuses. What our own publishers say passes.
//
// The names that clients are bound to are kept in the journal. It holds mu for one decision; nothing is called under it that could wait.
// With mode off it follows who is connected, and no more: then it can be switched on while they are.
type firewall struct {
	// Set before the first message, never changed.
	log        *slog.Logger
	now        func() time.Time
	kept       *journal.State
	list       *violations
	journal    *journal.Journal
	plant      *plant // is told of messages that are refused, and shows events
	disconnect func(clientID string)

	mode atomic.Uint32 // firewallMode; changes with mu held

	keeping sync.Mutex // before mu: bindings are put on disk in the order in which they change

	mu    sync.Mutex
	rules *sparkplug.Firewall
}

// firewallMode is what becomes of a violation: nothing, it is listed, it is listed and refused.
type firewallMode uint32

const (
	firewallOff firewallMode = iota
	firewallObserves
	firewallEnforces
)

var firewallModes = [...]string{"off", "observe", "enforce"}

func (m firewallMode) String() string { return firewallModes[m] }

func (f *firewall) is() firewallMode { return firewallMode(f.mode.Load()) }
func (f *firewall) off() bool        { return f.is() == firewallOff }
func (f *firewall) enforces() bool   { return f.is() == firewallEnforces }

func (f *firewall) set(mode string) {
	f.mode.Store(uint32(max(0, slices.Index(firewallModes[:], mode))))
}

// newFirewall returns one with the bindings of before.
func newFirewall(cfg *FirewallConfig, own []string, kept *journal.State, log *slog.Logger) *firewall {
	f := &firewall{log: log, now: time.Now, kept: kept, list: newViolations(cfg.Limits.Violations), disconnect: func(string) {}}
	f.set(cfg.Mode)
	var bindings []sparkplug.Binding
	for _, key := range kept.Keys("") {
		text, _ := kept.Get(key)
		var b sparkplug.Binding
		if err := json.Unmarshal(text, &b); err != nil {
			log.Warn("binding left out", "name", key, "err", err)
			continue
		}
		bindings = append(bindings, b)
	}
	f.rules = sparkplug.NewFirewall(firewallOptions(cfg, own), bindings)
	return f
}

func firewallOptions(cfg *FirewallConfig, own []string) sparkplug.FirewallOptions {
	most := func(n int) int { // the file's 0 is no limit
		if n == 0 {
			return math.MaxInt32
		}
		return n
	}
	l := cfg.Limits
	o := sparkplug.FirewallOptions{
		NoPins: !cfg.Pins, OwnHosts: own, RebirthsPerMinute: most(l.RebirthsPerMinute), BirthsPerMinute: most(l.BirthsPerMinute),
		BirthBytes: most(int(min(l.BirthBytes, math.MaxInt32))), Metrics: most(l.Metrics), Devices: most(l.Devices), Bindings: l.Bindings,
	}
	for _, r := range cfg.Rules {
		o.Rules = append(o.Rules, sparkplug.FirewallRule{User: r.User, Cert: r.Cert, Client: r.Client, Group: r.Group, Node: r.Node, Host: r.Host,
			Commands: r.Commands, Groups: r.Groups})
	}
	return o
}

// Connect implements server.Guard.
func (f *firewall) Connect(c server.Caller) error {
	if f.off() {
		return nil
	}
	who := sparkplug.Caller{ClientID: c.ClientID, User: c.User, Cert: c.Cert, Address: c.Addr, Will: packetOf(c.Will)}
	v := f.judge(who)
	if v == nil {
		return nil
	}
	topic := ""
	if who.Will != nil {
		topic = who.Will.Topic
	}
	enforces := f.enforces()
	f.violated(who, "CONNECT", topic, v, enforces)
	return refusedWith(v, enforces)
}

// judge asks the rules of a CONNECT, and keeps what it binds.
func (f *firewall) judge(who sparkplug.Caller) *sparkplug.Violation {
	if who.Will != nil { // or it binds nobody
		f.keeping.Lock()
		defer f.keeping.Unlock()
	}
	f.mu.Lock()
	v, bound := f.rules.Connect(who, f.now())
	f.mu.Unlock()
	if bound != nil {
		f.keep(bound)
	}
	return v
}

func packetOf(m *broker.Message) *sparkplug.Packet {
	if m == nil {
		return nil
	}
	return &sparkplug.Packet{Topic: string(m.Topic), Payload: m.Payload, QoS: m.QoS, Retain: m.Retain}
}

// refusedWith is what a client is refused with, nil if it is only observed.
func refusedWith(v *sparkplug.Violation, enforces bool) error {
	if !enforces {
		return nil
	}
	return fmt.Errorf("%w by the Sparkplug firewall: %w", broker.ErrNotAllowed, v)
}

// keep puts a binding on disk. Until it is there, a crash forgets that the name was used.
func (f *firewall) keep(b *sparkplug.Binding) {
	text, err := json.Marshal(b)
	if err == nil {
		_, err = f.kept.Put(b.Name(), text)
	}
	if err != nil {
		f.log.Warn("binding is not kept for the next start", "name", b.Name(), "err", err)
	}
}

// Subscribe implements server.Guard.
func (f *firewall) Subscribe(clientID string, filter topic.Filter) error {
	if f.off() {
		return nil
	}
	f.mu.Lock()
	v := f.rules.Subscribe(clientID, string(filter))
	who, _ := f.rules.Who(clientID)
	f.mu.Unlock()
	if v == nil {
		return nil
	}
	enforces := f.enforces()
	f.violated(who, "SUBSCRIBE", string(filter), v, enforces)
	return refusedWith(v, enforces)
}

// Refused implements server.Guard: what acl.yaml does not allow, and what nobody may, is listed beside what the firewall is against.
func (f *firewall) Refused(c server.Caller, name topic.Name) {
	if f.off() {
		return
	}
	if v := sparkplug.RefusedBefore(string(name), "PUBLISH"); v != nil {
		f.violated(sparkplug.Caller{ClientID: c.ClientID, User: c.User, Cert: c.Cert, Address: c.Addr}, "PUBLISH", string(name), v, true)
	}
}

// Wants implements broker.Chooser: messages come to the gate.
func (f *firewall) Wants(topic.Name) bool { return false }

// Message implements broker.Tap.
func (f *firewall) Message(*broker.Message) (broker.Index, error) { return 0, nil }

// Session implements broker.Tap.
func (f *firewall) Session(e broker.SessionEvent) {
	who := sparkplug.Caller{ClientID: e.ClientID, User: e.User, Cert: e.Cert, Address: e.Addr, Will: packetOf(e.Will)}
	switch e.Kind {
	case broker.Connected:
		f.mu.Lock()
		f.rules.Joined(who)
		f.mu.Unlock()
	case broker.Disconnected:
		f.mu.Lock()
		f.rules.Left(e.ClientID)
		f.mu.Unlock()
	case broker.Refused:
		if f.off() || e.Reason != auth.ReasonWill && e.Reason != server.RefuseNotAllowed {
			return
		}
		if v := sparkplug.RefusedBefore(string(e.WillTopic), "CONNECT"); v != nil {
			f.violated(who, "CONNECT", string(e.WillTopic), v, true)
		}
	}
}

// Pass implements broker.Gate.
func (f *firewall) Pass(m *broker.Message) (*broker.Message, error) {
	if f.off() || !sparkplug.Guarded(string(m.Topic)) || strings.HasPrefix(m.From, "$") {
		return m, nil
	}
	p := sparkplug.Packet{Topic: string(m.Topic), Payload: m.Payload, QoS: m.QoS, Retain: m.Retain}
	f.mu.Lock()
	v := f.rules.Publish(m.From, m.User, p, m.Received)
	if v == nil {
		f.mu.Unlock()
		return m, nil
	}
	who, here := f.rules.Who(m.From)
	f.mu.Unlock()
	what := "PUBLISH"
	if !here {
		what, who.User = "will", m.User
	}
	enforces := f.enforces()
	if f.violated(who, what, p.Topic, v, enforces) && enforces {
		f.plant.step(sparkplug.Input{Refused: &sparkplug.Refused{ //nolint:errcheck // what it has to say is of no message
			ClientID: who.ClientID, Address: who.Address, User: who.User, Topic: p.Topic, Reason: "the firewall: " + v.Detail}}, f.plant.sampleDue)
	}
	return m, refusedWith(v, enforces)
}

// violated lists a violation. What is new, or has gone on for a minute, is logged and an event as well, at most so many in a minute; told says
// whether it was.
func (f *firewall) violated(who sparkplug.Caller, what, name string, v *sparkplug.Violation, refused bool) (told bool) {
	entry, tell := f.list.add(who, what, name, v, refused, f.now())
	if !tell {
		return false
	}
	did := "let pass"
	if refused {
		did = "refused"
	}
	text := fmt.Sprintf("firewall, %s: client %.64q at %s: %s: %s", did, entry.Client, entry.Address, what, entry.Detail)
	if entry.Count > 1 {
		text += fmt.Sprintf(" (%d times since %s)", entry.Count, entry.First.UTC().Format(time.RFC3339))
	}
	f.log.Warn("firewall", "did", did, "client", entry.Client, "user", entry.User, "remote", entry.Address, "what", what, "rule", entry.Rule, "err", entry.Detail)
	e := journal.Event{Kind: journal.ClientEvent, At: millis(entry.Last), Group: entry.Group, Node: entry.Node, Device: entry.Device,
		Reason: text, User: entry.User, BdSeq: -1}
	if _, err := f.journal.Append(f.plant.sampleDue, journal.Record{Kind: journal.KindEvent, Event: &e}); err != nil {
		return true // the list has it
	}
	f.plant.live.Event(e)
	return true
}

// Mode implements ui.Firewall.
func (f *firewall) Mode() string { return f.is().String() }

// Violations implements ui.Firewall.
func (f *firewall) Violations() ([]ui.Violation, map[string]uint64) { return f.list.all() }

// Bindings implements ui.Firewall.
func (f *firewall) Bindings() []sparkplug.Binding {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.rules.Bindings()
}

// Forget implements ui.Firewall.
func (f *firewall) Forget(name, by string) (bool, error) {
	f.keeping.Lock()
	defer f.keeping.Unlock()
	f.mu.Lock()
	ok := f.rules.Forget(name)
	f.mu.Unlock()
	if !ok {
		return false, nil
	}
	f.log.Info("binding forgotten", "name", name, "by", by)
	_, err := f.kept.Delete(name)
	return true, err
}
