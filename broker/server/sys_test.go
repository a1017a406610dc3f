package server

import (
	"context"
	"math"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"edge/broker/brokertest"
	"edge/broker/packets"
)

// TestSys: a subscriber of $SYS gets all figures at once and then those that change, true ones; nothing of it is stored.
func TestSys(t *testing.T) {
	in(t, func(t *testing.T) { // its ticks are the bubble's
		r := (&rig{store: &brokertest.Store{}}).start(t)
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- (&Sys{Server: r.Server, Version: "1.2.3", Every: 10 * time.Second}).Run(ctx) }()
		synctest.Wait()
		pub := r.client(packets.V4, "pub", true)
		pub.Subscribe("none", 0)
		pub.Publish(&packets.Publish{Topic: "t", QoS: 1, Payload: []byte("123"), Retain: true})
		everything := r.client(packets.V5, "everything", true)
		everything.Subscribe("#", 0)
		brokertest.Expect[*packets.Publish](everything) // t
		pass(10 * time.Second)

		monitor := r.client(packets.V5, "monitor", true)
		monitor.Subscribe("$SYS/#", 1)
		seen := make(map[string]string)
		next := func(retain bool) string {
			p := brokertest.Expect[*packets.Publish](monitor)
			if p.Retain != retain || p.QoS != 0 {
				t.Errorf("%s: retain %v qos %d", p.Topic, p.Retain, p.QoS)
			}
			seen[p.Topic] = string(p.Payload)
			return p.Topic
		}
		const topics = 2 + 24 + 3*9
		for len(seen) < topics {
			next(true)
		}
		monitor.ExpectNothing()
		for name, want := range map[string]string{
			"version": "edge version 1.2.3", "uptime": "10 seconds", "clients/connected": "2", "clients/total": "2", "clients/maximum": "2",
			"messages/received": "5", "messages/sent": "6", // the other way: 2 CONNACK, 2 SUBACK, PUBACK, the retained message
			"publish/messages/received": "1", "publish/bytes/received": "3", "publish/messages/sent": "1", "subscriptions/count": "2",
			"retained messages/count": "1", "store/messages/count": "1", "load/publish/received/1min": "0.92",
		} {
			if got := seen["$SYS/broker/"+name]; got != want {
				t.Errorf("%s is %q, want %q", name, got, want)
			}
		}
		pass(10 * time.Second)
		changed := make(map[string]bool)
		for !changed["$SYS/broker/load/connections/15min"] { // the last of them
			changed[next(false)] = true
		}
		if !changed["$SYS/broker/uptime"] || !changed["$SYS/broker/clients/connected"] || changed["$SYS/broker/version"] || changed["$SYS/broker/retained messages/count"] {
			t.Errorf("published again: %v", changed)
		}
		everything.ExpectNothing() // [MQTT-4.7.2-1]

		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		for _, m := range r.store.Retained() {
			if strings.HasPrefix(string(m.Topic), "$SYS") {
				t.Errorf("%s was stored", m.Topic)
			}
		}
		r.restart()
		monitor = r.client(packets.V5, "monitor", true)
		monitor.Subscribe("$SYS/#", 0)
		monitor.ExpectNothing()
	})
}

// TestLoad: a steady rate is told as what it is, once the span has passed a few times; a burst fades with its span.
func TestLoad(t *testing.T) {
	var steady, burst load
	const every = 10 * time.Second
	burst.add(60, every)
	for i, minutes := range loadMinutes {
		want := 360 * (1 - math.Exp(-every.Minutes()/minutes))
		if math.Abs(burst[i]-want) > 1e-9 {
			t.Errorf("%v min: %v after a burst, want %v", minutes, burst[i], want)
		}
	}
	first := burst
	for range 6 * 15 { // 15 minutes
		steady.add(20, every)
		burst.add(0, every)
	}
	if math.Abs(steady[0]-120) > 0.01 || math.Abs(steady[2]-120*(1-1/math.E)) > 1e-9 {
		t.Errorf("20 in 10 s: %v", steady)
	}
	if math.Abs(burst[2]-first[2]/math.E) > 1e-9 || burst[0] > first[0]*1e-6 {
		t.Errorf("15 minutes after a burst: %v", burst)
	}
}
