package history

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"edge/historian/gen"
	"edge/historian/journal"
)

// To see that it runs: quickEnv makes the sets small, lengthEnv (a duration) the paced runs short. The figures are then others.
const (
	quickEnv  = "HISTORY_QUICK"
	lengthEnv = "HISTORY_LENGTH"
)

// table is the answer, by number of figure.
type table struct {
	began time.Time
	rows  []string
}

func (b *table) add(n, figure, peer, ours, reach string) {
	fmt.Fprintf(os.Stderr, "%s after %v: %s; %s\n", n, time.Since(b.began).Round(time.Second), ours, peer)
	b.rows = append(b.rows, fmt.Sprintf("| %s | %s | %s | %s | %s |", n, figure, peer, ours, reach))
}

func (b *table) String() string {
	return "| # | figure | Prometheus' TSDB | edge | reach |\n|---|---|---|---|---|\n" + strings.Join(b.rows, "\n") + "\n"
}

// TestFigures measures everything and prints the table.
func TestFigures(t *testing.T) {
	g1, g2, length := gen.G1, gen.G2, 10*time.Minute+30*time.Second
	if os.Getenv(quickEnv) != "" {
		g1.Duration, g2.Duration = 150*time.Minute, 12*time.Minute
	}
	if d, err := time.ParseDuration(os.Getenv(lengthEnv)); err == nil {
		length = d
	}
	b := table{began: time.Now()}
	defer func() { fmt.Print("\n", &b) }() // also what was measured before something failed
	disk1, disk2 := newDisk(t, 2048), newDisk(t, 2048)
	peer1, peer2 := t.TempDir(), t.TempDir()
	ours1, ours2 := replay(t, g1, disk1, nil), replay(t, g2, disk2, nil)
	tsdb1, tsdb2 := replayPeer(t, g1, peer1), replayPeer(t, g2, peer2)
	b.add("1", "bytes a sample at rest, whole files, G1 / G2", fmt.Sprintf("%.2f / %.2f", tsdb1.rest, tsdb2.rest),
		fmt.Sprintf("%.2f / %.2f; rollups %.2f / %.2f more", ours1.rest, ours2.rest, ours1.rollups, ours2.rollups), "2.6 / 2.4")

	live := paced(t, []pacedJob{{Set: g1, Duration: length}, {Set: g2, Duration: length},
		{Peer: true, Set: g1, Duration: length}, {Peer: true, Set: g2, Duration: length}})
	b.add("2", "device bytes a sample, live, a commit each second, G1 / G2", fmt.Sprintf("%.1f / %.1f (not synced)", live[2].DevBytes, live[3].DevBytes),
		fmt.Sprintf("%.1f / %.1f; journal %.1f / %.1f of it before padding; segments made ready %.1f / %.1f of it", live[0].DevBytes, live[1].DevBytes,
			live[0].PayloadB, live[1].PayloadB, live[0].preparedB(), live[1].preparedB()), "25 / 10")
	b.add("3", "one durable commit of a second of G1", "–", commitCost(t, newDisk(t, 512)), "whole 4 KB pages, 1 flush")
	b.add("4", "CPU a sample: log, sync, encode, verify, G1 / G2", fmt.Sprintf("%v / %v", tsdb1.cpu, tsdb2.cpu),
		fmt.Sprintf("%v / %v, without rollups %v / %v, of it the system %v / %v; live %v / %v", ours1.cpu, ours2.cpu, ours1.cpu-ours1.rollCPU,
			ours2.cpu-ours2.rollCPU, ours1.system, ours2.system, live[0].CPU, live[1].CPU), "0.6 µs")
	b.add("5", "Append while windows are written, live, G2: p99, longest, longest but for waiting for a processor", "–",
		fmt.Sprintf("%v, %v, %v", live[1].P99, live[1].Max, live[1].Beyond), "5 ms")

	b.questions(t, g1, g2, disk1, disk2, peer1, peer2)
	b.starts(t, disk1)
	b.late(t, g1, disk1, ours1)
	b.add("15", "rollups: CPU and bytes of a raw sample, G1 / G2", "–",
		fmt.Sprintf("%v, %.2f B / %v, %.2f B", ours1.rollCPU, ours1.rollups, ours2.rollCPU, ours2.rollups), "30 ns, 0.35 B")
}

func (b *table) questions(t *testing.T, g1, g2 gen.Set, disk1, disk2 disk, peer1, peer2 string) {
	large := reopen(t, g2, disk2)
	p := openPeer(t, peer2, gen.New(g2).Keys())
	first, then := large.last()
	b.add("7", "last value of 20,000 series", p.last(p.db.Head().MaxTime()).String(), fmt.Sprintf("%v; the first time after a start %v", then, first), "5 ms")
	p.close()
	large.stop()

	small := reopen(t, g1, disk1)
	defer small.stop()
	p = openPeer(t, peer1, gen.New(g1).Keys())
	defer p.close()
	to := journal.Millis(epoch.Add(g1.Duration).UnixMilli())
	from, hour := journal.Millis(epoch.UnixMilli()), journal.Millis(time.Hour.Milliseconds())
	pto := p.db.Head().MaxTime() + 1
	pfrom := pto - int64(to-from)
	k := small.densest(to-2*hour, to-hour)
	b.add("8", "1 h raw of one series, p99", p.raw(k, pto-2*int64(hour), pto-int64(hour)).String(), small.raw(k, to-2*hour, to-hour).String(), "5 ms")
	b.add("9", "24 h of one series in 1,000 buckets, p99", p.chart([]int{k}, pfrom, pto).String(),
		small.chart(small.metrics()[k:k+1], from, to).String(), "10 ms")
	hundred := make([]int, 100)
	for i := range hundred {
		hundred[i] = i
	}
	b.add("10", "24 h of 100 series in 1,000 buckets, p99", p.chart(hundred, pfrom, pto).String(),
		small.chart(small.metrics()[:100], from, to).String(), "100 ms (stretch 50)")
}

func (b *table) starts(t *testing.T, disk1 disk) {
	bytes, samples := memory(t)
	b.add("12", fmt.Sprintf("memory of 10,000 series, %d samples", samples), "–", fmt.Sprintf("%.1f MB", float64(bytes)/1e6), "30 MB")
	killed, samples := startAfterKill(t)
	b.add("13", fmt.Sprintf("start after a kill, %d samples in memory; with a year on disk", samples), "–",
		fmt.Sprintf("%v; %v", killed.Round(time.Millisecond), startWithYear(t, disk1).Round(time.Millisecond)), "2 s; 1 s")
}

func (b *table) late(t *testing.T, g1 gen.Set, disk1 disk, base replayed) {
	r := reopen(t, g1, disk1)
	back := gen.G1
	back.Metrics, back.Duration = 500, 2*time.Hour
	grown := backlog(t, r, back, journal.SeriesID(g1.Metrics+1))
	r.stop()
	l := &lateness{due: make(map[int64][]journal.Sample), seed: 1}
	d := newDisk(t, 2048)
	random := replay(t, g1, d, l)
	device := "device bytes not measured"
	if d.dev != "" {
		device = fmt.Sprintf("%.1f MB written", float64(random.device-base.device)/1e6)
	}
	files := folderBytes(t, filepath.Join(d.mnt, "history"))
	more := float64(files)/1e6 - (base.rest+base.rollups)*float64(base.samples)/1e6
	b.add("14", "late: a backlog in order; 1 % at random", "rejected", fmt.Sprintf("%.2f B a sample; %d samples: %.1f MB on disk, %s",
		grown, l.late, more, device), "4 B; 20 MB a day")
}
