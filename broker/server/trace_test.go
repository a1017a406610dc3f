package server

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"edge/broker"
	"edge/broker/auth"
	"edge/broker/brokertest"
	"edge/broker/packets"
	"edge/broker/topic"
)

func (l TraceLine) String() string {
	s := [...]string{"--", "->", "<-"}[l.Direction]
	if l.Type != 0 {
		s += fmt.Sprintf(" %v %dB", l.Type, l.Size)
	}
	if l.PacketID > 0 {
		s += fmt.Sprintf(" id%d", l.PacketID)
	}
	if l.Type == packets.TypePublish {
		s += fmt.Sprintf(" qos%d", l.QoS)
	}
	for _, t := range l.Topics {
		s += " " + t
	}
	for _, c := range l.Codes {
		s += " " + c.String()
	}
	if l.Payload != nil {
		s += fmt.Sprintf(" %q", l.Payload)
	}
	if l.Note != "" {
		s += " (" + l.Note + ")"
	}
	return s
}

func traced(t *testing.T, s *Server, id string) (lines []string) {
	t.Helper()
	v, ok := s.Trace(id, 0, maxTracePackets)
	if !ok {
		t.Fatalf("no trace of %s", id)
	}
	for i, l := range v.Lines {
		if l.Seq != uint64(i)+1 {
			t.Errorf("line %d has number %d", i, l.Seq)
		}
		lines = append(lines, l.String())
	}
	return lines
}

// TestTrace records a client from before its first CONNECT: one that is refused, then a conversation. There is no payload in it
// and no password.
func TestTrace(t *testing.T) {
	in(t, func(t *testing.T) { // what is traced names the pipe
		r := (&rig{auth: denyUser("stranger")}).start(t)
		if err := r.Server.StartTrace("c", TraceOptions{}); err != nil {
			t.Fatal(err)
		}
		refused := brokertest.NewClient(t, r.dial(), packets.V4)
		refused.Send(&packets.Connect{Version: packets.V4, ClientID: "c", CleanStart: true, HasUsername: true, Username: "stranger", HasPassword: true, Password: []byte("secret")})
		brokertest.Expect[*packets.Connack](refused)
		refused.Close()
		other := r.client(packets.V5, "other", true)
		c := connectWithWill(t, r, packets.V5, "c", &packets.Will{Topic: "will", QoS: 1}, 60)
		c.Subscribe("t/#", 1)
		c.Publish(&packets.Publish{Topic: "t/" + strings.Repeat("x", 300), QoS: 2, Payload: []byte("secret")})
		c.Acknowledge(brokertest.Expect[*packets.Publish](c))
		synctest.Wait() // or the next, which another sends, comes first
		other.Publish(&packets.Publish{Topic: "t/b", Payload: []byte("secret")})
		brokertest.Expect[*packets.Publish](c)
		c.SendRaw([]byte{0x30, 4, 0, 2, '#', 'a'}) // a wildcard in a topic name
		c.ExpectClosed()
		synctest.Wait()
		long := "t/" + strings.Repeat("x", maxTraceText-2) + "…"
		want := []string{
			"-> CONNECT 33B (from pipe, listener pipe, version 4, keep alive 0 s, user \"stranger\", clean start)",
			"-- (connection refused: not authorized (0x87): no)",
			"<- CONNACK 4B not authorized (0x87)",
			"-> CONNECT 30B will (from pipe, listener pipe, version 5, keep alive 0 s, clean start, session expiry 60 s, will qos 1)",
			"<- CONNACK 19B success (0x00)",
			"-> SUBSCRIBE 11B id1 t/# (1 filters, qos 1)",
			"<- SUBACK 6B id1 granted QoS 1 (0x01)",
			"-> PUBLISH 316B id2 qos2 " + long,
			"<- PUBLISH 316B id1 qos1 " + long,
			"<- PUBREC 4B id2 success (0x00)",
			"-> PUBREL 4B id2 success (0x00)",
			"<- PUBCOMP 4B id2 success (0x00)",
			"-> PUBACK 4B id1 success (0x00)",
			"<- PUBLISH 14B qos0 t/b",
			"-> PUBLISH 6B qos0 (does not read: topic name invalid (0x90): wildcard in a topic name (section 3.3.2.1))",
			"-- (connection ended: protocol error: topic name invalid (0x90): wildcard in a topic name (section 3.3.2.1))",
			"<- DISCONNECT 31B topic name invalid (0x90) (reason: wildcard in a topic name)",
		}
		if diff := cmp.Diff(want, traced(t, r.Server, "c")); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		v, _ := r.Server.Trace("c", 5, 2)
		if len(v.Lines) != 2 || v.Lines[0].Seq != 6 || v.Count != len(want) || !v.Ended.IsZero() {
			t.Errorf("two lines behind the fifth: %+v", v)
		}
		if !r.Server.StopTrace("c") || r.Server.StopTrace("c") {
			t.Error("a trace can be stopped once")
		}
		if _, ok := r.Server.Trace("c", 0, 1); ok || r.Server.traces.some.Load() {
			t.Error("there is still a trace")
		}
	})
}

// TestTraceOfLongNames keeps a line short whatever a CONNECT says.
func TestTraceOfLongNames(t *testing.T) {
	in(t, func(t *testing.T) {
		r := (&rig{auth: denyUser("")}).start(t)
		if err := r.Server.StartTrace("c", TraceOptions{}); err != nil {
			t.Fatal(err)
		}
		c, long := brokertest.NewClient(t, r.dial(), packets.V5), strings.Repeat("x", 20_000)
		c.Send(&packets.Connect{Version: packets.V5, ClientID: "c", HasUsername: true, Username: long, AuthMethod: long,
			Will: &packets.Will{Topic: long}})
		brokertest.Expect[*packets.Connack](c)
		synctest.Wait()
		lines := traced(t, r.Server, "c")
		for _, l := range lines {
			if len(l) > 2048 {
				t.Errorf("a line of %d bytes: %.100s", len(l), l)
			}
		}
		if len(lines) < 2 || !strings.Contains(lines[0], "user \"xxx") {
			t.Errorf("%q", lines)
		}
	})
}

// TestTraceOfConnected begins with a client that is there: payloads if asked for, and what is dropped.
func TestTraceOfConnected(t *testing.T) {
	both(t, func(t *testing.T, way path) {
		r := (&rig{}).over(way).start(t)
		c, pub := r.client(packets.V5, "c", true), r.client(packets.V5, "pub", true)
		c.Subscribe("t", 0)
		if err := r.Server.StartTrace("c", TraceOptions{Payloads: true}); err != nil {
			t.Fatal(err)
		}
		pub.Publish(&packets.Publish{Topic: "t", Payload: []byte(strings.Repeat("p", 3000))})
		brokertest.Expect[*packets.Publish](c)
		r.Server.Disconnect("c", broker.ReasonAdmin)
		c.ExpectClosed()
		r.quiet()
		want := []string{
			fmt.Sprintf("<- PUBLISH 3007B qos0 t %q", strings.Repeat("p", maxTraceText)),
			"<- DISCONNECT 3B administrative action (0x98)",
			"-- (connection ended: disconnected by administrator)",
		}
		if diff := cmp.Diff(want, traced(t, r.Server, "c")); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
}

// TestTraceOfWhatIsLost tells why a message did not arrive: one of the client that it may not send, and those for it that it does
// not take.
func TestTraceOfWhatIsLost(t *testing.T) {
	both(t, func(t *testing.T, way path) {
		mayNot := func(_ auth.Identity, name topic.Name) bool { return name != "secret" }
		r := (&rig{auth: rules{publish: mayNot}, limits: Limits{OutBytes: 100, WriteTimeout: -1}}).over(way).start(t)
		if err := r.Server.StartTrace("c", TraceOptions{}); err != nil {
			t.Fatal(err)
		}
		c := brokertest.NewClient(t, r.dial(), packets.V5)
		c.Send(&packets.Connect{Version: packets.V5, ClientID: "c", CleanStart: true, MaximumPacketSize: 200})
		brokertest.Expect[*packets.Connack](c)
		c.Subscribe("t", 0)
		c.Publish(&packets.Publish{Topic: "secret", QoS: 1})
		pub := r.client(packets.V5, "pub", true)
		pub.Publish(&packets.Publish{Topic: "t", Payload: make([]byte, 300)})
		pub.Send(&packets.Publish{Topic: "t", Payload: make([]byte, 150)}, &packets.Publish{Topic: "t", Payload: make([]byte, 150)})
		pub.ExpectNothing()
		r.quiet()
		want := []string{
			"-> PUBLISH 13B id2 qos1 secret",
			"-- (message not taken: not authorized)",
			"<- PUBACK 45B id2 not authorized (0x87) (reason: not allowed to publish to this topic)",
			"<- PUBLISH 307B qos0 t (dropped: too large)",
			"<- PUBLISH 157B qos0 t",
			"<- PUBLISH 157B qos0 t (dropped: slow consumer)",
		}
		if diff := cmp.Diff(want, traced(t, r.Server, "c")[4:]); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
}

// TestTraceEnds when it has as many lines as asked for, when its time is over, and when another of the client begins; then
// the connection does not know it any more.
func TestTraceEnds(t *testing.T) {
	both(t, func(t *testing.T, way path) {
		r := (&rig{}).over(way).start(t)
		c := r.client(packets.V4, "c", true)
		start := func(o TraceOptions) *trace {
			t.Helper()
			if err := r.Server.StartTrace("c", o); err != nil {
				t.Fatal(err)
			}
			return r.Server.traces.of("c")
		}
		ping := func() {
			c.Send(&packets.Pingreq{})
			brokertest.Expect[*packets.Pingresp](c)
		}
		check := func(x *trace, lines int, end string) {
			t.Helper()
			if v := x.show(0, maxTracePackets, time.Now()); len(v.Lines) != lines || v.End != end {
				t.Errorf("%d lines, ended %q; want %d, %q", len(v.Lines), v.End, lines, end)
			}
		}
		x := start(TraceOptions{Packets: 3})
		for range 3 {
			ping()
		}
		check(x, 3, "as many packets as asked for")
		if r.Server.clientOf("c").traced.Load() != nil {
			t.Error("the connection still looks at a trace that is over")
		}
		x = start(TraceOptions{Duration: time.Hour})
		r.pass(maxTraceDuration - time.Second)
		ping()
		r.pass(time.Second)
		ping()
		check(x, 2, "its time is over")
		x = start(TraceOptions{})
		ping()
		y := start(TraceOptions{})
		ping()
		check(x, 2, "stopped")
		check(y, 2, "")
	})
}

// TestTracesAreBounded: so many at one time, those that are over make room, and only for names that clients can have.
func TestTracesAreBounded(t *testing.T) {
	both(t, func(t *testing.T, way path) {
		r := (&rig{}).over(way).start(t)
		for _, id := range []string{"", strings.Repeat("x", maxClientID+1)} {
			if err := r.Server.StartTrace(id, TraceOptions{}); !errors.Is(err, ErrTraceClient) {
				t.Errorf("%d bytes: %v", len(id), err)
			}
		}
		for i := range maxTraces {
			if err := r.Server.StartTrace(fmt.Sprint(i), TraceOptions{Duration: time.Duration(maxTraces-i) * time.Second}); err != nil {
				t.Fatal(err)
			}
		}
		if err := r.Server.StartTrace("more", TraceOptions{}); !errors.Is(err, ErrTraces) {
			t.Errorf("one too many: %v", err)
		}
		if err := r.Server.StartTrace("0", TraceOptions{Duration: maxTraces * time.Second}); err != nil {
			t.Errorf("the same client again: %v", err)
		}
		r.pass(2 * time.Second) // the last two are over, the very last first
		if err := r.Server.StartTrace("more", TraceOptions{}); err != nil {
			t.Error(err)
		}
		if _, there := r.Server.Trace(fmt.Sprint(maxTraces-1), 0, 1); there {
			t.Error("not the one that ended first was forgotten")
		}
		if _, there := r.Server.Trace(fmt.Sprint(maxTraces-2), 0, 1); !there {
			t.Error("another was forgotten, too")
		}
	})
}
