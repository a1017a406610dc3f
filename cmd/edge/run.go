package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"edge/historian"
	"edge/historian/journal"
)

// runFlags are the flags of `edge run`, which win over environment and file.
type runFlags struct{ config, data, mqtt, http *string }

func (f runFlags) overrides() []override {
	var all []override
	for _, o := range []override{{"data", *f.data, "flag --data"}, {mqttFlagKey, *f.mqtt, "flag --mqtt"}, {"http.address", *f.http, "flag --http"}} {
		if o.value != "" {
			all = append(all, o)
		}
	}
	return all
}

// runRun is `edge run`: the appliance until SIGTERM or SIGINT. SIGHUP reloads.
func runRun(ctx context.Context, args []string, std streams) int {
	fs := newFlags("run", "run --config FILE [--data DIR] [--mqtt ADDR] [--http ADDR]", "edge run --config /etc/edge/edge.yaml", std)
	f := runFlags{
		config: fs.String("config", "", "configuration `file` (needed)"),
		data:   fs.String("data", "", "`folder` that holds all state"),
		mqtt:   fs.String("mqtt", "", "`address` of the first MQTT listener"),
		http:   fs.String("http", "", "`address` of the page"),
	}
	if _, code, ok := parseFlags(fs, args, 0, 0, std); !ok {
		return code
	}
	if *f.config == "" {
		fmt.Fprintln(std.err, "edge run: --config is missing")
		fs.Usage()
		return exitUsage
	}
	load := func() (*Loaded, error) { return loadConfig(*f.config, os.Environ(), f.overrides()) }
	loaded, err := load()
	if err != nil {
		return reportConfig(*f.config, err, std)
	}
	log, level := newLog(loaded.Config.Log, std.err)
	for _, w := range loaded.Warnings {
		log.Warn(w.Message, "key", w.Key)
	}
	keep := tuneRuntime(loaded.Config.Broker.EventLoops)
	app, err := NewApp(&loaded.Config, log, appOptions{keepProcessor: keep, ballast: true})
	if err != nil {
		fmt.Fprintln(std.err, "edge run:", err)
		return startCode(err)
	}
	defer reloadOnHangup(app, log, level, load)()
	defer tellManager(ctx, app, log)()
	log.Info("started", "version", thisBuild().Version, "mqtt", app.MQTTAddr(), "page", app.URL(), "data", loaded.Config.Data)
	err = errors.Join(app.Run(ctx), app.Close())
	if err != nil {
		log.Error("stopped", "err", err)
		return exitFailed
	}
	log.Info("stopped")
	return exitOK
}

// tellManager tells the service manager that the appliance is ready, that it is alive, and that it stops, until the
// returned function is called.
func tellManager(ctx context.Context, app *App, log *slog.Logger) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		select {
		case <-ctx.Done():
			return
		case <-app.Ready():
		}
		if err := notify("READY=1"); err != nil {
			log.Warn("service manager not told", "err", err)
		}
		watchdog(ctx, app.alive)
		notify("STOPPING=1") //nolint:errcheck // it sees the end anyway
	}()
	return func() { cancel(); <-ended }
}

// startCode is 78 for data that a newer program wrote, else 1.
func startCode(err error) int {
	if errors.Is(err, journal.ErrNewer) || errors.Is(err, historian.ErrNewer) {
		return exitRefused
	}
	return exitFailed
}

// reloadOnHangup reloads on SIGHUP until the returned function is called. A bad file changes nothing and says why.
func reloadOnHangup(app *App, log *slog.Logger, level *slog.LevelVar, load func() (*Loaded, error)) (stop func()) {
	hangup, done, ended := make(chan os.Signal, 1), make(chan struct{}), make(chan struct{})
	signal.Notify(hangup, syscall.SIGHUP)
	go func() {
		defer close(ended)
		for {
			select {
			case <-done:
				return
			case <-hangup:
			}
			loaded, err := load()
			if err == nil {
				err = app.Reload(&loaded.Config)
			}
			if err != nil {
				log.Error("reload refused, nothing was changed", "err", err)
				continue
			}
			setLevel(level, loaded.Config.Log.Level)
			for _, w := range loaded.Warnings {
				log.Warn(w.Message, "key", w.Key, "line", w.Line)
			}
			log.Info("certificates, users, rules, firewall and log level reloaded; restart to apply other changes")
		}
	}()
	return func() { signal.Stop(hangup); close(done); <-ended }
}

// runHealthy is `edge healthy`: exit 0 when the appliance on this machine is ready, else it prints why.
func runHealthy(ctx context.Context, args []string, std streams) int {
	fs := newFlags("healthy", "healthy [--url URL]", "edge healthy --url http://127.0.0.1:8080", std)
	url := fs.String("url", "http://127.0.0.1:8080", "the page's `address`")
	if _, code, ok := parseFlags(fs, args, 0, 0, std); !ok {
		return code
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, *url+"/readyz", nil)
	if err != nil {
		fmt.Fprintln(std.err, err)
		return exitUsage
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		fmt.Fprintln(std.err, "not ready:", err)
		return exitFailed
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		fmt.Fprint(std.err, "not ready: ")
		io.Copy(std.err, io.LimitReader(resp.Body, 64<<10)) //nolint:errcheck // nothing more to tell
		return exitFailed
	}
	return exitOK
}
