package historian

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"edge/historian/chunk"
	"edge/historian/journal"

	"pgregory.net/rapid"
)

// rowsOf reads a cursor to its end: rows by metric, copied.
func rowsOf(t rapid.TB, s *Store, sel Selection) map[metric][]Row {
	t.Helper()
	rows, err := s.Rows(sel)
	if err != nil {
		t.Fatal(err)
	}
	out := map[metric][]Row{}
	var last metric
	for {
		p, err := rows.Next(context.Background())
		if errors.Is(err, io.EOF) {
			return out
		}
		if err != nil {
			t.Fatal(err)
		}
		m := metric{p.Group, p.Node, p.Device, p.Metric}
		if m != last && len(out[m]) > 0 || cmp.Compare(fmt.Sprint(m), fmt.Sprint(last)) < 0 {
			t.Fatalf("rows of %v after those of %v", m, last)
		}
		last = m
		for _, r := range p.Rows {
			r.Value.Bytes = bytes.Clone(r.Value.Bytes)
			if r.Gap != nil {
				g := *r.Gap
				r.Gap = &g
			}
			out[m] = append(out[m], r)
		}
	}
}

// readAll is what Read answers for a metric, page by page.
func readAll(t rapid.TB, s *Store, m metric, from, to journal.Millis) (out Samples) {
	t.Helper()
	for {
		got, err := s.Read(context.Background(), Range{Group: m.group, Node: m.node, Device: m.device, Metric: m.name, From: from, To: to, Limit: 1000})
		if err != nil {
			t.Fatal(err)
		}
		out.Samples = append(out.Samples, got.Samples...)
		if got.Next == 0 {
			break
		}
		from = got.Next
	}
	return out
}

// sameRows holds rows against what Read says.
func sameRows(t rapid.TB, s *Store, m metric, rows []Row, from, to journal.Millis) {
	t.Helper()
	want := readAll(t, s, m, from, to)
	gaps, err := s.gaps(context.Background(), owner{m.group, m.node, m.device}, from, to)
	if err != nil {
		t.Fatal(err)
	}
	var at journal.Millis
	for i, r := range rows {
		when := r.At
		if r.Gap != nil {
			when = r.Gap.From
		}
		if i > 0 && when < at {
			t.Fatalf("%v: row %d is of %d, before %d", m, i, when, at)
		}
		at = when
		switch {
		case r.Gap != nil && (len(gaps) == 0 || *r.Gap != gaps[0]):
			t.Fatalf("%v: gap %+v, want the first of %+v", m, *r.Gap, gaps)
		case r.Gap != nil:
			gaps = gaps[1:]
		case len(want.Samples) == 0 || !sameSample(r.Sample, want.Samples[0]):
			t.Fatalf("%v: sample %+v, want the first of %+v", m, r.Sample, want.Samples)
		default:
			want.Samples = want.Samples[1:]
		}
	}
	if len(want.Samples)+len(gaps) > 0 {
		t.Fatalf("%v: %d samples and %d gaps are missing", m, len(want.Samples), len(gaps))
	}
}

func sameSample(a, b journal.Sample) bool {
	a.Index, b.Index = 0, 0
	va, vb := a.Value, b.Value
	a.Value, b.Value = journal.Value{}, journal.Value{}
	return fmt.Sprint(a) == fmt.Sprint(b) && chunk.EqualValue(va, vb)
}

// hall fills a store with random samples of two nodes over some days: late ones, type epochs, texts, nulls, deaths.
type hall struct {
	*rig
	t *rapid.T
}

func (h *hall) key() journal.SeriesKey {
	n := rapid.IntRange(0, 5).Draw(h.t, "metric")
	k := journal.SeriesKey{Group: "g", Node: []string{"n1", "n2"}[n%2], Device: []string{"", "d"}[n%3%2], Metric: fmt.Sprint("area/m", n)}
	k.Type = rapid.SampledFrom([]journal.DataType{10, 4, 12, 17}).Draw(h.t, "type")
	return k
}

func (h *hall) value(kind journal.DataType) journal.Value {
	v := journal.Value{Type: kind}
	switch {
	case rapid.IntRange(0, 9).Draw(h.t, "null") == 0:
		v.Null = true
	case kind == 12 || kind == 17:
		v.Bytes = []byte(rapid.StringN(0, 9, 20).Draw(h.t, "text"))
	default:
		v.Num = rapid.Uint64().Draw(h.t, "bits")
	}
	return v
}

func (h *hall) samples() {
	k := h.key()
	start := h.clock.Now().Add(-time.Duration(rapid.IntRange(0, 4*86_400).Draw(h.t, "ago")) * time.Second)
	step := rapid.SampledFrom([]time.Duration{time.Millisecond, time.Second, time.Minute, time.Hour}).Draw(h.t, "step")
	var list []journal.Sample
	for i := range rapid.IntRange(1, 80).Draw(h.t, "n") {
		v := at(start.Add(time.Duration(i)*step), 0)
		now := ms(h.clock.Now())
		if v.At > now+23*hourMillis { // a clock that is further ahead of ours is not believed, and what is received later than now was not sent
			break
		}
		v.Received = min(v.Received, now)
		v.Value, v.Quality = h.value(k.Type), rapid.SampledFrom([]journal.Quality{journal.Good, journal.Bad, journal.Stale, 77}).Draw(h.t, "q")
		v.Historical, v.Birth = i%2 == 0, i%7 == 0
		list = append(list, v)
	}
	h.add(k, list...)
}

func (h *hall) event() {
	e := journal.Event{Group: "g", Node: rapid.SampledFrom([]string{"n1", "n2"}).Draw(h.t, "node"), Reason: "r",
		Kind: rapid.SampledFrom([]journal.EventKind{journal.NodeBirth, journal.NodeDeath, journal.DeviceBirth, journal.DeviceDeath, journal.GapEvent}).Draw(h.t, "kind")}
	if e.Kind == journal.DeviceBirth || e.Kind == journal.DeviceDeath {
		e.Device = "d"
	}
	e.At = ms(h.clock.Now()) + journal.Millis(rapid.IntRange(-5000, 5000).Draw(h.t, "skew"))
	if e.Kind == journal.GapEvent {
		e.At -= journal.Millis(rapid.IntRange(0, 86_400_000).Draw(h.t, "since"))
		e.Until = e.At + journal.Millis(rapid.IntRange(0, 86_400_000).Draw(h.t, "lasting"))
	}
	h.addEvent(e)
}

func (h *hall) fill() {
	for range rapid.IntRange(1, 25).Draw(h.t, "steps") {
		switch rapid.IntRange(0, 7).Draw(h.t, "what") {
		case 0:
			h.clock.Set(h.clock.Now().Add(time.Duration(rapid.IntRange(1, 30).Draw(h.t, "hours")) * time.Hour))
		case 1:
			h.follow()
			h.flush(rapid.Bool().Draw(h.t, "windows"))
		case 2, 3:
			h.event()
		default:
			h.samples()
		}
	}
	h.samples()
	h.follow()
}

func (h *hall) span() (from, to journal.Millis) {
	from = ms(h.clock.Now()) - journal.Millis(rapid.IntRange(0, 500_000_000).Draw(h.t, "from"))
	return from, from + journal.Millis(rapid.IntRange(1, 500_000_000).Draw(h.t, "to"))
}

func (h *hall) check(s *Store, from, to journal.Millis) map[metric][]Row {
	got := rowsOf(h.t, s, Selection{From: from, To: to})
	for m := range s.catalog.byMetric {
		sameRows(h.t, s, m, got[m], from, to)
	}
	return got
}

// A cursor gives what Read and gaps give; a store that was killed gives the same to who only reads its files and its journal,
// and not a byte of them changes.
func TestRowsAreWhatReadAnswers(t *testing.T) {
	parent := t.TempDir()
	rapid.Check(t, func(t *rapid.T) {
		dir, err := os.MkdirTemp(parent, "")
		if err != nil {
			t.Fatal(err)
		}
		h := &hall{rig: newRigIn(t, dir, Options{HeadBytes: 1 << 20}), t: t}
		h.fill()
		from, to := h.span()
		want := h.check(h.s, from, to)
		h.crash()

		before := contents(t, dir)
		j, err := journal.OpenReadOnly(filepath.Join(dir, "journal"), journal.Options{Clock: h.clock.Now})
		if err != nil {
			t.Fatal(err)
		}
		s, err := OpenReadOnly(filepath.Join(dir, "history"), j, h.o)
		if err != nil {
			t.Fatal(err)
		}
		got := rowsOf(t, s, Selection{From: from, To: to})
		for m := range want {
			if !slices.EqualFunc(got[m], want[m], sameRowOf) {
				t.Errorf("%v of the files: %d rows, want %d", m, len(got[m]), len(want[m]))
			}
		}
		if err := errors.Join(s.Close(), j.Close()); err != nil {
			t.Error(err)
		}
		if after := contents(t, dir); after != before {
			t.Errorf("the folder was changed: %s, was %s", after, before)
		}
	})
}

func sameRowOf(a, b Row) bool {
	if a.Gap != nil || b.Gap != nil {
		return a.Gap != nil && b.Gap != nil && *a.Gap == *b.Gap
	}
	return sameSample(a.Sample, b.Sample)
}

// contents are the names of all files below a folder, with a sum of their bytes.
func contents(t rapid.TB, dir string) string {
	t.Helper()
	var out []string
	err := filepath.WalkDir(dir, func(path string, e os.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		out = append(out, fmt.Sprintf("%s %d %x", path, len(b), sumOf(b)))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(out, "\n")
}

func TestSelection(t *testing.T) {
	own := metric{"g", "n", "", "Node Control/Rebirth"}
	zone := metric{"Plant 1", "oven", "furnace", "Zone 1/Temperature"}
	star := metric{"g", "n", "d", "a*b"}
	for _, c := range []struct {
		name string
		sel  Selection
		of   metric
		want bool
	}{
		{"everything", Selection{}, zone, true},
		{"a name", Selection{Metrics: []string{"Zone 1/Temperature"}}, zone, true},
		{"part of a name", Selection{Metrics: []string{"Temperature"}}, zone, false},
		{"one of two", Selection{Metrics: []string{"x", "*Temperature"}}, zone, true},
		{"star over slashes", Selection{Metrics: []string{"Z*e"}}, zone, true},
		{"star for nothing", Selection{Metrics: []string{"*Zone 1*/Temp*erature*"}}, zone, true},
		{"stars that must go back", Selection{Metrics: []string{"*1*e*t*e"}}, zone, true},
		{"stars without an end", Selection{Metrics: []string{"*Temp"}}, zone, false},
		{"a path", Selection{Metrics: []string{"Plant 1/oven/furnace/Zone 1/Temperature"}}, zone, true},
		{"a path with stars", Selection{Metrics: []string{"*/oven/*/Zone 2/*", "Plant*/furnace/*"}}, zone, true},
		{"a node's path", Selection{Metrics: []string{"g/n/Node*"}}, own, true},
		{"another node", Selection{Node: "o*n", Metrics: []string{"*"}}, own, false},
		{"a device", Selection{Group: "Plant*", Node: "oven", Device: "f*"}, zone, true},
		{"a device, not the node", Selection{Device: "?"}, own, false},
		{"a star in a name", Selection{Metrics: []string{"a*b"}}, star, true},
		{"empty", Selection{Metrics: []string{""}}, zone, false},
	} {
		if got := c.sel.wants(c.of); got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}

func TestRowsOfNothing(t *testing.T) {
	r := newRig(t, Options{})
	defer r.close()
	r.fill(time.Minute)
	r.follow()
	if _, err := r.s.Rows(Selection{Metrics: []string{"other"}}); !errors.Is(err, ErrNoSeries) {
		t.Errorf("of an unknown metric: %v, want ErrNoSeries", err)
	}
	if got := rowsOf(t, r.s, Selection{From: ms(noon), To: ms(noon) - 1}); len(got) != 0 {
		t.Errorf("of no time: %v", got)
	}
}

func TestRowsEndWithTheirContext(t *testing.T) {
	r := newRig(t, Options{})
	defer r.close()
	r.fill(time.Hour)
	r.follow()
	rows, err := r.s.Rows(Selection{From: ms(noon) - dayMillis, To: ms(noon)})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	if _, err := rows.Next(ctx); err != nil {
		t.Error(err)
	}
	cancel()
	if _, err := rows.Next(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("after its context: %v", err)
	}
}

// A day that retention takes away under a cursor is a gap, in every metric that comes after.
func TestRowsTellOfADayThatIsRemoved(t *testing.T) {
	r := newRig(t, Options{})
	defer r.close()
	for n := range 2 {
		r.add(key(n), at(noon.Add(-26*time.Hour), 1), at(noon.Add(-time.Hour), 2))
	}
	r.follow()
	r.flush(flushAll)
	rows, err := r.s.Rows(Selection{From: ms(noon) - 2*dayMillis, To: ms(noon)})
	if err != nil {
		t.Fatal(err)
	}
	if err := r.s.days.drop(dayOf(ms(noon) - 26*hourMillis)); err != nil {
		t.Fatal(err)
	}
	var got []string
	for {
		p, err := rows.Next(context.Background())
		if err != nil {
			break
		}
		for _, row := range p.Rows {
			if row.Gap != nil {
				got = append(got, p.Metric+" "+row.Gap.Cause)
			} else {
				got = append(got, fmt.Sprint(p.Metric, values([]journal.Sample{row.Sample})))
			}
		}
	}
	const gone = "the day was removed while it was exported"
	if want := []string{"m0 " + gone, "m0[2]", "m1 " + gone, "m1[2]"}; !slices.Equal(got, want) {
		t.Errorf("rows %q, want %q", got, want)
	}
}

// Damage is a gap row where it is, and what a step holds has a bound.
func TestRowsOverDamageAndInSmallSteps(t *testing.T) {
	r := newRig(t, Options{})
	r.fill(30 * time.Minute)
	texts := key(7)
	texts.Type = 12
	var list []journal.Sample
	for i := range 3000 {
		v := at(noon.Add(-time.Hour+time.Duration(i)*time.Second), 0)
		v.Value = journal.Value{Bytes: []byte(fmt.Sprint("text ", i))}
		list = append(list, v)
	}
	r.add(texts, list...)
	r.follow()
	r.close()
	flipPayload(t, r.dayPath(noon))
	r.open()
	defer func() { // without a check of the damaged file
		if err := r.s.Close(); err != nil {
			t.Error(err)
		}
		r.stop()
	}()
	rows, err := r.s.Rows(Selection{From: ms(noon) - hourMillis, To: ms(noon)})
	if err != nil {
		t.Fatal(err)
	}
	samples, gaps := map[string]int{}, map[string]int{}
	for {
		p, err := rows.Next(context.Background())
		if err != nil {
			break
		}
		if len(p.Rows) > stepTexts+600 && p.Metric == "m7" { // a block more
			t.Errorf("%d texts in a piece", len(p.Rows))
		}
		for _, row := range p.Rows {
			if row.Gap != nil {
				gaps[row.Gap.Cause]++
			} else {
				samples[p.Metric]++
			}
		}
	}
	if want := 4800 - 600; samples["m0"]+samples["m7"] != want || gaps[damageCause] != 1 {
		t.Errorf("samples %v, gaps %v; want %d in all and one gap", samples, gaps, want)
	}
}

func sumOf(b []byte) uint32 { return crc32.ChecksumIEEE(b) }
