package brokertest

import (
	"flag"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"edge/broker/packets"
)

var rewrite = flag.Bool("rewrite", false, "write the broker's answers into the scripts in testdata")

// Broker is the broker that a script talks to.
type Broker struct {
	Dial    func() net.Conn     // opens a connection to the broker
	Advance func(time.Duration) // lets time pass, for the command "advance"; nil: scripts must not use it
	Restart func()              // stops the broker and starts it on the same data, for "restart"; nil: likewise
}

// Run runs each script that pattern selects twice, with 3.1.1 and with 5.0, each time against a fresh broker from start.
//
// A script is lines of commands, each followed by the broker's answers to it, indented. An answer that only one version
// gives has "3.1.1:" or "5.0:" in front. Lines beginning with # are comments; "only 5.0" (or 3.1.1) as a line by itself leaves the other version
// out. The commands are those of the table in command.go. With -rewrite the answers are written into the file;
// the flag is this package's, so a test package that imports it declares none of that name.
func Run(t *testing.T, pattern string, start func(t *testing.T) Broker) {
	RunIn(t, pattern, func(t *testing.T, run func(t *testing.T)) { run(t) }, start)
}

// RunIn is Run with each run of a script, its broker included, inside a bubble: synctest.Test makes one.
func RunIn(t *testing.T, pattern string, bubble func(*testing.T, func(*testing.T)), start func(t *testing.T) Broker) {
	files, err := filepath.Glob(pattern)
	if err != nil || len(files) == 0 {
		t.Fatalf("no script matches %s: %v", pattern, err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) { runFile(t, file, bubble, start) })
	}
}

func runFile(t *testing.T, file string, bubble func(*testing.T, func(*testing.T)), start func(t *testing.T) Broker) {
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	lines := parseScript(string(text))
	for _, v := range []packets.Version{packets.V4, packets.V5} {
		if onlyVersion(lines, v) {
			t.Run(versionName(v), func(t *testing.T) {
				bubble(t, func(t *testing.T) { runLines(t, file, lines, v, start(t)) })
			})
		}
	}
	if t.Failed() {
		return
	}
	got := renderScript(lines)
	if *rewrite {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	} else if diff := cmp.Diff(string(text), got); diff != "" {
		t.Errorf("%s: the broker answers otherwise; run with -rewrite and read the diff (-file +broker):\n%s", file, diff)
	}
}

// line is one command, comment or empty line of a script.
type line struct {
	number  int
	text    string
	answers map[packets.Version][]string
}

// parseScript leaves the indented answers out: they come anew from the broker.
func parseScript(text string) (lines []*line) {
	for i, s := range strings.Split(strings.TrimSuffix(text, "\n"), "\n") {
		if !strings.HasPrefix(s, " ") {
			lines = append(lines, &line{number: i + 1, text: s, answers: make(map[packets.Version][]string)})
		}
	}
	return lines
}

func (l *line) isCommand() bool {
	return l.text != "" && l.text[0] != '#' && !strings.HasPrefix(l.text, "only ")
}

func onlyVersion(lines []*line, v packets.Version) bool {
	for _, l := range lines {
		if only, found := strings.CutPrefix(l.text, "only "); found {
			return only == versionName(v)
		}
	}
	return true
}

func versionName(v packets.Version) string {
	if v == packets.V4 {
		return "3.1.1"
	}
	return "5.0"
}

// renderScript writes commands and answers. Answers that both versions give, or that the only version run gives, have no version in front.
func renderScript(lines []*line) string {
	both := onlyVersion(lines, packets.V4) && onlyVersion(lines, packets.V5)
	var s strings.Builder
	for _, l := range lines {
		s.WriteString(l.text + "\n")
		v4, v5 := l.answers[packets.V4], l.answers[packets.V5]
		if !both {
			writeAnswers(&s, "", append(v4, v5...))
		} else if cmp.Equal(v4, v5) {
			writeAnswers(&s, "", v4)
		} else {
			writeAnswers(&s, "3.1.1: ", v4)
			writeAnswers(&s, "5.0:   ", v5)
		}
	}
	return s.String()
}

func writeAnswers(s *strings.Builder, prefix string, answers []string) {
	for _, a := range answers {
		fmt.Fprintf(s, "    %s%s\n", prefix, a)
	}
}

// runLines runs all commands of a script with one version.
func runLines(t *testing.T, file string, lines []*line, v packets.Version, b Broker) {
	s := &stage{version: v, broker: b, clients: make(map[string]*Client)}
	for _, l := range lines {
		if !l.isCommand() {
			continue
		}
		s.t = located{t, fmt.Sprintf("%s:%d: %s: ", file, l.number, l.text)}
		s.answers = nil
		s.run(l.text)
		l.answers[v] = s.answers
	}
}

// located is a testing.TB that puts the place in the script in front of what it says.
type located struct {
	*testing.T
	place string
}

func (l located) Fatalf(format string, args ...any) {
	l.Helper()
	l.T.Fatalf(l.place+format, args...)
}
