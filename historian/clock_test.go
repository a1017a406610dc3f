package historian

import (
	"testing"
	"time"

	"edge/historian/journal"
)

func TestTimekeeper(t *testing.T) {
	const day = 24 * time.Hour
	type look struct {
		wall, passed time.Duration // from noon, from the start
		early        time.Duration // from noon
		want         verdict
		heard        devices
	}
	for _, c := range []struct {
		name  string
		known time.Duration // before the start, from noon
		looks []look
	}{
		{"it runs", 0, []look{{0, 0, 0, verdict{}, devices{}}, {day, day, day, verdict{}, devices{}}, {40 * day, 40 * day, 40 * day, verdict{}, devices{}}}},
		{"a small step is followed and told", 0, []look{{0, 0, 0, verdict{}, devices{}},
			{time.Hour + time.Minute, time.Minute, time.Hour + time.Minute, verdict{stepped: hourMillis}, devices{}}}},
		{"slewing is no step", 0, []look{{0, 0, 0, verdict{}, devices{}}, {time.Minute + 900*time.Millisecond, time.Minute, time.Minute + 900*time.Millisecond, verdict{}, devices{}}}},
		{"a leap ahead is not followed", 0, []look{{0, 0, 0, verdict{}, devices{}},
			{4000*day + time.Minute, time.Minute, time.Minute, verdict{stepped: 4000 * dayMillis, doubted: true}, devices{}},
			{4001 * day, day, day, verdict{}, devices{}}}},
		{"and is over when the clock is set", 0, []look{{0, 0, 0, verdict{}, devices{}},
			{4000 * day, 0, 0, verdict{stepped: 4000 * dayMillis, doubted: true}, devices{}},
			{day, day, day, verdict{stepped: -4000 * dayMillis, believed: true}, devices{}}}},
		{"or believed when it ran on", 0, []look{{0, 0, 0, verdict{}, devices{}},
			{400 * day, 0, 0, verdict{stepped: 400 * dayMillis, doubted: true}, devices{}},
			{402 * day, 2 * day, 2 * day, verdict{}, devices{}},
			{403 * day, 3 * day, 403 * day, verdict{believed: true}, devices{}}}},
		{"a night without power", -9 * time.Hour, []look{{0, 0, 0, verdict{}, devices{}}}},
		{"a month without power, or a leap: not known", -30 * day, []look{{0, 0, -30 * day, verdict{doubted: true}, devices{}},
			{3 * day, 3 * day, 3 * day, verdict{believed: true}, devices{}}}},
		{"but not against most devices", 0, []look{{0, 0, 0, verdict{}, devices{}},
			{3650 * day, 0, 0, verdict{stepped: 3650 * dayMillis, doubted: true}, devices{}},
			{3654 * day, 4 * day, 4 * day, verdict{}, devices{10, 100}},
			{3660 * day, 10 * day, 10 * day, verdict{}, devices{20, 20}},
			{3661 * day, 11 * day, 3661 * day, verdict{believed: true}, devices{90, 0}}}},
		{"what they said before it leapt does not count", 0, []look{{0, 0, 0, verdict{}, devices{0, 100}},
			{400 * day, 0, 0, verdict{stepped: 400 * dayMillis, doubted: true}, devices{1, 0}},
			{403 * day, 3 * day, 403 * day, verdict{believed: true}, devices{}}}},
		{"an old clock that devices contradict stays doubted", 0, []look{{0, 0, 0, verdict{}, devices{}},
			{-400 * day, 0, -400 * day, verdict{stepped: -400 * dayMillis, doubted: true}, devices{}},
			{-396 * day, 4 * day, -396 * day, verdict{}, devices{0, 1}}}},
		{"before this program was written is never the time", 0, []look{{-20_000 * day, 0, -20_000 * day, verdict{doubted: true}, devices{}},
			{-19_000 * day, 1000 * day, -19_000 * day, verdict{}, devices{}}}},
		{"a start in 1970, then the network's time", -time.Hour, []look{{-20_000 * day, 0, -20_000 * day, verdict{doubted: true}, devices{}},
			{time.Minute, time.Minute, time.Minute, verdict{stepped: 20_000 * dayMillis, believed: true}, devices{}}}},
		{"known was wrong, and the clock is right", 4000 * day, []look{{0, 0, 0, verdict{doubted: true}, devices{}},
			{4 * day, 4 * day, 4 * day, verdict{believed: true}, devices{}}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			k := timekeeper{known: ms(noon.Add(c.known))}
			for i, l := range c.looks {
				got := k.look(ms(noon.Add(l.wall)), l.passed, l.heard)
				if got != l.want {
					t.Errorf("look %d: %+v, want %+v", i, got, l.want)
				}
				if want := ms(noon.Add(l.early)); k.early() != want {
					t.Errorf("look %d: early is %s from noon, want %s", i, time.Duration(k.early()-ms(noon))*time.Millisecond, l.early)
				}
				if late := ms(noon.Add(l.wall)); k.late() < late {
					t.Errorf("look %d: late is %d, before the clock's %d", i, k.late(), late)
				}
				kept, err := readClock(k.bytes())
				if err != nil || kept.known != k.known || kept.doubt != k.doubt {
					t.Errorf("read back as %+v, %v", kept, err)
				}
			}
		})
	}
}

// A new store whose clock was never set knows no time, and takes the first that can be true.
func TestClockThatWasNeverSet(t *testing.T) {
	var k timekeeper
	if v := k.look(1000, 0, devices{}); !v.doubted || k.known != 0 || k.early() != 0 {
		t.Errorf("1970: %+v, %+v", v, k)
	}
	if v := k.look(ms(noon), time.Minute, devices{}); !v.believed || k.known != ms(noon) {
		t.Errorf("noon: %+v, %+v", v, k)
	}
}

// An appliance whose clock battery is empty, without a network, records all the same, and shows what it recorded: the first time and
// after weeks without power. Nothing is removed, however long that clock runs.
func TestClockWithoutBattery(t *testing.T) {
	boot := time.Unix(1000, 0)
	r := newRigAt(t, t.TempDir(), Options{Raw: 30 * 24 * time.Hour, Minute: 60 * 24 * time.Hour}, boot)
	device := noon
	for start := range 3 {
		for i := range 5 * 24 { // days longer than it takes for a clock to be believed
			device = device.Add(time.Hour)
			r.clock.Set(r.clock.Now().Add(time.Hour))
			v := at(device, float64(start*1000+i))
			v.Received = ms(r.clock.Now())
			r.add(key(0), v)
			r.follow()
			r.flush(flushAll)
			r.s.retain()
		}
		if got := len(r.read(key(0), noon, device.Add(time.Hour)).Samples); got != (start+1)*5*24 || r.s.Stats().Refused > 0 {
			t.Errorf("after start %d: %d samples, want %d; %+v", start, got, (start+1)*5*24, r.s.Stats())
		}
		if r.s.Stats().ClockOff == 0 {
			t.Errorf("after start %d the clock is believed", start)
		}
		device = device.Add(21 * 24 * time.Hour)
		r.close()
		r.clock.leap(boot)
		r.open()
	}
	r.clock.leap(device)
	r.s.retain()
	if r.s.Stats().ClockOff != 0 && len(r.read(key(0), noon, device).Samples) != 3*5*24 {
		t.Errorf("after the clock was set: %+v", r.s.Stats())
	}
	r.close()
}

// A real-time clock that comes up in 2036: for a minute, and for a month while devices know better. Five years stay.
func TestClockTenYearsAhead(t *testing.T) {
	r := newRig(t, Options{Raw: 30 * 24 * time.Hour, Minute: 5 * 365 * 24 * time.Hour, Hour: 10 * 365 * 24 * time.Hour})
	for range 4 {
		r.pass(24*time.Hour, 3)
	}
	right := r.clock.Now()
	samples, files := r.kept()
	ahead := time.Date(2036, 8, 1, 0, 0, 0, 0, time.UTC)
	r.close()
	r.clock.leap(ahead)
	r.open()
	r.s.TellDowntime()
	r.follow()
	for range 20 * 24 {
		right = right.Add(time.Hour)
		r.clock.Set(r.clock.Now().Add(time.Hour))
		v := at(right, 5)
		v.Received = ms(r.clock.Now())
		r.add(key(0), v)
		r.follow()
		r.s.retain()
	}
	r.flush(flushAll)
	if s, f := r.kept(); s < samples+19 || f < files+19 {
		t.Errorf("%d days with samples and %d files of %d and %d, and twenty more", s, f, samples, files)
	}
	r.clock.leap(right)
	r.s.retain()
	if off := r.s.Stats().ClockOff; off != 0 {
		t.Errorf("the clock is set, and %v off", off)
	}
	r.close()
}

// A node that died while the clock was ahead is dead when the clock is right again, not in ten years.
func TestDeathUnderAWrongClock(t *testing.T) {
	r := newRig(t, Options{})
	r.add(key(0), at(noon, 1))
	r.clock.leap(noon.Add(87_600 * time.Hour))
	r.addEvent(death(r.clock.Now()))
	r.follow()
	r.flush(flushAll)
	r.clock.leap(noon.Add(time.Minute))
	r.s.lookAtClock()
	k := key(0)
	if v, ok := r.s.Last(k.Group, k.Node, k.Device, k.Metric); !ok || v.Quality != journal.Stale {
		t.Errorf("the last value is %+v, %v, want it stale", v, ok)
	}
	r.close()
}

// What was recorded under a clock that was ahead does not hide what comes once it is right: not in memory, not when the files were looked
// at meanwhile, and not what was kept of a day that went.
func TestLastValueAfterAWrongClock(t *testing.T) {
	ahead := noon.Add(87_600 * time.Hour)
	for _, c := range []struct {
		name      string
		meanwhile func(r *rig)
	}{
		{"in memory", func(*rig) {}},
		{"in a file that was looked at", func(r *rig) {
			r.flush(flushAll)
			r.close()
			r.open()
			if v, ok := r.s.Last("g", "n", "d", "m0"); !ok || v.Value.Num != double(1).Num {
				t.Errorf("under the wrong clock the last value is %+v, %v", v, ok)
			}
		}},
		{"kept of a day that went", func(r *rig) {
			r.flush(flushAll)
			r.s.dropDay(dayOf(ms(ahead)), whyBytes, 0)
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, Options{})
			r.clock.leap(ahead)
			r.s.lookAtClock()
			r.add(key(0), at(ahead, 1))
			r.follow()
			c.meanwhile(r)
			right := noon.Add(time.Hour)
			r.clock.leap(right)
			r.s.lookAtClock()
			r.add(key(0), at(right, 2))
			r.follow()
			for _, when := range []string{"at once", "opened again", "of a day that went, too"} {
				if v, ok := r.s.Last("g", "n", "d", "m0"); !ok || v.Value.Num != double(2).Num {
					t.Errorf("%s: the last value is %+v, %v, want the one that came last", when, v, ok)
				}
				switch when {
				case "at once":
					r.close()
					r.open()
				case "opened again":
					r.s.dropDay(dayOf(ms(right)), whyBytes, 0)
					r.close()
					r.open()
				}
			}
			r.close()
		})
	}
}

// Days from when the clock was ahead, of which the store is full, go before what comes once it is right.
func TestLimitOfBytesAfterAWrongClock(t *testing.T) {
	const samples = 1800 // 16 KB
	r := newRigAt(t, t.TempDir(), Options{MaxBytes: 1 << 20}, noon.Add(87_600*time.Hour))
	for range 50 {
		r.pass(4*time.Hour, samples)
	}
	r.clock.leap(noon)
	for n := range 10 { // for three days it is doubted, as the first time that the store knew was wrong
		r.pass(12*time.Hour, samples)
		if got, want := len(r.read(key(0), noon, r.clock.Now()).Samples), (n+1)*samples; got != want {
			t.Fatalf("clock off by %v: %d samples, want all %d that came since it is right; days %v", r.s.Stats().ClockOff, got, want, r.s.days.existing(0, 1<<40))
		}
	}
	if r.s.Stats().ClockOff > 0 || r.s.bytes.Load() > r.s.o.MaxBytes {
		t.Errorf("%+v", r.s.Stats())
	}
	r.close()
}
