package main

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"edge/broker"
	"edge/broker/router"
	"edge/broker/server"
	"edge/broker/store"
	"edge/historian"
	"edge/historian/journal"
	"edge/historian/promql"
	"edge/sparkplug"
	"edge/sparkplug/uplink"
	"edge/ui"
)

// pipeline holds the parts of one appliance, in the order that data moves:
//
//	listeners ─► server ─► router ─► plant ─► journal ─┬─► historian ─► ui
//	                                  └─► ui (live)    └─► uplinks
//
// openPipeline reads from the right of this picture to the left: what is fed stands before what feeds it.
type pipeline struct {
	journal  *journal.Journal
	states   map[string]*journal.State
	history  *historian.Store
	sessions *store.Store
	uplinks  []*uplink.Uplink
	ui       *ui.UI
	plant    *plant
	aware    *aware // nil: not an aware server
	firewall *firewall
	router   *router.Router
	server   *server.Server
	sys      *server.Sys
	commands *commands
}

// openPipeline opens the stores in cfg.Data and joins the parts. Nothing runs yet.
func openPipeline(cfg *Config, log *slog.Logger, o appOptions) (*pipeline, error) {
	p := &pipeline{states: map[string]*journal.State{}}
	if err := p.openStores(cfg, log, o); err != nil {
		return nil, errors.Join(withAdvice(err), p.closeStores())
	}
	p.joinPlant(cfg, log)
	if err := p.joinBroker(cfg, log, o); err != nil {
		return nil, errors.Join(err, p.close())
	}
	p.commands = &commands{plant: p.plant, journal: p.journal, to: p.router, writes: o.writes}
	if err := p.joinUplinks(cfg, log, o); err != nil {
		return nil, errors.Join(err, p.close())
	}
	p.joinPage(cfg, log, o)
	p.server.Start()
	return p, nil
}

// openStores opens what stands on the right: the journal, then those that keep what it cannot keep for ever. The historian
// comes last: it writes when it closes, and data of a newer program, whichever file tells, must stay as it is.
func (p *pipeline) openStores(cfg *Config, log *slog.Logger, o appOptions) (err error) {
	dir := func(name string) string { return filepath.Join(cfg.Data, name) }
	quarantine := dir("quarantine")
	options := journalOptions(max(int(cfg.Broker.Limits.PacketBytes), cfg.Historian.mostBytes()))
	options.Quarantine, options.Log = quarantine, log.With("part", "journal")
	if o.tuneJournal != nil {
		o.tuneJournal(&options)
	}
	p.journal, err = journal.Open(dir("journal"), options)
	if err != nil {
		return fmt.Errorf("open journal: %w", err)
	}
	for _, name := range []string{"sparkplug", "uplink"} {
		if err := os.MkdirAll(dir(name), 0o700); err != nil {
			return err
		}
	}
	for owner, file := range map[string]string{"births": "sparkplug/births", "host": "sparkplug/host", "firewall": "sparkplug/firewall", "uplink": "uplink/state"} {
		s, err := journal.OpenState(p.journal, owner, dir(file))
		if err != nil {
			return fmt.Errorf("open %s: %w", file, err)
		}
		p.states[owner] = s
	}
	p.sessions, err = store.Open(dir("broker.db"), p.journal, store.Options{
		Due: time.Duration(cfg.Broker.CommitInterval), Quarantine: quarantine, Log: log.With("part", "store"),
	})
	if err != nil {
		return fmt.Errorf("open session store: %w", err)
	}
	r := cfg.Historian.Retention
	p.history, err = historian.Open(dir("history"), p.journal, historian.Options{
		Quarantine: quarantine, Raw: time.Duration(r.Raw), Minute: time.Duration(r.Minute), Hour: time.Duration(r.Hour),
		MaxBytes: int64(r.Bytes), MaxValueBytes: cfg.Historian.mostBytes(), Ballast: o.ballast, Log: log,
	})
	if err != nil {
		return fmt.Errorf("open historian: %w", err)
	}
	p.history.TellDowntime()
	p.tellDamage()
	return nil
}

// joinPlant makes the Sparkplug host, seeded with the births it knew before the last stop.
func (p *pipeline) joinPlant(cfg *Config, log *slog.Logger) {
	p.plant = &plant{
		log: log.With("part", "host"), now: time.Now, births: births{kept: p.states["births"]},
		sampleDue: time.Duration(cfg.Historian.CommitInterval), ackedDue: time.Duration(cfg.Broker.CommitInterval),
		outbox: make(chan sparkplug.Publish, outboxSize),
		host: sparkplug.NewHost(sparkplug.Options{
			HostID: cfg.Sparkplug.HostID, ExtraHostIDs: cfg.Sparkplug.ExtraHostIDs,
			LegacyState:    cfg.Sparkplug.LegacyState,
			ReorderTimeout: reorderTimeout(cfg), LastState: lastState(p.states["host"]), Started: time.Now(),
		}),
		live: nobody{}, rec: recorder{journal: p.journal, series: p.history, most: mostValue(max(int(cfg.Broker.Limits.PacketBytes), cfg.Historian.mostBytes()))},
	}
	p.plant.seed()
}

// reorderTimeout maps the file's 0, no waiting, to the host's negative.
func reorderTimeout(cfg *Config) time.Duration {
	if cfg.Sparkplug.ReorderTimeout == 0 {
		return -1
	}
	return time.Duration(cfg.Sparkplug.ReorderTimeout)
}

// joinBroker makes the router with the plant as its tap, and the server with the sessions of before.
func (p *pipeline) joinBroker(cfg *Config, log *slog.Logger, o appOptions) error {
	sessions, retained, err := p.sessions.Load()
	if err != nil {
		return fmt.Errorf("load sessions: %w", err)
	}
	policy, err := loadPolicy(cfg)
	if err != nil {
		return err
	}
	l := cfg.Broker.Limits
	if !cfg.Sparkplug.Aware {
		if retained, err = withoutCertificates(retained, p.sessions); err != nil {
			return fmt.Errorf("remove birth certificates: %w", err)
		}
	}
	retained = asleep(retained, hostIDs(cfg), p.states["host"])
	routing := router.Options{
		RetainedMessages: l.RetainedMessages, RetainedBytes: int64(l.RetainedBytes), Reserved: isState, Retained: retained,
		Store: p.sessions, Taps: []broker.Tap{p.plant},
	}
	p.joinGates(cfg, log, &routing)
	p.router = router.New(routing)
	if p.aware != nil {
		p.aware.router = p.router
		p.router.AddTap(p.aware)
	}
	p.server = server.New(server.Options{
		Router: p.router, Auth: policy, Guard: p.firewall, Store: p.sessions, Durable: p.sessions, Fast: cfg.Broker.Durability == "fast", Sessions: sessions, StartLater: true,
		Limits: brokerLimits(l), Loops: unlimited(cfg.Broker.EventLoops), KeepProcessor: o.keepProcessor,
		ResponsePrefix: cfg.Broker.ResponsePrefix, Log: log,
	})
	p.firewall.disconnect = func(clientID string) { p.server.Disconnect(clientID, broker.ReasonAdmin) }
	p.sys = &server.Sys{Server: p.server, Version: thisBuild().Version, Every: time.Duration(cfg.Broker.SysInterval)}
	return nil
}

// joinGates puts what may refuse or change a message before the taps: the firewall first, so that nothing is made of what it refuses.
func (p *pipeline) joinGates(cfg *Config, log *slog.Logger, routing *router.Options) {
	own := append([]string{cfg.Sparkplug.HostID}, cfg.Sparkplug.ExtraHostIDs...)
	p.firewall = newFirewall(&cfg.Sparkplug.Firewall, own, p.states["firewall"], log.With("part", "firewall"))
	p.firewall.journal, p.firewall.plant = p.journal, p.plant
	routing.Gates, routing.Taps = append(routing.Gates, p.firewall), append(routing.Taps, p.firewall)
	if cfg.Sparkplug.Aware {
		p.aware = &aware{log: log.With("part", "aware"), now: time.Now}
		routing.Gates = append(routing.Gates, p.aware)
	}
}

// joinUplinks makes a cursor on the journal for every uplink.
func (p *pipeline) joinUplinks(cfg *Config, log *slog.Logger, o appOptions) error {
	for i := range cfg.Uplinks {
		options, err := uplinkOptions(cfg, &cfg.Uplinks[i])
		if err != nil {
			return err
		}
		options.Log = log.With("part", "uplink")
		if o.tuneUplink != nil {
			o.tuneUplink(&options)
		}
		u, err := uplink.New(options, uplink.Deps{
			Journal: shownJournal{p.journal, p.plant}, Series: p.history.Key, Backlog: p.history, State: p.states["uplink"],
			Commands: upstream{p.commands, "$uplink/" + options.Name},
		})
		if err != nil {
			return fmt.Errorf("uplink %s: %w", options.Name, err)
		}
		p.uplinks = append(p.uplinks, u)
	}
	p.history.SetOwed(p.owedFrom)
	return nil
}

// shownJournal is the journal as an uplink appends to it: the page is shown its events at once.
type shownJournal struct {
	*journal.Journal
	plant *plant // its live side is set by joinPage
}

// Append implements uplink.Journal.
func (j shownJournal) Append(due time.Duration, recs ...journal.Record) (journal.Index, error) {
	index, err := j.Journal.Append(due, recs...)
	if err != nil {
		return 0, err
	}
	for i := range recs {
		if recs[i].Kind == journal.KindEvent {
			j.plant.live.Event(*recs[i].Event)
		}
	}
	return index, nil
}

// owedFrom is the lowest index that any uplink still owes; 0 when none does.
func (p *pipeline) owedFrom() journal.Index {
	var lowest journal.Index
	for _, u := range p.uplinks {
		if i := u.OwedFrom(); i > 0 && (lowest == 0 || i < lowest) {
			lowest = i
		}
	}
	return lowest
}

// joinPage makes the page over everything, and hands it to the plant for live values.
func (p *pipeline) joinPage(cfg *Config, log *slog.Logger, o appOptions) {
	b := thisBuild()
	p.ui = ui.New(ui.Options{
		Plant: p.plant, History: p.history, Export: p.history, Uplinks: uplinks(p.uplinks), Broker: p.server, Journal: p.journal, Commands: p.commands, Demo: o.demo, Firewall: p.firewall,
		PromQL:  promql.New(p.history, promql.Options{Log: log.With("part", "promql")}),
		Version: b.Version, Commit: b.Commit, Durability: cfg.Broker.Durability, DataDir: cfg.Data, Ready: p.ready, Unkept: p.plant.unkept,
		Log: log.With("part", "page"),
	})
	p.plant.live = p.ui
}

// uplinks shows all uplinks to the page.
type uplinks []*uplink.Uplink

// Status implements ui.Uplinks.
func (all uplinks) Status() []uplink.Status {
	out := make([]uplink.Status, len(all))
	for i, u := range all {
		out[i] = u.Status()
	}
	return out
}

// Outages implements ui.Uplinks.
func (all uplinks) Outages(name string) ([]uplink.Outage, bool) {
	for _, u := range all {
		if u.Status().Name == name {
			return u.Outages(), true
		}
	}
	return nil, false
}

// ready says why the appliance cannot do its work now; empty when it can.
func (p *pipeline) ready() []string {
	var reasons []string
	if s := p.journal.Stats(); s.Err != nil {
		reasons = append(reasons, "the journal cannot write: "+s.Err.Error())
	} else if s.Lag > 10*time.Second {
		reasons = append(reasons, fmt.Sprintf("the journal is %s behind: the disk is too slow", s.Lag.Round(time.Second)))
	}
	if h := p.history.Stats(); h.Space >= historian.SpaceLow {
		reasons = append(reasons, fmt.Sprintf("the disk is nearly full: %d of %d MiB are free, the oldest history is removed; free space",
			h.DiskFree>>20, h.DiskTotal>>20))
	}
	return reasons
}

// close ends what was opened, from the left to the right; it is for a start that did not succeed and for
// parts that have no stage of their own.
func (p *pipeline) close() error {
	var errs []error
	for _, s := range p.states {
		errs = append(errs, s.Checkpoint())
	}
	return errors.Join(append(errs, p.closeStores())...)
}

// closeStores closes what is open and writes no checkpoint of the states: the journal has them.
func (p *pipeline) closeStores() error {
	var errs []error
	if p.sessions != nil {
		errs = append(errs, p.sessions.Close())
	}
	if p.history != nil {
		errs = append(errs, p.history.Close())
	}
	if p.journal != nil {
		errs = append(errs, p.journal.Close())
	}
	return errors.Join(errs...)
}
