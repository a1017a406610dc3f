package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"
)

// runTrace is `edge trace CLIENT`: what passes between a running appliance's broker and one client, as it happens.
func runTrace(ctx context.Context, args []string, std streams) int {
	fs := newFlags("trace", "trace CLIENT [--duration 1m] [--packets 1000] [--payloads] [--json] [--url URL]",
		"edge trace press-7 --duration 5m", std)
	base := fs.String("url", "http://127.0.0.1:8080", "the page's `address`")
	duration := fs.Duration("duration", time.Minute, "how `long`, at most 10m")
	packets := fs.Int("packets", 1000, "after how `many` packets it ends, at most 10000")
	payloads := fs.Bool("payloads", false, "show the first 256 bytes of payloads")
	asJSON := fs.Bool("json", false, "one JSON object a line")
	plain, code, ok := parseFlags(fs, args, 1, 1, std)
	if !ok {
		return code
	}
	t := tracing{at: *base + "/api/v1/clients/" + url.PathEscape(plain[0]) + "/trace", out: std.out, json: *asJSON}
	if err := t.run(ctx, map[string]any{"duration": duration.Seconds(), "packets": *packets, "payloads": *payloads}); err != nil {
		fmt.Fprintln(std.err, "edge trace:", err)
		return exitFailed
	}
	return exitOK
}

// tracing asks for the lines of one trace until it ends.
type tracing struct {
	at   string // the trace's address
	out  io.Writer
	json bool
}

// tracePoll is how often new lines are asked for.
const tracePoll = 250 * time.Millisecond

// run starts the trace and prints it; when ctx ends the trace does, too.
func (t *tracing) run(ctx context.Context, options map[string]any) error {
	body, err := json.Marshal(options)
	if err != nil {
		return err
	}
	var v traceAnswer
	if err := t.ask(ctx, http.MethodPost, "", body, &v); err != nil {
		return err
	}
	tick := time.NewTicker(tracePoll)
	defer tick.Stop()
	for {
		if err := t.ask(ctx, http.MethodGet, fmt.Sprintf("?after=%d", v.Next), nil, &v); err != nil && ctx.Err() == nil {
			return err
		}
		for _, l := range v.Lines {
			if err := t.print(l); err != nil {
				return err
			}
		}
		if v.Ended != nil && v.Next >= v.Count {
			if !t.json {
				fmt.Fprintf(t.out, "trace ended: %s\n", v.End)
			}
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
			defer cancel()
			return t.ask(ending, http.MethodDelete, "", nil, new(struct{}))
		}
	}
}

// traceAnswer is what the trace's address answers.
type traceAnswer struct {
	Ended *time.Time
	End   string
	Count uint64
	Next  uint64
	Lines []json.RawMessage
}

// ask sends one request and reads the answer into v.
func (t *tracing) ask(ctx context.Context, method, query string, body []byte, v any) error {
	req, err := http.NewRequestWithContext(ctx, method, t.at+query, bytes.NewReader(body))
	if err != nil {
		return err
	}
	if len(body) > 0 {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, 64<<20))
	if err != nil {
		return err
	}
	if resp.StatusCode >= 300 {
		var refused struct {
			Error struct{ Message, Hint string }
		}
		if json.Unmarshal(answer, &refused) != nil || refused.Error.Message == "" {
			return fmt.Errorf("%s answered %s; is it an appliance?", req.URL.Host, resp.Status)
		}
		return fmt.Errorf("%s: %s", printable(refused.Error.Message), printable(refused.Error.Hint))
	}
	return json.Unmarshal(answer, v)
}

// print writes one line, as it came or for people. Text from outside is quoted where it would not print.
func (t *tracing) print(raw json.RawMessage) error {
	if t.json {
		_, err := fmt.Fprintf(t.out, "%s\n", raw)
		return err
	}
	var l struct {
		Time                  time.Time
		Direction, Type, Note string
		PacketID              int `json:"packet_id"`
		QoS, Size             int
		Dup, Retain           bool
		Topics                []string
		Codes                 []struct{ Text string }
		Payload               []byte
	}
	if err := json.Unmarshal(raw, &l); err != nil {
		return err
	}
	b := l.Time.Local().AppendFormat(nil, "15:04:05.000 ")
	b = append(b, map[string]string{"in": "->", "out": "<-", "note": "--"}[l.Direction]...)
	if l.Type != "" {
		b = fmt.Appendf(b, " %s", l.Type)
	}
	if l.Type == "PUBLISH" {
		b = fmt.Appendf(b, " qos=%d", l.QoS)
	}
	if l.PacketID > 0 {
		b = fmt.Appendf(b, " id=%d", l.PacketID)
	}
	if l.Dup {
		b = append(b, " dup"...)
	}
	if l.Retain {
		b = append(b, " retain"...)
	}
	for _, topic := range l.Topics {
		b = fmt.Appendf(b, " %s", safe(topic))
	}
	for _, c := range l.Codes {
		b = fmt.Appendf(b, ", %s", printable(c.Text))
	}
	if l.Size > 0 {
		b = fmt.Appendf(b, ", %d bytes", l.Size)
	}
	if l.Payload != nil {
		b = fmt.Appendf(b, " %q", l.Payload)
	}
	if l.Note != "" {
		b = fmt.Appendf(b, " %s", printable(l.Note))
	}
	_, err := t.out.Write(append(b, '\n'))
	return err
}
