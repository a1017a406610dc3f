package main

import (
	"context"
	"errors"
	"fmt"
	"os"
)

// runCheck is `edge check FILE`: every problem with its key and line, exit 78 if one refuses the file.
func runCheck(_ context.Context, args []string, std streams) int {
	fs := newFlags("check", "check FILE", "edge check /etc/edge/edge.yaml", std)
	plain, code, ok := parseFlags(fs, args, 1, 1, std)
	if !ok {
		return code
	}
	loaded, err := loadConfig(plain[0], os.Environ(), nil)
	if err != nil {
		return reportConfig(plain[0], err, std)
	}
	for _, w := range loaded.Warnings {
		fmt.Fprintln(std.err, w)
	}
	if _, err := loadPolicy(&loaded.Config); err != nil {
		fmt.Fprintln(std.err, err)
		return exitRefused
	}
	fmt.Fprintf(std.out, "%s: ok\n", plain[0])
	return exitOK
}

// reportConfig prints why a configuration is refused and returns the exit code.
func reportConfig(path string, err error, std streams) int {
	var refused *ConfigError
	if !errors.As(err, &refused) {
		fmt.Fprintln(std.err, err)
		return exitRefused
	}
	for _, p := range refused.Problems {
		fmt.Fprintln(std.err, p)
	}
	fmt.Fprintf(std.err, "%s: %d problem(s), nothing was started\n", path, len(refused.Problems))
	return exitRefused
}
