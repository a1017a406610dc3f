package historian

import (
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"edge/historian/journal"
)

// What a sample takes at rest, files whole, and what was written for it on the way. The goal at rest is 2.6 bytes over a day;
// over this hour the file's own pages, which do not grow with it, weigh more.
func TestBytesPerSample(t *testing.T) {
	const devices, seconds = 20, 3600
	r := newRig(t, Options{})
	p := newPlant(devices, 1)
	for i, s := range p.signal {
		r.add(journal.SeriesKey{Group: "plant", Node: "hall", Device: "machine" + strconv.Itoa(i/perDevice), Metric: "metric" + strconv.Itoa(i), Type: s.kind})
	}
	before := written()
	var buf []journal.Sample
	for sec := range int64(seconds) {
		buf = p.scan(buf[:0], sec)
		for _, part := range messages(buf) {
			r.append(journal.Record{Kind: journal.KindSamples, Samples: part})
		}
		if sec%600 == 15 && sec > 600 {
			r.clock.Set(noon.Add(time.Duration(sec) * time.Second))
			r.follow()
			r.flush(flushWindows)
		}
	}
	r.clock.Set(noon.Add(seconds * time.Second))
	r.follow()
	r.flush(flushAll)
	st := r.s.Stats()
	_, day := r.s.days.info(dayOf(ms(noon)))
	t.Logf("%d samples: %.3f B each in blocks, %.3f at rest, files whole (goal 2.6); %.1f B of journal; %.1f B reached the device",
		st.SamplesTotal, float64(day.blockBytes)/float64(day.samples), st.BytesPerSample,
		float64(r.j.Stats().CommitBytes)/float64(st.SamplesTotal), float64(written()-before)/float64(st.SamplesTotal))
	if st.SamplesTotal < 500_000 || st.BytesPerSample > 3.2 || day.blockBytes > 5*day.samples/2 || st.Late > 0 || st.Duplicates > 0 {
		t.Errorf("%+v", st)
	}
	r.close()
}

// written is what this process caused to be written to storage, 0 where that is not counted.
func written() (n int64) {
	b, err := os.ReadFile("/proc/self/io")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(b)) {
		if rest, ok := strings.CutPrefix(line, "write_bytes: "); ok {
			n, _ = strconv.ParseInt(strings.TrimSpace(rest), 10, 64)
		}
	}
	return n
}

// messages cuts what the plant sent into what came together.
func messages(list []journal.Sample) (out [][]journal.Sample) {
	for len(list) > 0 {
		n := 1
		for n < len(list) && list[n].Received == list[0].Received && (list[n].Series-1)/perDevice == (list[0].Series-1)/perDevice {
			n++
		}
		out, list = append(out, list[:n]), list[n:]
	}
	return out
}
