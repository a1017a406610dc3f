package historian

import (
	"testing"
	"time"
)

func TestTimekeeper(t *testing.T) {
	const day = 24 * time.Hour
	type look struct {
		wall, passed time.Duration // from noon, from the start
		early        time.Duration // from noon
		want         verdict
	}
	for _, c := range []struct {
		name  string
		known time.Duration // before the start, from noon
		looks []look
	}{
		{"it runs", 0, []look{{0, 0, 0, verdict{}}, {day, day, day, verdict{}}, {40 * day, 40 * day, 40 * day, verdict{}}}},
		{"a small step is followed and told", 0, []look{{0, 0, 0, verdict{}},
			{time.Hour + time.Minute, time.Minute, time.Hour + time.Minute, verdict{stepped: hourMillis}}}},
		{"slewing is no step", 0, []look{{0, 0, 0, verdict{}}, {time.Minute + 900*time.Millisecond, time.Minute, time.Minute + 900*time.Millisecond, verdict{}}}},
		{"a leap ahead is not followed", 0, []look{{0, 0, 0, verdict{}},
			{4000*day + time.Minute, time.Minute, time.Minute, verdict{stepped: 4000 * dayMillis, doubted: true}},
			{4001 * day, day, day, verdict{}}}},
		{"and is over when the clock is set", 0, []look{{0, 0, 0, verdict{}},
			{4000 * day, 0, 0, verdict{stepped: 4000 * dayMillis, doubted: true}},
			{day, day, day, verdict{stepped: -4000 * dayMillis, believed: true}}}},
		{"or believed when it ran on", 0, []look{{0, 0, 0, verdict{}},
			{400 * day, 0, 0, verdict{stepped: 400 * dayMillis, doubted: true}},
			{402 * day, 2 * day, 2 * day, verdict{}},
			{403 * day, 3 * day, 403 * day, verdict{believed: true}}}},
		{"a night without power", -9 * time.Hour, []look{{0, 0, 0, verdict{}}}},
		{"a month without power, or a leap: not known", -30 * day, []look{{0, 0, -30 * day, verdict{doubted: true}},
			{3 * day, 3 * day, 3 * day, verdict{believed: true}}}},
		{"a start in 1970, then the network's time", -time.Hour, []look{{-20_000 * day, 0, -20_000 * day, verdict{doubted: true}},
			{time.Minute, time.Minute, time.Minute, verdict{stepped: 20_000 * dayMillis, believed: true}}}},
		{"known was wrong, and the clock is right", 4000 * day, []look{{0, 0, 0, verdict{doubted: true}},
			{4 * day, 4 * day, 4 * day, verdict{believed: true}}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			k := timekeeper{known: ms(noon.Add(c.known))}
			for i, l := range c.looks {
				got := k.look(ms(noon.Add(l.wall)), l.passed)
				if got != l.want {
					t.Errorf("look %d: %+v, want %+v", i, got, l.want)
				}
				if want := ms(noon.Add(l.early)); k.early() != want {
					t.Errorf("look %d: early is %s from noon, want %s", i, time.Duration(k.early()-ms(noon))*time.Millisecond, l.early)
				}
				kept, err := readClock(k.bytes())
				if err != nil || kept.known != k.known || kept.doubt != k.doubt {
					t.Errorf("read back as %+v, %v", kept, err)
				}
			}
		})
	}
}
