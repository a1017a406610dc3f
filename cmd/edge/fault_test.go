package main

import (
	"encoding/json"
	"regexp"
	"strings"
	"testing"
	"time"

	"edge/sparkplug/simulate"
)

// TestFaultsAreShown gives each node of a plant a fault of its own, and finds on the pages what the fault says must be shown
// there, word for word.
func TestFaultsAreShown(t *testing.T) {
	t.Parallel()
	app := startApp(t, t.TempDir(), appOptions{})
	nodes := simulate.Generic("faulty", len(simulate.Faults()), 1, 8)
	for i, f := range simulate.Faults() {
		nodes[i].Node, nodes[i].Faults = string(f), []simulate.Fault{f}
		if f == simulate.AliasReuse { // two of one birth
			nodes[i].Signals = nodes[i].Devices[0].Signals
		}
	}
	fleet := runFleet(t, simulate.Options{Broker: "tcp://" + app.MQTTAddr(), Nodes: nodes, Interval: 50 * time.Millisecond, BackoffMin: 50 * time.Millisecond})
	eventually(t, patience, "the node without a will is online", func() bool {
		n, ok := app.node(t, "faulty", string(simulate.NoWill))
		return ok && n.State == "online"
	})
	if err := fleet.Kill(string(simulate.NoWill)); err != nil {
		t.Fatal(err)
	}
	for _, f := range simulate.Faults() {
		t.Run(string(f), func(t *testing.T) {
			words := quoted(f.Shows())
			if len(words) == 0 {
				t.Fatalf("nothing is quoted in %q", f.Shows())
			}
			for _, w := range words {
				eventually(t, patience, "the page shows "+w.String(), func() bool { return w.MatchString(app.pageOf(t, "faulty", string(f))) })
			}
		})
	}
}

// quoted returns what stands between quotation marks, as patterns: * is any text of one line.
func quoted(s string) (words []*regexp.Regexp) {
	for _, m := range regexp.MustCompile(`“([^”]*)”`).FindAllStringSubmatch(s, -1) {
		words = append(words, regexp.MustCompile(strings.ReplaceAll(regexp.QuoteMeta(m[1]), `\*`, `[^\n]*?`)))
	}
	return words
}

// pageOf is all that the pages of a node, its metrics and its events are made from.
func (a *testApp) pageOf(t *testing.T, group, node string) string {
	t.Helper()
	if _, known := a.node(t, group, node); !known {
		return ""
	}
	var all strings.Builder
	for _, path := range []string{"/api/v1/nodes/" + group + "/" + node, "/api/v1/metrics?group=" + group + "&node=" + node, "/api/v1/events?node=" + group + "/" + node} {
		var answer json.RawMessage
		a.get(t, path, &answer)
		all.Write(append(answer, '\n'))
	}
	return all.String()
}
