package main

import (
	"context"
	"encoding/json"
	"fmt"
	"runtime/debug"
)

// version is the release; the build sets it with -ldflags "-X main.version=...".
var version = "0.1.0-dev"

// build is what the program knows of itself.
type build struct {
	Version string `json:"version"`
	Commit  string `json:"commit"`
	Go      string `json:"go"`
}

func thisBuild() build {
	b := build{Version: version, Commit: "unknown"}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return b
	}
	b.Go = info.GoVersion
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision":
			b.Commit = s.Value
		case s.Key == "vcs.modified" && s.Value == "true":
			b.Commit += " with local changes"
		}
	}
	return b
}

// runVersion is `edge version`: a line for people, --json, or --sbom with every module built in.
func runVersion(_ context.Context, args []string, std streams) int {
	fs := newFlags("version", "version [--json | --sbom]", "edge version --json", std)
	asJSON := fs.Bool("json", false, "print version, commit and Go version as JSON")
	asSBOM := fs.Bool("sbom", false, "print the modules built in, as a CycloneDX 1.5 document")
	if _, code, ok := parseFlags(fs, args, 0, 0, std); !ok {
		return code
	}
	b := thisBuild()
	var document any = b
	switch {
	case *asSBOM:
		document = sbom(b)
	case !*asJSON:
		fmt.Fprintf(std.out, "edge %s, commit %s, %s\n", b.Version, b.Commit, b.Go)
		return exitOK
	}
	enc := json.NewEncoder(std.out)
	enc.SetIndent("", "  ")
	if err := enc.Encode(document); err != nil {
		fmt.Fprintln(std.err, err)
		return exitFailed
	}
	return exitOK
}

// component is one part of a CycloneDX 1.5 document.
type component struct {
	Type    string `json:"type"`
	Name    string `json:"name"`
	Version string `json:"version"`
	PURL    string `json:"purl,omitempty"`
}

func sbom(b build) any {
	parts := []component{{Type: "platform", Name: "go", Version: b.Go}}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, m := range info.Deps {
			parts = append(parts, component{"library", m.Path, m.Version, "pkg:golang/" + m.Path + "@" + m.Version})
		}
	}
	return map[string]any{
		"bomFormat": "CycloneDX", "specVersion": "1.5", "version": 1,
		"metadata":   map[string]any{"component": component{Type: "application", Name: "edge", Version: b.Version}},
		"components": parts,
	}
}
