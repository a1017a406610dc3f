package main

import (
	"bufio"
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"edge/sparkplug"
	"edge/sparkplug/observe"
	"edge/sparkplug/simulate"
)

// runTail is `edge tail URL [FILTER]`: live Sparkplug messages decoded, one line each, until ctx ends or --count
// messages were printed. What an observer of the protocol finds goes to standard error.
func runTail(ctx context.Context, args []string, std streams) int {
	fs := newFlags("tail", "tail URL [FILTER] [flags]", "edge tail tcp://127.0.0.1:1883 'spBv1.0/plant/#' --json", std)
	asJSON := fs.Bool("json", false, "one JSON object a line")
	count := fs.Int("count", 0, "end after this many messages; 0: when interrupted")
	protocol := fs.String("protocol", "5", "MQTT `version`: 5 or 3.1.1")
	passwordFile := fs.String("password-file", "", "`file` with the password of the user in the URL")
	quiet := fs.Bool("no-findings", false, "do not judge what is seen")
	types := fs.String("type", "", "comma-separated `list` of message types to print, such as NBIRTH,NDEATH (default all)")
	metric := fs.String("metric", "", "print only metrics whose name contains this `text`, in any case, and messages that have one")
	most := fs.Int("metrics", 20, "metrics of a message to print as text; 0: all")
	color := fs.String("color", "auto", "`when` to colour: auto (on a terminal, unless NO_COLOR is set), always or never")
	plain, code, ok := parseFlags(fs, args, 1, 2, std)
	if !ok {
		return code
	}
	level, err := simulate.ParseProtocol(*protocol)
	var broker string
	if err == nil {
		broker, err = withPassword(plain[0], *passwordFile)
	}
	if err == nil && (*count < 0 || *most < 0) {
		err = fmt.Errorf("--count %d --metrics %d: want 0 or more", *count, *most)
	}
	show := tailShow{metric: strings.ToLower(*metric), most: *most}
	if err == nil {
		show.types, err = parseTypes(*types)
	}
	if err == nil {
		show.color, err = parseColor(*color, std.out)
	}
	if err != nil {
		fmt.Fprintf(std.err, "edge tail: %v\n", err)
		return exitUsage
	}
	filter := sparkplug.Namespace + "/#"
	if len(plain) == 2 {
		filter = plain[1]
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	t := &tail{out: bufio.NewWriter(std.out), left: *count, endless: *count == 0, asJSON: *asJSON, show: show, done: cancel,
		names: map[sparkplug.NodeRef]nodeNames{}}
	if !*quiet {
		t.judge = newJudge(std.err)
		t.judge.silent = *asJSON // its findings stand in the lines
	}
	filters := []string{filter}
	if strings.HasPrefix(filter, sparkplug.Namespace+"/") {
		t.learns = true // an aware server keeps the births that were before us
		filters = append(filters, sparkplug.CertificatePrefix+sparkplug.Namespace+"/#")
	}
	if err := subscribeTail(ctx, level, broker, filters, t.take, &lines{w: std.err}); err != nil {
		fmt.Fprintf(std.err, "edge tail: %v\n", err)
		return exitFailed
	}
	return t.end(std)
}

// tail prints messages; take is called by the one goroutine of an MQTT client that delivers them.
type tail struct {
	asJSON, endless bool
	show            tailShow
	learns          bool   // birth certificates are for their names only
	done            func() // ends the command

	mu    sync.Mutex
	out   *bufio.Writer                   // guarded by mu
	err   error                           // guarded by mu: of the first write that failed
	left  int                             // guarded by mu: messages still to print, if not endless
	names map[sparkplug.NodeRef]nodeNames // guarded by mu
	judge *judge                          // guarded by mu; nil: none
}

// take prints one message.
func (t *tail) take(m observe.Message) {
	topic, payload, at := m.Topic, m.Payload, m.At
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.err != nil || !t.endless && t.left == 0 {
		return
	}
	if t.learns && strings.HasPrefix(topic, sparkplug.CertificatePrefix) {
		t.read(topic, payload)
		return
	}
	line := t.read(topic, payload)
	line.Time, line.Retain = at.UTC().Truncate(time.Millisecond), m.Retain
	if t.judge != nil { // what is not printed is judged too: the observer needs all
		line.Findings = t.judge.message(m)
	}
	if !t.show.wants(&line) {
		return
	}
	if t.asJSON {
		t.err = line.writeJSON(t.out)
	} else {
		t.err = t.show.writeText(t.out, &line, at)
	}
	if t.err == nil {
		t.err = t.out.Flush()
	}
	if t.left--; t.err != nil || !t.endless && t.left == 0 {
		t.done()
	}
}

// end returns the exit code.
func (t *tail) end(std streams) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.err != nil {
		fmt.Fprintf(std.err, "edge tail: %v\n", t.err)
		return exitFailed
	}
	return exitOK
}
