package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"net/url"
	"os"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"edge/sparkplug/simulate"
)

// runSimulate is `edge simulate --broker URL`: edge nodes on any MQTT broker, a line for each change of state, a
// summary at the end. It fails if a node was never born.
func runSimulate(ctx context.Context, args []string, std streams) int {
	fs := newFlags("simulate", "simulate --broker URL [flags]",
		"edge simulate --broker tcp://127.0.0.1:1883 --history 24h --duration 10m --fault seq-gap", std)
	defer debug.SetGCPercent(debug.SetGCPercent(50)) // a thousand nodes beside what they test, on a small machine
	opt, ok, code := simulateOptions(fs, args, std)
	if !ok {
		return code
	}
	out := &lines{w: std.out}
	opt.OnState = func(s simulate.Status) {
		out.printf("%s %s/%s %s%s\n", time.Now().Format("15:04:05.000"), s.Group, s.Node, s.State, because(s))
	}
	fleet, err := simulate.New(opt)
	if err != nil {
		fmt.Fprintln(std.err, err)
		return exitUsage
	}
	if err := fleet.Run(ctx); err != nil {
		fmt.Fprintln(std.err, err)
		return exitFailed
	}
	return summary(std.out, fleet.Nodes())
}

func simulateOptions(fs *flag.FlagSet, args []string, std streams) (opt simulate.Options, ok bool, code int) {
	var broker, passwordFile, protocol, faults, group string
	var nodes, devices, metrics int
	fs.StringVar(&broker, "broker", "", "`URL` to connect to: mqtt://, mqtts://, ws:// or wss://[user@]host:port, or unix:///path")
	fs.StringVar(&passwordFile, "password-file", "", "`file` with the password of the user in the URL")
	fs.StringVar(&group, "group", "plant", "Sparkplug group id")
	fs.IntVar(&nodes, "nodes", 0, "so many nodes of --devices and --metrics; 0: a small plant of press, oven, conveyor, utilities")
	fs.IntVar(&devices, "devices", 2, "devices of each node; 0: the metrics are the node's own")
	fs.IntVar(&metrics, "metrics", 20, "metrics of each device")
	fs.DurationVar(&opt.Interval, "interval", time.Second, "time between looks at the signals")
	fs.Func("history", "`past` to send as historical data, such as 24h or 7d (default none)", func(s string) error {
		d, err := parseDuration(s)
		opt.History = time.Duration(d)
		return err
	})
	fs.DurationVar(&opt.Duration, "duration", 0, "end after this time (default: when interrupted)")
	fs.StringVar(&protocol, "protocol", "5", "MQTT `version`: 5 or 3.1.1")
	fs.StringVar(&faults, "fault", "", "comma-separated `list` of what the nodes do wrong: "+faultNames(simulate.Faults()))
	fs.StringVar(&opt.PrimaryHost, "primary-host", "", "wait for the STATE of this host `id` before the birth")
	fs.StringVar(&opt.BdSeqFile, "bdseq-file", "", "`file` that keeps bdSeq from run to run")
	fs.Uint64Var(&opt.Seed, "seed", 1, "of all values and pauses")
	if _, code, ok := parseFlags(fs, args, 0, 0, std); !ok {
		return opt, false, code
	}
	err := complete(&opt, broker, passwordFile, protocol, faults)
	if err == nil && (nodes < 0 || devices < 0 || metrics < 1 || opt.Interval <= 0 || opt.Duration < 0) {
		err = fmt.Errorf("a count or a time is out of range")
	}
	if err != nil {
		fmt.Fprintf(std.err, "edge simulate: %v\n", err)
		return opt, false, exitUsage
	}
	if nodes > 0 {
		opt.Nodes = simulate.Generic(group, nodes, devices, metrics)
		return opt, true, exitOK
	}
	opt.Nodes = simulate.Plant()
	for i := range opt.Nodes {
		opt.Nodes[i].Group = group
	}
	return opt, true, exitOK
}

// complete reads the flags that are more than a word.
func complete(opt *simulate.Options, broker, passwordFile, protocol, faults string) (err error) {
	if broker == "" {
		return fmt.Errorf("--broker is missing; for example --broker tcp://127.0.0.1:1883")
	}
	if opt.Protocol, err = simulate.ParseProtocol(protocol); err != nil {
		return err
	}
	if opt.Faults, err = simulate.ParseFaults(faults); err != nil {
		return err
	}
	opt.Broker, err = withPassword(broker, passwordFile)
	return err
}

// withPassword puts the password of a file into a broker's URL; without a file the URL stays as it is.
func withPassword(broker, file string) (string, error) {
	if file == "" {
		return broker, nil
	}
	password, err := os.ReadFile(file)
	if err != nil {
		return "", err
	}
	u, err := simulate.ParseBroker(broker)
	if err != nil {
		return "", err
	}
	u.User = url.UserPassword(u.User.Username(), strings.TrimRight(string(password), "\r\n"))
	return u.String(), nil
}

func faultNames(faults []simulate.Fault) string {
	var names []string
	for _, f := range faults {
		names = append(names, string(f))
	}
	return strings.Join(names, ", ")
}

// summary prints what each node did and returns the exit code.
func summary(w io.Writer, nodes []simulate.Status) int {
	code := exitOK
	for _, s := range nodes {
		fmt.Fprintf(w, "%s/%s: %d connects, %d births (%d asked for), %d messages, %d live values, %d historical, %d commands, %d refused\n",
			s.Group, s.Node, s.Connects, s.Births, s.Rebirths, s.Messages, s.Samples, s.HistorySent, s.Commands, s.Refused)
		if s.Births == 0 {
			fmt.Fprintf(w, "%s/%s was never born: %s\n", s.Group, s.Node, s.LastError)
			code = exitFailed
		}
	}
	return code
}

func because(s simulate.Status) string {
	switch {
	case s.State == simulate.Online:
		return fmt.Sprintf(" bdSeq=%d", s.BdSeq)
	case s.Reason != "":
		return ": " + s.Reason
	}
	return ""
}

// lines writes whole lines from several goroutines.
type lines struct {
	mu sync.Mutex
	w  io.Writer // guarded by mu
}

func (l *lines) printf(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	fmt.Fprintf(l.w, format, args...)
}
