package server

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"edge/broker/brokertest"
	"edge/broker/packets"
)

// logged is a log that a test reads; it is safe for one writer at a time, which slog's handler sees to.
func logged(r *rig) *logText {
	var b logText
	r.log = slog.New(slog.NewTextHandler(&b, nil))
	return &b
}

type logText struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *logText) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *logText) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// TestRefusalsAreSaidOnce: of one client each reason is one line in the log, however often it comes, until it has been quiet
// for a while; all are counted.
func TestRefusalsAreSaidOnce(t *testing.T) {
	both(t, func(t *testing.T, way path) {
		r := &rig{auth: denyUser("mallory")}
		log := logged(r)
		r.over(way).start(t)
		attempt := func() {
			c := brokertest.NewClient(t, r.dial(), packets.V5)
			c.Send(&packets.Connect{Version: packets.V5, ClientID: "m", CleanStart: true, HasUsername: true, Username: "mallory"})
			if ack := brokertest.Expect[*packets.Connack](c); ack.Code != packets.NotAuthorized {
				t.Fatalf("CONNACK %v", ack.Code)
			}
			c.Close()
			r.quiet()
		}
		for range 50 {
			attempt()
		}
		if n := strings.Count(log.String(), "level=WARN msg=refused"); n != 1 || !strings.Contains(log.String(), `client=m`) ||
			!strings.Contains(log.String(), `reason="not authorized"`) {
			t.Errorf("%d lines:\n%s", n, log)
		}
		if n := r.Server.Refusals()[RefuseNotAllowed]; n != 50 {
			t.Errorf("%d counted", n)
		}
		r.pass(sayAgain)
		attempt()
		if n := strings.Count(log.String(), "level=WARN msg=refused"); n != 2 {
			t.Errorf("after a while: %d lines", n)
		}
	})
}

// TestRefusalsOfManyNames: the log and what it remembers are bounded when each attempt has another name.
func TestRefusalsOfManyNames(t *testing.T) {
	both(t, func(t *testing.T, way path) {
		var r rig
		log := logged(&r)
		r.over(way).start(t)
		for round := range 3 {
			for i := range 3 * maxSaid {
				r.Server.refused(RefuseNotAllowed, fmt.Sprint("c", round, i), "", "", errors.New("no"))
			}
			want := (round + 1) * (maxSaid + 2) // with the first of the others, and that they are not logged
			if n := strings.Count(log.String(), "\n"); n != want || len(r.Server.refusals.said) > maxSaid {
				t.Errorf("round %d: %d lines, not %d; %d names kept", round, n, want, len(r.Server.refusals.said))
			}
			r.pass(2 * sayAgain)
		}
		if n := r.Server.Refusals()[RefuseNotAllowed]; n != 9*maxSaid {
			t.Errorf("%d counted", n)
		}
	})
}

// TestComingsAreBounded: a storm of connections is a bounded number of lines a second, and the log says how many are missing.
func TestComingsAreBounded(t *testing.T) {
	both(t, func(t *testing.T, way path) {
		var r rig
		log := logged(&r)
		r.over(way).start(t)
		for range 3 * comingsPerSecond {
			r.Server.comings.log(r.Server, "client connected")
		}
		r.pass(time.Second)
		r.Server.comings.log(r.Server, "client connected")
		if n := strings.Count(log.String(), "\n"); n != comingsPerSecond+1 || !strings.Contains(log.String(), fmt.Sprint("left_out=", 2*comingsPerSecond)) {
			t.Errorf("%d lines:\n%s", n, log)
		}
	})
}

// TestRefusalsHaveReasons: what is refused after login is counted, logged once with the client's name, and answered.
func TestRefusalsHaveReasons(t *testing.T) {
	for name, c := range map[string]struct {
		do     func(t *testing.T, c *brokertest.Client)
		reason string // counted; empty: among the messages dropped
		line   string
	}{
		"malformed": {func(t *testing.T, c *brokertest.Client) {
			c.SendRaw([]byte{0x36, 0})
			if code := c.ExpectClosed(); code != packets.MalformedPacket {
				t.Errorf("told %v", code)
			}
		}, RefuseProtocol, `reason="protocol error"`},
		"too many levels in a filter": {func(t *testing.T, c *brokertest.Client) {
			for range 3 {
				if code := c.Subscribe(strings.Repeat("/", 20), 0); code != packets.TopicFilterInvalid {
					t.Errorf("SUBACK %v", code)
				}
			}
		}, RefuseSubscription, `reason="subscription refused"`},
		"too many levels in a topic": {func(t *testing.T, c *brokertest.Client) {
			for range 3 {
				if code := c.Publish(&packets.Publish{Topic: strings.Repeat("/", 20), QoS: 1}); code != packets.TopicNameInvalid {
					t.Errorf("PUBACK %v", code)
				}
			}
		}, "", `reason="message refused"`},
		"$ topic": {func(t *testing.T, c *brokertest.Client) {
			for range 3 {
				if code := c.Publish(&packets.Publish{Topic: "$SYS/x", QoS: 1}); code != packets.NotAuthorized {
					t.Errorf("PUBACK %v", code)
				}
			}
		}, "", `reason="message refused"`},
	} {
		t.Run(name, func(t *testing.T) {
			both(t, func(t *testing.T, way path) {
				var r rig
				log := logged(&r)
				r.over(way).start(t)
				k := r.client(packets.V5, "mallory", true)
				c.do(t, k)
				r.quiet()
				if n := r.Server.Refusals()[c.reason]; c.reason != "" && n == 0 {
					t.Errorf("not counted: %v", r.Server.Refusals())
				}
				if n := strings.Count(log.String(), "msg=refused"); n != 1 || !strings.Contains(log.String(), c.line) {
					t.Errorf("%d lines:\n%s", n, log)
				}
			})
		})
	}
}
