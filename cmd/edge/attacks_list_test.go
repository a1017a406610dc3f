package main

import (
	"fmt"
	"strings"
	"time"

	"edge/broker/packets"
)

var bothVersions = []packets.Version{packets.V4, packets.V5}

// slowConnect opens connections that send CONNECT a byte at a time, or nothing: each may last connect_timeout.
func slowConnect(a *attacker) {
	all := make([]*foe, a.many(300, 1800))
	for i := range all {
		all[i] = a.dial(packets.V5)
		if i%2 == 0 {
			all[i].raw([]byte{0x10, 0xE0, 0xD4, 3})
		}
	}
	if !longRun() {
		return
	}
	tick := time.NewTicker(500 * time.Millisecond)
	defer tick.Stop()
	for range 16 { // past the deadline of the last of them
		for _, f := range all {
			f.raw([]byte{0})
		}
		<-tick.C
	}
	for _, f := range all {
		f.end("slow CONNECT", packets.Success)
	}
}

// lengthBombs claim much and send nothing (CVE-2017-7651, CVE-2021-33175 and their kind).
func lengthBombs(a *attacker) {
	for i := range a.many(300, 1800) {
		f := a.dial(packets.V5)
		claim := [][]byte{{0x10, 0xFF, 0xFF, 0xFF, 0x7F}, {0x10, 0xE0, 0xD4, 3}, {0x10, 0xFF, 0xFF, 0xFF, 0xFF, 1}, {0x30, 0xFF, 0xFF, 0xFF, 0x7F}}[i%4]
		f.raw(append(claim, 0, 4, 'M', 'Q', 'T', 'T', 5))
		if i%4 != 1 {
			f.end("length bomb", packets.Success)
		}
	}
	a.hold()
}

// slowITe takes connections and keeps them by one packet (CVE-2020-13849). 5.0 is told a shorter keep alive.
func slowITe(a *attacker) {
	for i := range a.many(300, 900) {
		f := a.dial(bothVersions[i%2])
		ack := f.connect(fmt.Sprint("slowite", i), func(c *packets.Connect) { c.KeepAlive = []uint16{0, 65535}[i/2%2] })
		if ack.Code != packets.Success || f.v == packets.V5 && ack.ServerKeepAlive.Value != 300 {
			a.failf("CONNACK %+v", ack)
		}
	}
	a.hold()
}

// halfPackets begin a message of a megabyte and send half of it. The first ones are let finish it.
func halfPackets(a *attacker) {
	var all []*foe
	half := make([]byte, 512<<10)
	for i := range a.many(250, 800) {
		f := a.login(bothVersions[i%2], fmt.Sprint("half", i))
		f.raw([]byte{0x30, 0xF0, 0xFF, 0x3F, 0, 1, 'a'})
		f.raw(half)
		all = append(all, f)
	}
	a.hold()
	for _, f := range all {
		f.Close()
	}
}

// subscriptionBomb subscribes to as many, as deep and as wild filters as it may, and publishes what they all match.
func subscriptionBomb(a *attacker) {
	const levels = 16
	pattern := func(n int) string {
		list := make([]string, levels)
		for i := range list {
			list[i] = []string{"a", "+"}[n>>i&1]
		}
		return strings.Join(list, "/")
	}
	n := a.many(40, 400)
	a.workers(8, func(worker int) {
		for i := worker; i < n; i += 8 {
			f := a.login(packets.V5, fmt.Sprint("filters", i))
			var wild, deep []string
			for j := range 100 {
				wild = append(wild, pattern(i*100+j))
				deep = append(deep, fmt.Sprintf("%d/%d/", i, j)+strings.Repeat(fmt.Sprint(j, "/"), levels-3)+"#")
			}
			for _, code := range append(f.subscribe(wild...), f.subscribe(deep...)...) {
				if code != packets.GrantedQoS1 && code != packets.QuotaExceeded { // of all sessions together
					a.failf("SUBACK %v", code)
				}
			}
			if code := f.subscribe("one/more")[0]; code != packets.QuotaExceeded && i < 10 {
				a.failf("the 201st filter: %v", code)
			}
			if code := f.subscribe(strings.Repeat("a/", levels) + "#")[0]; code != packets.TopicFilterInvalid {
				a.failf("a filter of 17 levels: %v", code)
			}
			f.drain()
		}
	})
	p := a.login(packets.V5, "publisher")
	for n := 0; n < leastTimes || time.Now().Before(a.until); n++ {
		p.publish(packets.Publish{Topic: "a" + strings.Repeat("/a", levels-1)})
	}
}

// retainedBomb retains as much as it may and more, and asks for all of it again and again.
func retainedBomb(a *attacker) {
	f := a.login(packets.V5, "retainer")
	payload := make([]byte, 8<<10)
	for i := range a.many(9000, 12000) {
		f.send(&packets.Publish{Topic: fmt.Sprintf("%d/b/c/d/e/f/g/h/i/j/k/l/m/n/o/p", i), Retain: true, Payload: payload})
	}
	f.still("retained bomb")
	a.repeat(func(worker, n int) {
		s := a.login(packets.V5, fmt.Sprintf("asks%d", worker))
		for i := range 20 {
			s.send(&packets.Subscribe{PacketID: uint16(i + 1), Filters: []packets.Subscription{{Filter: "#"}, {Filter: "+/b/#"}, {Filter: "#", QoS: 1}}})
		}
		s.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
		s.Read(make([]byte, 64<<10))
		s.Close()
	})
}

// identifierStorm connects with ever new names and goes, in order and not.
func identifierStorm(a *attacker) {
	a.repeat(func(worker, n int) {
		f := a.login(bothVersions[n%2], fmt.Sprintf("storm%d-%d", worker, n), func(c *packets.Connect) { c.CleanStart = true })
		if n%3 == 0 {
			f.send(&packets.Disconnect{})
		}
		f.Close()
	})
}

// takeOverStorm has four connections take the same session from each other.
func takeOverStorm(a *attacker) {
	a.repeat(func(worker, n int) {
		f := a.dial(bothVersions[n%2])
		f.send(&packets.Connect{Version: f.v, ClientID: "contested", CleanStart: n%5 == 0,
			Will: &packets.Will{Topic: "contested/will", QoS: 1, Payload: []byte("gone")}})
		f.next()
		if n%7 == 0 {
			f.Close()
		}
	})
	f := a.login(packets.V5, "contested") // ends the session
	f.send(&packets.Disconnect{})
	f.end("clean", packets.Success)
}

// willStorm has many clients with the largest wills die at once.
func willStorm(a *attacker) {
	watcher := a.login(packets.V5, "watcher")
	watcher.subscribe("will/#")
	watcher.drain()
	var all []*foe
	for i := range a.many(300, 900) {
		all = append(all, a.login(packets.V5, fmt.Sprint("dies", i), func(c *packets.Connect) {
			c.Will = &packets.Will{Topic: fmt.Sprint("will/", i), QoS: 2, Payload: make([]byte, 60000)}
		}))
	}
	large := a.dial(packets.V5)
	large.send(&packets.Connect{Version: packets.V5, ClientID: "large", CleanStart: true,
		Will: &packets.Will{Topic: "will/large", Payload: make([]byte, 65535)}})
	large.end("a will of 64 KiB", packets.Success)
	for _, f := range all {
		f.Close()
	}
	a.hold()
}

// manyLevels publishes to and subscribes to 65,535 levels (CVE-2019-11779).
func manyLevels(a *attacker) {
	deep := strings.Repeat("/", 65534)
	a.repeat(func(worker, n int) {
		f := a.login(packets.V5, fmt.Sprint("deep", worker))
		for range 20 {
			if code := f.publish(packets.Publish{Topic: deep}); code != packets.TopicNameInvalid {
				a.failf("PUBACK %v", code)
			}
			if codes := f.subscribe(deep, deep[:65000]+"/#"); codes[0] != packets.TopicFilterInvalid || codes[1] != packets.TopicFilterInvalid {
				a.failf("SUBACK %v", codes)
			}
		}
		old := a.login(packets.V4, fmt.Sprint("deep311-", worker))
		if codes := old.subscribe(deep); codes[0] != packets.UnspecifiedError {
			a.failf("SUBACK %v", codes)
		}
		old.publish(packets.Publish{Topic: deep}) // 3.1.1 has no code for it
		old.still("65,535 levels")
		old.Close()
		f.Close()
	})
}

// badUTF8 has names that are not UTF-8 in each packet that has one.
func badUTF8(a *attacker) {
	bad := []string{"\xFF", "a\x00b", "\xED\xA0\x80", "\xC0\xAF", "\xF4\x90\x80\x80", "a\xE2\x82"}
	a.repeat(func(worker, n int) {
		for _, v := range bothVersions {
			name := bad[n%len(bad)]
			for _, p := range []packets.Packet{
				&packets.Publish{Topic: name}, &packets.Subscribe{PacketID: 1, Filters: []packets.Subscription{{Filter: name}}},
				&packets.Unsubscribe{PacketID: 1, Filters: []string{name}},
			} {
				f := a.login(v, fmt.Sprint("utf", worker))
				f.send(p)
				f.end("bad UTF-8", packets.MalformedPacket)
			}
		}
	})
}

// dollarTopics publishes where only the broker may.
func dollarTopics(a *attacker) {
	f, old := a.login(packets.V5, "dollar"), a.login(packets.V4, "dollar311")
	a.workers(1, func(int) {
		for n := 0; n < 200 || time.Now().Before(a.until); n++ {
			name := []string{"$SYS/broker/version", "$share/g/a", "$sparkplug/certificates/x", "$", "$edge"}[n%5]
			if code := f.publish(packets.Publish{Topic: name, Retain: n%2 == 0, Payload: []byte("x")}); code != packets.NotAuthorized {
				a.failf("%s: PUBACK %v", name, code)
			}
			old.publish(packets.Publish{Topic: name})
		}
	})
	for _, filter := range []string{"$share//a", "$share/g", "$share/+/a", "$share/g#/a"} {
		if code := f.subscribe(filter)[0]; code != packets.TopicFilterInvalid {
			a.failf("%s: SUBACK %v", filter, code)
		}
	}
	f.still("$ topics")
}

// badProperties has properties that are many, double, unknown, cut off, or not of their packet (CVE-2021-41039).
func badProperties(a *attacker) {
	user := make([]packets.UserProperty, 10000)
	many := &packets.Publish{Topic: "many", Properties: &packets.PublishProperties{User: user}}
	empty := &packets.Publish{Topic: "many", Properties: &packets.PublishProperties{User: make([]packets.UserProperty, 200000)}}
	bad := []struct {
		code  packets.ReasonCode
		bytes []byte
	}{
		{packets.ProtocolError, []byte{0x30, 10, 0, 1, 'a', 6, 35, 0, 1, 35, 0, 1}},         // topic alias twice
		{packets.MalformedPacket, []byte{0x30, 6, 0, 1, 'a', 2, 99, 0}},                     // unknown
		{packets.MalformedPacket, []byte{0x30, 7, 0, 1, 'a', 3, 33, 0, 1}},                  // of another packet
		{packets.MalformedPacket, []byte{0x30, 4, 0, 1, 'a', 9}},                            // longer than the packet
		{packets.MalformedPacket, []byte{0x30, 7, 0, 1, 'a', 0xFF, 0xFF, 0xFF, 0xFF}},       // no Variable Byte Integer
		{packets.ProtocolError, []byte{0x30, 6, 0, 1, 'a', 2, 1, 2}},                        // payload format 2
		{packets.ProtocolError, []byte{0x82, 9, 0, 1, 2, 11, 0, 0, 1, 'a', 0}},              // subscription identifier 0
		{packets.MalformedPacket, []byte{0x30, 11, 0, 1, 'a', 7, 38, 0, 1, 'k', 0, 9, 'v'}}, // user property cut off
	}
	a.repeat(func(worker, n int) {
		f := a.login(packets.V5, fmt.Sprint("properties", worker))
		f.send(many)
		f.still("10,000 user properties")
		greedy := a.login(packets.V5, fmt.Sprint("greedy", worker))
		greedy.send(empty)
		greedy.end("200,000 user properties", packets.QuotaExceeded)
		c := bad[n%len(bad)]
		f.raw(c.bytes)
		f.end(fmt.Sprintf("% x", c.bytes), c.code)
	})
}

// smallPackets floods with what is small: pings, and packets a byte at a time.
func smallPackets(a *attacker) {
	pings := []byte(strings.Repeat("\xC0\x00", 2000))
	a.repeat(func(worker, n int) {
		f := a.login(bothVersions[worker%2], fmt.Sprint("small", worker))
		defer f.Close()
		f.drain()
		if worker < 2 {
			for range 50 {
				f.raw(pings)
			}
			return
		}
		p := (&packets.Publish{Topic: "small", QoS: 1, PacketID: 1, Payload: []byte("x")}).Append(nil, f.v)
		for i := range 2000 {
			f.raw(p[i%len(p) : i%len(p)+1])
		}
	})
}
