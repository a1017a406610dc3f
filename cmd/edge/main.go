package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"syscall"
)

// The exit codes of every command.
const (
	exitOK      = 0
	exitFailed  = 1
	exitUsage   = 2
	exitRefused = 78 // a configuration or a store that this program must not run with
)

// streams are a command's standard input, output and error.
type streams struct {
	in       io.Reader
	out, err io.Writer
}

// command is one subcommand; run returns the exit code.
type command struct {
	name, summary string
	run           func(ctx context.Context, args []string, std streams) int
}

func subcommands() []command {
	return []command{
		{"run", "run the appliance from a configuration file", runRun},
		{"demo", "a simulated plant, the appliance and an enterprise broker, on this machine only", runDemo},
		{"check", "validate a configuration and print every problem", runCheck},
		{"config", "print the effective configuration and where each value comes from", runConfig},
		{"simulate", "Sparkplug edge nodes on any broker", runSimulate},
		{"tail", "print live Sparkplug messages, decoded", runTail},
		{"trace", "print what passes between the broker and one client", runTrace},
		{"export", "write recorded samples to a CSV or Parquet file", runExport},
		{"user", "add, change, list and remove users", runUser},
		{"healthy", "exit 0 when the appliance on this machine is ready", runHealthy},
		{"version", "print version, commit and Go version", runVersion},
	}
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	go func() {
		<-ctx.Done()
		stop() // from here on a second signal ends the process at once
	}()
	code := run(ctx, os.Args[1:], streams{os.Stdin, os.Stdout, os.Stderr})
	stop()
	os.Exit(code)
}

// run finds the command and runs it.
func run(ctx context.Context, args []string, std streams) int {
	if len(args) == 0 {
		usage(std.err)
		return exitUsage
	}
	switch args[0] {
	case "help", "-h", "-help", "--help":
		usage(std.out)
		return exitOK
	}
	for _, c := range subcommands() {
		if c.name == args[0] {
			return c.run(ctx, args[1:], std)
		}
	}
	fmt.Fprintf(std.err, "edge: no command %q\n\n", args[0])
	usage(std.err)
	return exitUsage
}

func usage(w io.Writer) {
	fmt.Fprint(w, "edge is a Sparkplug-aware industrial edge appliance.\n\nusage: edge COMMAND [flags]\n\n")
	for _, c := range subcommands() {
		fmt.Fprintf(w, "  %-10s %s\n", c.name, c.summary)
	}
	fmt.Fprint(w, "\nTry it:         edge demo\nHelp on one:    edge COMMAND --help\n")
}

// newFlags returns a flag set that prints synopsis, flags and an example.
func newFlags(name, synopsis, example string, std streams) *flag.FlagSet {
	fs := flag.NewFlagSet(name, flag.ContinueOnError)
	fs.SetOutput(std.err)
	fs.Usage = func() {
		fmt.Fprintf(fs.Output(), "usage: edge %s\n\nexample: %s\n\n", synopsis, example)
		fs.PrintDefaults()
	}
	return fs
}

// parseFlags parses args, which may stand before or after up to max plain arguments. ok is false when the
// command ends here with code.
func parseFlags(fs *flag.FlagSet, args []string, min, max int, std streams) (plain []string, code int, ok bool) {
	for {
		if len(args) > 0 && slices.Contains([]string{"-h", "-help", "--help"}, args[0]) {
			fs.SetOutput(std.out)
		}
		if err := fs.Parse(args); errors.Is(err, flag.ErrHelp) {
			return nil, exitOK, false
		} else if err != nil {
			return nil, exitUsage, false
		}
		if fs.NArg() == 0 {
			break
		}
		plain, args = append(plain, fs.Arg(0)), fs.Args()[1:]
	}
	if len(plain) < min || len(plain) > max {
		fmt.Fprintf(std.err, "edge %s: %d arguments, want %s\n\n", fs.Name(), len(plain), wanted(min, max))
		fs.Usage()
		return nil, exitUsage, false
	}
	return plain, exitOK, true
}

func wanted(min, max int) string {
	if min == max {
		return fmt.Sprint(min)
	}
	return fmt.Sprintf("%d to %d", min, max)
}
