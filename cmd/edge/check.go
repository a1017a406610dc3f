package main

import (
	"context"
	"errors"
	"fmt"
	"os"
)

// runCheck is `edge check FILE`: every problem with its key and line, exit 78 if one refuses the file.
func runCheck(_ context.Context, args []string, std streams) int {
	path, loaded, code := loadNamed("check", args, std)
	if loaded == nil {
		return code
	}
	for _, w := range loaded.Warnings {
		fmt.Fprintln(std.err, w)
	}
	if _, err := loadPolicy(&loaded.Config); err != nil {
		fmt.Fprintln(std.err, err)
		return exitRefused
	}
	fmt.Fprintf(std.out, "%s: ok\n", path)
	return exitOK
}

// loadNamed loads the one file that `edge NAME FILE` names; without a configuration the command ends with code.
func loadNamed(name string, args []string, std streams) (path string, loaded *Loaded, code int) {
	fs := newFlags(name, name+" FILE", "edge "+name+" /etc/edge/edge.yaml", std)
	plain, code, ok := parseFlags(fs, args, 1, 1, std)
	if !ok {
		return "", nil, code
	}
	loaded, err := loadConfig(plain[0], os.Environ(), nil)
	if err != nil {
		return "", nil, reportConfig(plain[0], err, std)
	}
	return plain[0], loaded, exitOK
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
