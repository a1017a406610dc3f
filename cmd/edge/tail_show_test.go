package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"edge/sparkplug"
	"edge/sparkplug/observe"
)

// shown is what edge tail prints of messages, one birth of node G/N and what follows it.
func shown(t *testing.T, show tailShow, asJSON bool, messages ...observe.Message) []string {
	t.Helper()
	var out bytes.Buffer
	tail := newTail()
	tail.out, tail.endless, tail.show, tail.asJSON, tail.judge = bufio.NewWriter(&out), true, show, asJSON, newJudge(io.Discard)
	for _, m := range messages {
		tail.take(m)
	}
	if tail.err != nil {
		t.Fatal(tail.err)
	}
	return strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
}

// tailStory is a session of one node: birth, data, a sequence gap, a command, a host, the death.
func tailStory() []observe.Message {
	at := time.Date(2026, 3, 1, 8, 0, 0, 0, time.UTC)
	metric := func(name string, alias uint64, v sparkplug.Value) sparkplug.Metric {
		m := sparkplug.Metric{Name: name, Alias: alias, HasAlias: true, Timestamp: sparkplug.Millis(at), HasTimestamp: true, Value: v}
		if name != "" {
			m.Type = v.Type
		}
		return m
	}
	message := func(topic string, seq uint64, metrics ...sparkplug.Metric) observe.Message {
		p := sparkplug.Payload{Timestamp: sparkplug.Millis(at), HasTimestamp: true, Seq: seq, HasSeq: true, Metrics: metrics}
		return observe.Message{Topic: topic, Payload: sparkplug.Encode(&p), At: at}
	}
	ref := sparkplug.NodeRef{Group: "G", Node: "N"}
	rebirth := sparkplug.Metric{Name: sparkplug.NameRebirth, Timestamp: sparkplug.Millis(at), HasTimestamp: true, Type: sparkplug.Boolean, Value: sparkplug.BoolValue(false)}
	from := func(p sparkplug.Publish) observe.Message {
		return observe.Message{Topic: p.Topic, Payload: p.Payload, QoS: p.QoS, Retain: p.Retain, At: at}
	}
	return []observe.Message{
		message("spBv1.0/G/NBIRTH/N", 0, sparkplug.BdSeqMetric(7, at), rebirth, metric("Oven temp", 1, sparkplug.DoubleValue(180)), metric("Door", 2, sparkplug.BoolValue(true))),
		message("spBv1.0/G/NDATA/N", 1, metric("", 1, sparkplug.DoubleValue(181)), metric("", 2, sparkplug.BoolValue(false))),
		message("spBv1.0/G/NDATA/N", 5, metric("", 1, sparkplug.DoubleValue(182))),
		from(sparkplug.RebirthRequest(ref, at)),
		from(sparkplug.StateMessage("scada", sparkplug.HostState{Online: true, Timestamp: at.UnixMilli()})),
		from(sparkplug.NodeDeath(ref, 7, at)),
	}
}

func TestTailShows(t *testing.T) {
	const gap = "✗ tck-id-payloads-sequence-num-incrementing"
	for _, c := range []struct {
		name string
		show tailShow
		want []string // a line each, without its time; * is any text
	}{
		{"all of it", tailShow{}, []string{
			`NBIRTH G/N seq=0 bdSeq=7 bdSeq="7" "Node Control/Rebirth"=false "Oven temp"=180 Door=true`,
			`NDATA  G/N seq=1 "Oven temp"=181 Door=false`, `NDATA  G/N seq=5 "Oven temp"=182 ` + gap,
			`NCMD   G/N "Node Control/Rebirth"=true`, `STATE  scada online=true retained`, `NDEATH G/N bdSeq=7 bdSeq="7"*`}},
		{"one type", tailShow{types: []string{"NDEATH", "STATE"}}, []string{`STATE  scada online=true retained`, `NDEATH G/N bdSeq=7 bdSeq="7"*`}},
		{"one metric, and the verdict sees what is not shown", tailShow{metric: "oven"}, []string{
			`NBIRTH G/N seq=0 bdSeq=7 "Oven temp"=180`, `NDATA  G/N seq=1 "Oven temp"=181`, `NDATA  G/N seq=5 "Oven temp"=182 ` + gap}},
		{"two metrics a line", tailShow{types: []string{"NBIRTH"}, most: 2}, []string{`NBIRTH G/N seq=0 bdSeq=7 bdSeq="7" "Node Control/Rebirth"=false and 2 more`}},
		{"in colour", tailShow{types: []string{"NDATA", "NDEATH"}, color: true}, []string{
			"NDATA  G/N \x1b[2mseq=1\x1b[0m \x1b[36m\"Oven temp\"\x1b[0m=181 \x1b[36mDoor\x1b[0m=false",
			"NDATA  G/N \x1b[2mseq=5\x1b[0m \x1b[36m\"Oven temp\"\x1b[0m=182 \x1b[31m" + gap + "\x1b[0m",
			"\x1b[31mNDEATH G/N\x1b[0m \x1b[2mbdSeq=7\x1b[0m \x1b[36mbdSeq\x1b[0m=\"7\"*"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			lines := shown(t, c.show, false, tailStory()...)
			if len(lines) != len(c.want) {
				t.Fatalf("%d lines, want %d:\n%s", len(lines), len(c.want), strings.Join(lines, "\n"))
			}
			for i, line := range lines {
				_, rest, _ := strings.Cut(line, " ")
				want := "^" + strings.ReplaceAll(regexp.QuoteMeta(c.want[i]), `\*`, ".*") + "$"
				if !regexp.MustCompile(want).MatchString(rest) {
					t.Errorf("got  %q\nwant %q", rest, c.want[i])
				}
			}
		})
	}
}

// A program that reads --json gets the verdicts in the lines.
func TestTailJSONFindings(t *testing.T) {
	lines := shown(t, tailShow{}, true, tailStory()...)
	var found []string
	for _, line := range lines {
		var l struct {
			Seq      *uint64
			Findings []tailFinding
		}
		if err := json.Unmarshal([]byte(line), &l); err != nil {
			t.Fatal(err)
		}
		for _, f := range l.Findings {
			if l.Seq != nil && *l.Seq == 5 {
				found = append(found, f.ID)
			}
		}
	}
	if len(found) != 1 || found[0] != "tck-id-payloads-sequence-num-incrementing" {
		t.Errorf("findings of the gap: %v", found)
	}
}

func TestTailFlags(t *testing.T) {
	for _, c := range []struct {
		name string
		args []string
		want string // in the error
	}{
		{"no such type", []string{"--type", "NBIRT"}, "NBIRT"},
		{"no such colour", []string{"--color", "blue"}, "blue"},
		{"fewer than none", []string{"--metrics", "-1"}, "-1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var errs bytes.Buffer
			code := runTail(t.Context(), append([]string{"tcp://127.0.0.1:1"}, c.args...), streams{out: io.Discard, err: &errs})
			if code != exitUsage || !strings.Contains(errs.String(), c.want) {
				t.Errorf("exit %d: %s", code, &errs)
			}
		})
	}
	if on, err := parseColor("auto", &bytes.Buffer{}); on || err != nil {
		t.Errorf("colour into a buffer: %t, %v", on, err)
	}
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	if on, err := parseColor("auto", null); on || err != nil {
		t.Errorf("colour into a file that is no terminal: %t, %v", on, err)
	}
	if types, err := parseTypes("nbirth, DDATA,"); err != nil || strings.Join(types, " ") != "NBIRTH DDATA" {
		t.Errorf("types %v, %v", types, err)
	}
}
