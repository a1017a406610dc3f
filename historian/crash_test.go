package historian

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// struck are the moments at which a child is ended; "" is any.
var struck = []string{inOpening, inFlush, inFlushes, inRolling, inRetention, inRewriting, inBackup, inRecycling, inRun, ""}

// freshEvery is how often a child that is ended begins with an empty folder.
const freshEvery = 20

// TestKill kills a recording process again and again, 200 times with EDGE_LONG=1, in the middle of each thing that a store does: every
// sample that was durable is there, once, but for what retention took.
func TestKill(t *testing.T) {
	h := newHunt(t, filepath.Join(t.TempDir(), "data"))
	rounds := 5
	if h.long {
		rounds = 200
	}
	for range rounds {
		h.run((*os.Process).Kill)
		h.check()
	}
	h.tell("kills")
}

// hunt ends children at random moments, which it counts.
type hunt struct {
	t       *testing.T
	long    bool
	rng     *rand.Rand
	dir     string         // of the children
	first   int            // phase
	durable int            // numbers below it were, of this folder
	rounds  int            // children that were ended
	samples int            // that were durable, of all folders
	within  map[string]int // how many of them in the middle of what
	lines   map[string]int // how many lines that took, the last time
	last    map[string]int // in the middle of what the last one was
}

func newHunt(t *testing.T, dir string) *hunt {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	return &hunt{t: t, long: os.Getenv("EDGE_LONG") == "1", rng: rng, dir: dir, first: rng.IntN(len(struck)),
		within: make(map[string]int), lines: make(map[string]int)}
}

// run lets a child record until it is in the middle of something, and ends it.
func (h *hunt) run(end func(*os.Process) error, env ...string) {
	h.t.Helper()
	if h.rounds%freshEvery == 0 {
		if err := os.RemoveAll(h.dir); err != nil {
			h.t.Fatal(err)
		}
		h.samples, h.durable = h.samples+h.durable, 0
	}
	w := &watcher{hunt: h, durable: h.durable, phase: struck[(h.first+h.rounds)%len(struck)], nth: 1 + h.rng.IntN(3), begun: make(map[string]int)}
	if w.phase == inRun || w.phase == "" && h.rng.IntN(2) == 0 {
		env = append(env, childRuns+"=1")
	}
	said := w.watch(end, env)
	if said != "" || w.durable == h.durable && w.phase != inOpening {
		h.t.Fatalf("the child stopped by itself after %d samples: %s", w.durable-h.durable, said)
	}
	h.durable = w.durable
	h.rounds++
	h.last = w.begun
	for what := range w.begun {
		h.within[what]++
	}
	if len(w.begun) == 0 {
		h.within["nothing but recording"]++
	}
}

// check opens what the child left and looks for every number; durable becomes the next one to record.
func (h *hunt) check() {
	h.t.Helper()
	missing, found, stored := lookForAll(h.t, h.dir, h.durable, false)
	if missing > 0 {
		_ = os.CopyFS(filepath.Join(h.t.ArtifactDir(), "data"), os.DirFS(h.dir))
		h.t.Fatalf("%d samples of %d that were durable are missing, the last end was in the middle of %v\n%s", missing, h.durable, h.last, found.story)
	}
	if stored != found.samples {
		h.t.Fatalf("%d samples are stored, of %d", stored, found.samples)
	}
	if _, err := CheckBackup(context.Background(), filepath.Join(h.dir, "backup")); err != nil && !errors.Is(err, os.ErrNotExist) {
		h.t.Fatal(err)
	}
	if found.samples > 0 {
		h.durable = max(h.durable, (found.last+childBatch)/childBatch*childBatch)
	}
}

// tell prints how many ends fell into what; in the long run each has some.
func (h *hunt) tell(ends string) {
	h.samples, h.durable = h.samples+h.durable, 0
	h.t.Logf("%d %s, %d samples, none is missing", h.rounds, ends, h.samples)
	for _, what := range slices.Sorted(maps.Keys(h.within)) {
		h.t.Logf("%s in the middle of %s: %d", ends, what, h.within[what])
	}
	for _, what := range struck {
		if h.long && what != "" && h.within[what] == 0 {
			h.t.Errorf("none of %d %s was in the middle of %s", h.rounds, ends, what)
		}
	}
	if h.samples == 0 || h.long && h.samples < 100_000 {
		h.t.Errorf("only %d samples were recorded", h.samples)
	}
}

// watcher reads what a child says, and ends it in the middle of a phase.
type watcher struct {
	*hunt
	durable    int
	phase      string         // "": whatever comes
	nth        int            // time that it begins
	begun      map[string]int // at which line; what was not ended
	line       int
	ended      bool
	untilLines int // after which it is ended; 0: not known yet
}

// mostLines end a child that does not come to the phase: 5,000 are a second of ticks.
func (h *hunt) mostLines() int {
	if h.long {
		return 10_000
	}
	return 2500
}

func (w *watcher) watch(end func(*os.Process) error, env []string) (said string) {
	w.t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(append(os.Environ(), "HISTORIAN_CHILD="+w.dir, "HISTORIAN_FIRST="+strconv.Itoa(w.durable)), env...)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		w.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		w.t.Fatal(err)
	}
	watchdog := time.AfterFunc(5*time.Minute, func() { _ = cmd.Process.Signal(syscall.SIGQUIT) }) // which tells where it stands
	defer watchdog.Stop()
	for scan := bufio.NewScanner(stdout); scan.Scan(); w.line++ {
		w.read(scan.Text())
		if !w.ended && w.due() {
			w.ended = true
			if err := end(cmd.Process); err != nil {
				w.t.Fatal(err)
			}
		}
	}
	_ = cmd.Wait()
	if w.ended { // of a disk without power it may have said so
		return ""
	}
	return "it said: " + stderr.String()
}

// read takes a line. The last one may be cut.
func (w *watcher) read(line string) {
	word, what, _ := strings.Cut(line, " ")
	switch word {
	case "durable":
		if n, err := strconv.Atoi(what); err == nil {
			w.durable = max(w.durable, n)
		}
	case "do":
		w.begun[what] = w.line
		if what == w.phase {
			w.nth--
		}
	case "did":
		w.hunt.lines[what] = w.line - w.begun[what]
		delete(w.begun, what)
	}
}

// due says that it is time: so many lines into the phase as it may have, or long after.
func (w *watcher) due() bool {
	at, on := w.begun[w.phase]
	switch {
	case w.line > w.mostLines() && w.durable > w.hunt.durable:
		return true
	case w.phase == "":
		if w.untilLines == 0 {
			w.untilLines = 1 + w.rng.IntN(5000)
		}
		return w.line >= w.untilLines && w.durable > w.hunt.durable
	case !on, w.nth > 0 && w.phase != inOpening:
		return false
	case w.untilLines == 0:
		w.untilLines = at + 1 + w.rng.IntN(max(1, w.hunt.lines[w.phase]))
	}
	return w.line+1 >= w.untilLines && (w.phase == inOpening || w.durable > w.hunt.durable)
}

// foundSamples are what a child's store answers.
type foundSamples struct {
	samples, last int
	story         string // of what is missing
	untold        int    // are missing, and in no gap
	told          bool   // the store saw that files are not what they were
}

// lookForAll counts the numbers below durable that are not there but should be, what is there, and the samples in memory and files.
// The disk may have lied.
func lookForAll(t *testing.T, dir string, durable int, lied bool) (missing int, found foundSamples, stored int) {
	t.Helper()
	if _, err := os.Stat(filepath.Join(dir, "history")); errors.Is(err, os.ErrNotExist) && durable == 0 {
		return 0, found, 0 // it was ended before it had begun
	}
	if _, err := os.Stat(filepath.Join(dir, "history", "catalog.db")); err == nil {
		checkFiles(t, filepath.Join(dir, "history"))
	}
	r := openedRig(t, dir, Options{Raw: childRaw, Minute: childMinutes}, childNow(durable), lied)
	defer func() { r.crash() }()
	r.follow()
	found.told = len(lies(r.s.opening)) > 0
	seen := make(map[int]bool)
	gaps := make([][]Gap, 3)
	for i := range 3 {
		k := childKey(i)
		out, err := r.s.Read(context.Background(), Range{Group: k.Group, Node: k.Node, Device: k.Device, Metric: k.Metric, To: 1 << 50, Limit: maxLimit})
		if err != nil && !errors.Is(err, ErrNoSeries) { // then all of it is missing
			t.Fatal(err)
		}
		for _, v := range out.Samples {
			f, _ := v.Value.Float64()
			n := int(f)
			if v.At != childAt(n) || n%3 != i {
				t.Fatalf("sample %d of %s at %d", n, k.Metric, v.At)
			}
			seen[n] = true
			found.last = max(found.last, n)
		}
		found.samples += len(out.Samples)
		gaps[i] = out.Gaps
	}
	if found.samples != len(seen) {
		t.Fatalf("%d samples are read, of %d", found.samples, len(seen))
	}
	oldest := ms(childNow(max(durable, found.last+2*childBatch)).Add(-childRaw)) // retention may have taken the days that ended before
	for n := range durable {
		if !seen[n] && dayStart(dayOf(childAt(n))+1) > oldest {
			if !slices.ContainsFunc(gaps[n%3], func(g Gap) bool { return g.From <= childAt(n) && (g.To == 0 || childAt(n) < g.To) }) {
				found.untold++
			}
			if missing++; missing == 1 {
				found.story = fmt.Sprintf("from %d of %s on", n, stampText(childAt(n)))
			}
		}
	}
	if missing > 0 {
		st := r.s.Stats()
		found.story += fmt.Sprintf("; it is %s, checkpoint %+v, recovered %+v, %+v\n%s", stampText(ms(childNow(durable))), r.s.pos, r.j.Recovered(), st, r.events())
		for _, day := range r.s.days.existing(0, 1<<40) {
			found.story += fmt.Sprintf("\n%s %+v", stampText(dayStart(day)), r.s.days.about(day))
		}
	}
	return missing, found, int(r.s.Stats().SamplesTotal)
}
