package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"edge/historian"
	"edge/historian/export"
	"edge/historian/journal"
)

// runExport is `edge export`: samples, their quality, and gaps as a file, from a running appliance or from the data folder of one
// that is stopped.
func runExport(ctx context.Context, args []string, std streams) int {
	fs := newFlags("export", "export --from T --to T --metric NAME [--format csv|parquet] [--out FILE] [--url URL | --data DIR]",
		"edge export --from 2026-03-10 --to 2026-03-11T06:00:00Z --metric 'Zone */Temperature' --out oven.parquet", std)
	var e exporting
	var names list
	from := fs.String("from", "", "first `time`: RFC 3339, or a date (UTC); default an hour before --to")
	to := fs.String("to", "", "the `time` behind the last; default now")
	fs.Var(&names, "metric", "`name` of a metric, or group/node/device/name; * stands for any characters; may be given again; default all")
	fs.StringVar(&e.sel.Group, "group", "", "`name` of a group, with * likewise")
	fs.StringVar(&e.sel.Node, "node", "", "`name` of a node, likewise")
	fs.StringVar(&e.sel.Device, "device", "", "`name` of a device, likewise")
	fs.StringVar(&e.format, "format", "", "csv or parquet; default as --out ends, else csv")
	fs.StringVar(&e.out, "out", "-", "`file` to write; -: standard output")
	fs.StringVar(&e.url, "url", "", "the page's `address` of a running appliance; default http://127.0.0.1:8080")
	fs.StringVar(&e.data, "data", "", "the data `folder` of an appliance that is stopped; nothing in it is changed")
	_, code, ok := parseFlags(fs, args, 0, 0, std)
	if !ok {
		return code
	}
	if err := e.validate(*from, *to, names, time.Now()); err != nil {
		fmt.Fprintln(std.err, "edge export:", err)
		return exitUsage
	}
	n, err := e.run(ctx, std)
	if err != nil {
		fmt.Fprintln(std.err, "edge export:", err)
		if errors.Is(err, historian.ErrNewer) || errors.Is(err, journal.ErrNewer) {
			return exitRefused
		}
		return exitFailed
	}
	fmt.Fprintf(std.err, "%d samples and %d gaps\n", n.Samples, n.Gaps)
	return exitOK
}

// list is a flag that may be given again.
type list []string

// String implements flag.Value.
func (l *list) String() string { return strings.Join(*l, ", ") }

// Set implements flag.Value.
func (l *list) Set(s string) error {
	*l = append(*l, s)
	return nil
}

// exporting is one export.
type exporting struct {
	sel         historian.Selection
	format, out string
	url, data   string // at most one of them
}

func (e *exporting) validate(from, to string, names []string, now time.Time) error {
	end, err := parseWhen(to, now)
	if err != nil {
		return fmt.Errorf("--to: %w", err)
	}
	start, err := parseWhen(from, end.Add(-time.Hour))
	if err != nil {
		return fmt.Errorf("--from: %w", err)
	}
	if !start.Before(end) {
		return errors.New("--to must be after --from")
	}
	if e.url != "" && e.data != "" {
		return errors.New("--url and --data: give one of them")
	}
	e.format = cmp.Or(e.format, strings.TrimPrefix(filepath.Ext(e.out), "."), export.CSV)
	if _, ok := export.ContentType(e.format); !ok {
		return fmt.Errorf("format %q: want --format csv or parquet", e.format)
	}
	e.sel.Metrics = names
	e.sel.From, e.sel.To = journal.Millis(start.UnixMilli()), journal.Millis(end.UnixMilli())
	return nil
}

// parseWhen reads RFC 3339, a date, or milliseconds since 1970. Empty is def.
func parseWhen(s string, def time.Time) (time.Time, error) {
	if s == "" {
		return def, nil
	}
	if t, err := time.Parse(time.DateOnly, s); err == nil {
		return t, nil
	}
	if ms, err := strconv.ParseInt(s, 10, 64); err == nil {
		return time.UnixMilli(ms), nil
	}
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		return t, fmt.Errorf("%q is no time; write 2026-03-10T12:00:00Z or 2026-03-10", s)
	}
	return t, nil
}

// run writes to a file beside its own until it is whole.
func (e *exporting) run(ctx context.Context, std streams) (n export.Count, err error) {
	if e.out == "-" {
		return e.copy(ctx, std.out, std)
	}
	part := e.out + ".part"
	f, err := os.OpenFile(part, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o640)
	if err != nil {
		return n, err
	}
	if n, err = e.copy(ctx, f, std); err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(part, e.out)
	}
	if err != nil {
		err = errors.Join(err, os.Remove(part))
	}
	return n, err
}

func (e *exporting) copy(ctx context.Context, w io.Writer, std streams) (export.Count, error) {
	if e.data != "" {
		return e.fromFolder(ctx, w, std)
	}
	return e.fromAppliance(ctx, w)
}

// fromAppliance asks a running appliance.
func (e *exporting) fromAppliance(ctx context.Context, w io.Writer) (n export.Count, err error) {
	q := url.Values{"metric": e.sel.Metrics, "format": {e.format},
		"from": {strconv.FormatInt(int64(e.sel.From), 10)}, "to": {strconv.FormatInt(int64(e.sel.To), 10)}}
	for name, pattern := range map[string]string{"group": e.sel.Group, "node": e.sel.Node, "device": e.sel.Device} {
		if pattern != "" {
			q.Set(name, pattern)
		}
	}
	at := strings.TrimSuffix(cmp.Or(e.url, "http://127.0.0.1:8080"), "/")
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, at+"/api/v1/export?"+q.Encode(), nil)
	if err != nil {
		return n, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return n, fmt.Errorf("%w; is the appliance running? With --data DIR the folder of one that is stopped is read", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return n, refusal(resp)
	}
	if _, err := io.Copy(w, resp.Body); err != nil {
		return n, fmt.Errorf("the export is not whole: %w", err)
	}
	n.Samples, err = strconv.ParseUint(resp.Trailer.Get("Edge-Samples"), 10, 64)
	if err == nil {
		n.Gaps, err = strconv.ParseUint(resp.Trailer.Get("Edge-Gaps"), 10, 64)
	}
	if err != nil {
		return n, fmt.Errorf("%s did not tell how many rows it sent; is it an appliance of this version?", req.URL.Host)
	}
	return n, nil
}

// refusal is the appliance's error in words.
func refusal(resp *http.Response) error {
	answer, err := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	if err != nil {
		return err
	}
	var refused struct {
		Error struct{ Message, Hint string }
	}
	if json.Unmarshal(answer, &refused) != nil || refused.Error.Message == "" {
		return fmt.Errorf("%s answered %s; is it an appliance?", resp.Request.URL.Host, resp.Status)
	}
	return fmt.Errorf("%s: %s", printable(refused.Error.Message), printable(refused.Error.Hint))
}

// fromFolder reads the data folder of an appliance that is stopped: its files, and what only its journal has.
func (e *exporting) fromFolder(ctx context.Context, w io.Writer, std streams) (n export.Count, err error) {
	lock, err := lockToRead(e.data)
	if err != nil {
		return n, err
	}
	defer lock.Close()
	log := slog.New(slog.NewTextHandler(std.err, &slog.HandlerOptions{Level: slog.LevelWarn}))
	j, err := journal.OpenReadOnly(filepath.Join(e.data, "journal"), journal.Options{Log: log})
	if err != nil {
		return n, err
	}
	defer j.Close()
	s, err := historian.OpenReadOnly(filepath.Join(e.data, "history"), j, historian.Options{Log: log})
	if err != nil {
		return n, err
	}
	defer s.Close()
	rows, err := s.Rows(e.sel)
	if errors.Is(err, historian.ErrNoSeries) {
		return n, errors.New("no metric with such a name was ever recorded")
	}
	if err != nil {
		return n, err
	}
	to, err := export.New(e.format, w)
	if err != nil {
		return n, err
	}
	return export.Copy(ctx, to, rows)
}
