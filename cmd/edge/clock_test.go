package main

import (
	"testing"
	"time"

	"edge/sparkplug"
)

// A node whose clock is two hours fast says when it was born; when that was heard, and in which order, the appliance says.
func TestFastClockKeepsTheOrder(t *testing.T) {
	t.Parallel()
	const fast = 2 * time.Hour
	dir := t.TempDir()
	app := startApp(t, dir, appOptions{})
	p := &patient{t, app, "n"}
	start := time.Now().Truncate(time.Millisecond)
	s := p.joins("c")
	s.wrong(fast)
	s.says(sparkplug.DDEATH, "D1")
	s.dies()
	s.nbirth()
	var log struct {
		Events []struct {
			Kind           string
			Time, Received time.Time
		}
	}
	want := []string{"node_birth", "node_death", "device_death", "device_birth", "node_birth"} // newest first
	look := func() (told int) {
		app.get(t, "api/v1/events?node=F/n&kind=node_birth,node_death,device_birth,device_death", &log)
		return len(log.Events)
	}
	check := func() {
		t.Helper()
		last := time.Now()
		for i, e := range log.Events {
			if i >= len(want) || e.Kind != want[i] || e.Received.After(last) || e.Received.Before(start) {
				t.Fatalf("events %+v, want %v, received in this order since %s", log.Events, want, start)
			}
			last = e.Received
			ahead := e.Time.Sub(e.Received)
			if own := e.Kind != "node_death"; own != (ahead > fast-time.Minute) || !own && ahead.Abs() > time.Minute {
				t.Errorf("%s: time %s, received %s", e.Kind, e.Time, e.Received)
			}
		}
	}
	eventually(t, patience, "all five are told", func() bool { return look() == len(want) })
	check()
	var n struct {
		Since, Since_received, Last_birth, Last_birth_received time.Time
		Devices                                                []struct{ Since, Since_received time.Time }
	}
	app.get(t, "api/v1/nodes/F/n", &n)
	for what, at := range map[string][2]time.Time{"node": {n.Since, n.Since_received}, "birth": {n.Last_birth, n.Last_birth_received}, "device": {n.Devices[0].Since, n.Devices[0].Since_received}} {
		if ahead := at[0].Sub(at[1]); at[1].Before(start) || at[1].After(time.Now()) || ahead < fast-time.Minute {
			t.Errorf("%s: since %s, by our clock since %s", what, at[0], at[1])
		}
	}
	if err := app.stop(); err != nil { // the log is now in a day's file
		t.Fatal(err)
	}
	app = startApp(t, dir, appOptions{})
	want = append([]string{"node_death"}, want...) // at the stop
	eventually(t, patience, "all are told after a restart", func() bool { return look() == len(want) })
	check()
}
