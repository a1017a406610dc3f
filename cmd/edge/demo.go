package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"edge/broker/router"
	"edge/broker/server"
	"edge/historian"
	"edge/sparkplug"
	"edge/sparkplug/simulate"
	"edge/sparkplug/uplink"
	"edge/ui"
)

// The demo's addresses when no flag names others.
const (
	demoMQTT = "127.0.0.1:1883"
	demoHTTP = "127.0.0.1:8080"
)

// runDemo is `edge demo`: everything on this machine, nothing to configure, loopback only.
func runDemo(ctx context.Context, args []string, std streams) int {
	fs := newFlags("demo", "demo [--data DIR] [--mqtt ADDR] [--http ADDR] [--history DURATION]", "edge demo", std)
	data := fs.String("data", "", "`folder` that keeps the demo's data; default a temporary one")
	mqtt := fs.String("mqtt", demoMQTT, "`address` of the plant's broker")
	httpAddr := fs.String("http", demoHTTP, "`address` of the page")
	history := fs.Duration("history", 24*time.Hour, "past that the simulated nodes send")
	verbose := fs.Bool("v", false, "log to standard error")
	if _, code, ok := parseFlags(fs, args, 0, 0, std); !ok {
		return code
	}
	log := slog.New(slog.DiscardHandler)
	if *verbose {
		log = slog.New(slog.NewTextHandler(std.err, nil))
	}
	d, err := newDemo(demoOptions{data: *data, mqtt: *mqtt, http: *httpAddr, history: *history, log: log})
	if err != nil {
		fmt.Fprintln(std.err, "edge demo:", err)
		return exitFailed
	}
	fmt.Fprintf(std.out, "Open %s\n\nplant broker %s, enterprise broker %s, data in %s\nCtrl-C ends it.\n",
		d.app.URL(), d.app.MQTTAddr(), d.enterprise.Addr(), d.app.cfg.Data)
	if err := errors.Join(d.Run(ctx), d.Close()); err != nil {
		fmt.Fprintln(std.err, "edge demo:", err)
		return exitFailed
	}
	return exitOK
}

// demoOptions set a demo up.
type demoOptions struct {
	data       string // empty: a temporary folder, removed by Close
	mqtt, http string // a default address that is taken is replaced by a free one
	history    time.Duration
	seed       uint64
	log        *slog.Logger
}

// demo is a simulated plant, the appliance, and an enterprise broker with a SCADA, all over TCP on this machine.
//
//	simulate ─TCP─► App ─cable(TCP)─► enterprise broker ─TCP─► scada
type demo struct {
	app        *App
	fleet      *simulate.Fleet
	enterprise net.Listener
	broker     *server.Server // the enterprise's
	cable      cable
	scada      *scada
	log        *slog.Logger
	remove     string // temporary folder
}

func newDemo(o demoOptions) (*demo, error) {
	d := &demo{log: o.log}
	if err := d.open(o); err != nil {
		return nil, errors.Join(err, d.Close())
	}
	return d, nil
}

func (d *demo) open(o demoOptions) (err error) {
	if o.data == "" {
		if o.data, err = os.MkdirTemp("", "edge-demo-"); err != nil {
			return err
		}
		d.remove = o.data
	}
	_, err = os.Stat(filepath.Join(o.data, "history"))
	kept := err == nil
	if d.enterprise, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		return err
	}
	d.broker = server.New(server.Options{Router: router.New(router.Options{}), Log: d.log.With("at", "enterprise")})
	d.scada = newScada(d.enterprise.Addr().String(), d.log)

	cfg := defaultConfig()
	cfg.Data = o.data
	cfg.Broker.Listeners[0].Address = freeIfTaken(o.mqtt, demoMQTT)
	cfg.HTTP.Address = freeIfTaken(o.http, demoHTTP)
	link := defaultUplink("")
	link.Name, link.Servers = "enterprise", []ServerConfig{{URL: "mqtt://" + d.enterprise.Addr().String()}}
	link.PrimaryHost = scadaHostID // nothing is sent that SCADA is not there to hear
	cfg.Uplinks = []UplinkConfig{link}
	cfg.Sparkplug.Firewall.Mode = "observe" // whatever else is tried here is to be seen, and to work
	if problems := slices.DeleteFunc(cfg.validate(), func(p Problem) bool { return p.Warning }); len(problems) > 0 {
		return &ConfigError{problems}
	}
	d.app, err = NewApp(&cfg, d.log, appOptions{writes: true, demo: d, tuneUplink: d.tune})
	if err != nil {
		return err
	}
	if kept {
		o.history = 0 // it is there from the last time
	}
	d.fleet, err = simulate.New(simulate.Options{
		Broker: "tcp://" + d.app.MQTTAddr(), Nodes: simulate.Plant(), History: o.history, Seed: o.seed + 1, Log: d.log,
	})
	return err
}

// tune makes the demo's uplink quick: an operator watches it.
func (d *demo) tune(o *uplink.Options) {
	for i := range o.Servers {
		o.Servers[i].Dial = d.cable.dial
	}
	o.Jitter, o.BackoffMin, o.BackoffMax, o.ConnectRate = -1, 500*time.Millisecond, time.Second, 50
	o.FlushBitsPerSecond, o.StateDebounce = -1, -1
	o.PostmortemAfter = 30 * time.Second
}

// freeIfTaken returns address, or a free port beside it if it is the default and another program has it.
func freeIfTaken(address, fallback string) string {
	if address != fallback {
		return address
	}
	l, err := net.Listen("tcp", address)
	if errors.Is(err, syscall.EADDRINUSE) {
		return "127.0.0.1:0"
	}
	if err == nil {
		l.Close()
	}
	return address
}

// Run runs all parts until ctx ends.
func (d *demo) Run(ctx context.Context) error {
	return runStages(ctx, d.log, shutdownDeadline+2*time.Second, []stage{
		{name: "plant", run: d.fleet.Run},
		{name: "appliance", run: d.app.Run},
		{name: "scada", run: d.scada.run},
		{name: "enterprise", run: d.serveEnterprise},
	})
}

func (d *demo) serveEnterprise(ctx context.Context) error {
	ended := make(chan error, 1)
	go func() {
		ended <- d.broker.Serve(ctx, server.Listener{Listener: d.enterprise, Name: "enterprise", Anonymous: true})
	}()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	}
	ending, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	return errors.Join(d.broker.Shutdown(ending), <-ended)
}

// Close releases everything; a temporary folder is removed.
func (d *demo) Close() error {
	var errs []error
	if d.app != nil {
		errs = append(errs, d.app.Close())
	}
	if d.enterprise != nil {
		errs = append(errs, ignoreClosed(d.enterprise.Close()))
	}
	if d.remove != "" {
		errs = append(errs, os.RemoveAll(d.remove))
	}
	return errors.Join(errs...)
}

// Scada implements ui.Demo.
func (d *demo) Scada() ui.ScadaView {
	v := d.scada.view()
	v.Cut, v.Faults = d.cable.isCut(), map[string]string{}
	for _, n := range d.fleet.Nodes() {
		if n.State == simulate.Killed {
			v.Killed = append(v.Killed, n.Group+"/"+n.Node)
		}
		if len(n.Faults) > 0 {
			v.Faults[n.Group+"/"+n.Node] = faultNames(n.Faults)
		}
	}
	for _, f := range simulate.Faults() {
		v.Offered = append(v.Offered, ui.DemoFault{Name: string(f), Shows: f.Shows()})
	}
	return v
}

// Trend implements ui.Demo.
func (d *demo) Trend(ref sparkplug.MetricRef, from, to time.Time, points int) ([]historian.Bucket, []historian.Gap) {
	return d.scada.trend(ref, from, to, points)
}

// Do implements ui.Demo.
func (d *demo) Do(_ context.Context, action, node, fault string) error {
	switch action {
	case "fault":
		faults, err := simulate.ParseFaults(fault)
		if err != nil {
			return fmt.Errorf("%w: %w", ui.ErrUnknown, err)
		}
		return asUnknown(d.fleet.SetFaults(node, faults))
	case "kill":
		return asUnknown(d.fleet.Kill(node))
	case "revive":
		return asUnknown(d.fleet.Revive(node))
	case "cut":
		d.cable.pull()
	case "restore":
		d.cable.plug()
		for _, u := range d.app.pipeline.uplinks {
			u.Kick()
		}
	default:
		return fmt.Errorf("action %q is %w", action, ui.ErrUnknown)
	}
	return nil
}

func asUnknown(err error) error {
	if errors.Is(err, simulate.ErrNoNode) {
		return fmt.Errorf("%w: %w", ui.ErrUnknown, err)
	}
	return err
}
