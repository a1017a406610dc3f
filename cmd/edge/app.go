package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"time"

	"golang.org/x/sync/errgroup"

	"edge/broker/auth"
	"edge/broker/server"
	"edge/historian/journal"
	"edge/sparkplug/uplink"
	"edge/ui"
)

// shutdownDeadline is how long a stop may take, everything flushed.
const shutdownDeadline = 10 * time.Second

// App is one appliance: the parts joined, the addresses taken, the data folder locked.
type App struct {
	cfg      *Config
	log      *slog.Logger
	lock     *os.File
	pipeline *pipeline
	mqtt     []server.Listener
	http     net.Listener
	certs    []*serverTLS
	ready    chan struct{} // closed once clients are let in
}

// appOptions is what a command or a test adds to a configuration.
type appOptions struct {
	writes        bool                   // the page may write values
	demo          ui.Demo                // the demo's pane
	tuneUplink    func(*uplink.Options)  // last word on an uplink's options
	tuneJournal   func(*journal.Options) // the same for the journal's
	keepProcessor bool                   // as server.Options
	ballast       bool                   // as historian.Options
}

// NewApp opens the data folder and takes the addresses of a valid configuration. Nothing runs before Run.
func NewApp(cfg *Config, log *slog.Logger, o appOptions) (*App, error) {
	a := &App{cfg: cfg, log: log, ready: make(chan struct{})}
	if err := a.open(o); err != nil {
		return nil, errors.Join(err, a.Close())
	}
	return a, nil
}

func (a *App) open(o appOptions) (err error) {
	if a.lock, err = lockData(a.cfg.Data); err != nil {
		return err
	}
	if a.pipeline, err = openPipeline(a.cfg, a.log, o); err != nil {
		return err
	}
	if a.http, err = a.listen("http.address", a.cfg.HTTP.Address, a.cfg.HTTP.TLS); err != nil {
		return err
	}
	for i, c := range a.cfg.Broker.Listeners {
		l, err := a.listenMQTT(fmt.Sprintf("broker.listeners[%d].address", i), &c)
		if err != nil {
			return err
		}
		a.mqtt = append(a.mqtt, server.Listener{Listener: l, Name: c.Name, Anonymous: c.Anonymous})
	}
	return nil
}

// MQTTAddr is the address of the first MQTT listener, with the port that the system chose for 0; of a unix socket its path.
func (a *App) MQTTAddr() string { return a.mqtt[0].Addr().String() }

// HTTPAddr is the address of the page.
func (a *App) HTTPAddr() string { return a.http.Addr().String() }

// URL is the page's address for a browser.
func (a *App) URL() string {
	if a.cfg.HTTP.TLS.enabled() {
		return "https://" + a.HTTPAddr() + "/"
	}
	return "http://" + a.HTTPAddr() + "/"
}

// Ready is closed once clients are let in.
func (a *App) Ready() <-chan struct{} { return a.ready }

// Run serves until ctx ends, then stops from the left within shutdownDeadline. It may be called once.
func (a *App) Run(ctx context.Context) error {
	p := a.pipeline
	stages := []stage{
		{name: "broker", run: a.serveMQTT},
		{name: "$SYS", run: p.sys.Run},
		{name: "host", run: func(ctx context.Context) error { return p.plant.run(ctx, p.router, p.history) }},
	}
	for _, u := range p.uplinks {
		stages = append(stages, stage{name: "uplink " + u.Status().Name, run: u.Run})
	}
	stages = append(stages,
		stage{name: "page", run: a.serveHTTP},
		stage{name: "historian", run: p.history.Run, drained: p.history.Close},
		stage{name: "sessions", run: p.sessions.Run, drained: p.sessions.Close},
		stage{name: "journal", run: p.journal.Run},
	)
	return runStages(ctx, a.log, shutdownDeadline, stages)
}

// alive tells the service manager's watchdog whether the host moves; a step that hangs holds its lock, and the
// ticks stop.
func (a *App) alive() bool {
	return time.Since(time.UnixMilli(a.pipeline.plant.ticked.Load())) < 10*time.Second
}

// Close releases what NewApp took. Call it after Run, or instead of it.
func (a *App) Close() error {
	var errs []error
	for _, l := range a.mqtt {
		errs = append(errs, ignoreClosed(l.Close()))
	}
	if a.http != nil {
		errs = append(errs, ignoreClosed(a.http.Close()))
	}
	if a.pipeline != nil {
		errs = append(errs, a.pipeline.close())
	}
	if a.lock != nil {
		errs = append(errs, unlockData(a.lock))
	}
	return errors.Join(errs...)
}

func ignoreClosed(err error) error {
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

// serveMQTT is the leftmost stage: STATE online before anyone can connect, STATE offline before anyone is cut off. While the
// journal takes nothing STATE stays offline, for nodes with a store of their own had better keep what they have.
func (a *App) serveMQTT(ctx context.Context) error {
	p := a.pipeline
	offline := a.sayOnline(ctx)
	if ctx.Err() != nil {
		return nil // told to end before it began
	}
	if offline != nil {
		a.log.Warn("STATE stays offline until the journal can write", "part", "host", "err", offline)
	}
	serving, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	group, listening := errgroup.WithContext(serving) // one listener that fails ends them all, and with them the program
	for _, l := range a.mqtt {
		group.Go(func() error { return p.server.Serve(listening, l) })
	}
	close(a.ready)
	failed := make(chan error, 1)
	go func() { failed <- group.Wait() }()
	again := time.NewTicker(time.Second)
	defer again.Stop()
	for ctx.Err() == nil {
		select {
		case err := <-failed:
			return err
		case <-ctx.Done():
		case <-again.C:
			if offline == nil {
				again.Stop()
			} else if offline = a.sayOnline(ctx); offline == nil {
				a.log.Info("STATE online, the journal can write", "part", "host")
			}
		}
	}
	saying, said := context.WithTimeout(context.Background(), shutdownDeadline/5)
	defer said()
	err := p.plant.announce(saying, p.states["host"], p.router, false)
	ending, cancel := context.WithTimeout(context.Background(), shutdownDeadline/2)
	defer cancel()
	err = errors.Join(err, p.server.Shutdown(ending))
	stop()
	return errors.Join(err, <-failed)
}

// sayOnline tries to say that this host is online; an error says why the journal does not take it.
func (a *App) sayOnline(ctx context.Context) error {
	p := a.pipeline
	trying, stop := context.WithTimeout(ctx, stateTry)
	defer stop()
	if err := p.plant.announce(trying, p.states["host"], p.router, true); err != nil {
		return err
	}
	p.plant.retire(p.states["host"], p.router, hostIDs(a.cfg))
	return nil
}

// serveHTTP serves the page until ctx ends; open streams are ended.
func (a *App) serveHTTP(ctx context.Context) error {
	s := a.pipeline.ui.Server()
	failed := make(chan error, 1)
	go func() { failed <- s.Serve(a.http) }()
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
	}
	a.pipeline.ui.Close()
	ending, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	if err := s.Shutdown(ending); err != nil {
		s.Close()
	}
	if err := <-failed; !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// Reload takes what may change while running from a newly loaded configuration: certificates, users, rules, firewall.
// What cannot be read changes nothing.
func (a *App) Reload(next *Config) error {
	policy, err := loadPolicy(next)
	if err != nil {
		return err
	}
	renewed := make([]*tls.Config, len(a.certs))
	for i, c := range a.certs {
		if renewed[i], err = c.load(); err != nil {
			return err
		}
	}
	for i, c := range a.certs {
		c.current.Store(renewed[i])
	}
	a.pipeline.firewall.reload(&next.Sparkplug.Firewall)
	a.pipeline.server.SetAuth(policy) // it asks the firewall, too, of what clients subscribe to
	return nil
}

// loadPolicy reads users and rules.
func loadPolicy(cfg *Config) (*auth.Policy, error) {
	return auth.Load(cfg.path(cfg.Broker.Users), cfg.path(cfg.Broker.ACL))
}
