package server

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"edge/broker/auth"
	"edge/broker/packets"
)

// BenchmarkACL is the same fan-in without rules and with those of a thousand users, of which the publisher has as many as a Sparkplug
// node's role has patterns, or a hundred; the last is the one that allows its topic. x-none is the processor's time, of both ends, as
// a ratio to no rules.
func BenchmarkACL(b *testing.B) {
	var none float64
	for _, c := range []struct {
		name       string
		own, users int // users: 0 is no rules at all
	}{{"no rules", 0, 0}, {"7 rules of 1000 users", 7, 1000}, {"100 rules of 1000 users", 100, 1000}} {
		b.Run(c.name, func(b *testing.B) {
			r := new(rig)
			if c.users > 0 {
				r.auth = letIn{benchPolicy(b, c.own, c.users)}
			}
			nanos := benchmark(b, r, packets.V4, 10, 1)
			if c.users == 0 {
				none = nanos
			}
			if none > 0 { // else -bench left it out
				b.ReportMetric(nanos/none, "x-none")
			}
		})
	}
}

// letIn asks for no password; what is measured comes after the login.
type letIn struct{ *auth.Policy }

func (letIn) Connect(_ context.Context, req auth.ConnectRequest) (auth.Identity, error) {
	return auth.Identity{User: "user0", ClientID: req.ClientID}, nil
}

// benchPolicy has own rules for user0 and one for each of the others.
func benchPolicy(b *testing.B, own, users int) *auth.Policy {
	b.Helper()
	var text strings.Builder
	text.WriteString("rules:\n")
	for i := range own - 1 {
		fmt.Fprintf(&text, "  - {user: user0, publish: [\"plant/oven%d/+\"]}\n", i)
	}
	text.WriteString("  - {user: user0, publish: [\"plant/+/temperature\"], subscribe: [\"plant/#\"]}\n")
	for i := 1; i < users; i++ {
		fmt.Fprintf(&text, "  - {user: user%d, role: sparkplug-node, group: plant, node: node%d}\n", i, i)
	}
	file := filepath.Join(b.TempDir(), "acl.yaml")
	if err := os.WriteFile(file, []byte(text.String()), 0o600); err != nil {
		b.Fatal(err)
	}
	p, err := auth.Load("", file)
	if err != nil {
		b.Fatal(err)
	}
	return p
}
