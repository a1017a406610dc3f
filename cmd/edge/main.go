// Command edge is a Sparkplug-aware industrial edge appliance in one binary.
package main

import (
	"context"
	"io"
)

// streams are a command's standard input, output and error.
type streams struct {
	in       io.Reader
	out, err io.Writer
}

// command is one subcommand. run returns the exit code: 0 done, 1 failed, 2 wrong use, 78 refused configuration.
type command struct {
	name, summary string
	run           func(ctx context.Context, args []string, std streams) int
}

func main() {}
