package brokertest

import (
	"errors"
	"io"
	"net"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"edge/broker"
	"edge/broker/packets"
	"edge/broker/session"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestScriptsAgainstMosquitto runs the conversations against a broker that nobody here wrote: what they
// expect is MQTT and not a habit of ours.
func TestScriptsAgainstMosquitto(t *testing.T) {
	Run(t, "testdata/*.txt", func(t *testing.T) Broker { return StartMosquitto(t).Broker() })
}

// answering runs a broker's side of a connection that answers each packet with those that answer returns.
func answering(conn net.Conn, v packets.Version, answer func(packets.Packet) []packets.Packet) {
	var buf []byte
	chunk := make([]byte, 100)
	for {
		n, complete, err := packets.FrameLength(buf, 0)
		if err != nil {
			return
		}
		if !complete {
			n, err := conn.Read(chunk)
			if err != nil {
				return
			}
			buf = append(buf, chunk[:n]...)
			continue
		}
		p, err := packets.Decode(v, buf[:n])
		if err != nil {
			return
		}
		buf = buf[n:]
		var out []byte
		for _, a := range answer(p) {
			out = a.Append(out, v)
		}
		conn.Write(out)
	}
}

func TestClientKeepsOtherPacketsWhileItWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		go answering(far, packets.V5, func(p packets.Packet) []packets.Packet {
			s := p.(*packets.Subscribe)
			return []packets.Packet{&packets.Publish{Topic: "a"}, &packets.Pingresp{},
				&packets.Suback{PacketID: s.PacketID, Codes: []packets.ReasonCode{packets.GrantedQoS1}}}
		})
		c := NewClient(t, near, packets.V5)
		if code := c.Subscribe("a", 1); code != packets.GrantedQoS1 {
			t.Errorf("code %v", code)
		}
		c.Expect(&packets.Publish{Topic: "a"})
		c.Expect(&packets.Pingresp{})
	})
}

func TestClientGivesUpAfterTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		defer far.Close()
		if p, err := NewClient(t, near, packets.V4).Next(); err == nil || closed(err) {
			t.Errorf("got %v, %v from a silent broker", p, err)
		}
	})
}

func TestExpectClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		go func() {
			far.Write((&packets.Disconnect{Code: packets.SessionTakenOver}).Append(nil, packets.V5))
			far.Close()
		}()
		if code := NewClient(t, near, packets.V5).ExpectClosed(); code != packets.SessionTakenOver {
			t.Errorf("reason %v", code)
		}
	})
}

func TestFaultyCutsMidPacket(t *testing.T) {
	near, far := net.Pipe()
	got := make(chan []byte)
	go func() {
		b, _ := io.ReadAll(far)
		got <- b
	}()
	f := CutAfter(near, 3)
	f.Chunk = 2
	n, err := f.Write([]byte("abcde"))
	if n != 3 || !errors.Is(err, ErrCut) {
		t.Errorf("Write = %d, %v", n, err)
	}
	if b := <-got; string(b) != "abc" {
		t.Errorf("the other side got %q", b)
	}
	if _, err := f.Write([]byte("x")); err == nil {
		t.Error("a cut connection takes bytes")
	}
}

func TestFaultyCutsReading(t *testing.T) {
	near, far := net.Pipe()
	f := &Faulty{Conn: near, CutWrite: -1, CutRead: 2}
	go far.Write([]byte("abc"))
	b, err := io.ReadAll(f)
	if string(b) != "ab" || !errors.Is(err, ErrCut) {
		t.Errorf("read %q, %v", b, err)
	}
}

func TestStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		full := errors.New("disk full")
		var s Store
		var told []broker.Index
		s.OnDurable(func(i broker.Index) { told = append(told, i) })
		change := []session.Change{{Kind: session.Created, ClientID: "c"}}
		if i, err := s.SaveSession(change); i != 1 || err != nil {
			t.Errorf("SaveSession = %d, %v", i, err)
		}
		synctest.Wait()
		s.Hold()
		if i, _ := s.SaveRetained(&broker.Message{Topic: "a"}); i != 2 {
			t.Errorf("SaveRetained = %d", i)
		}
		synctest.Wait()
		if s.Durable() != 1 || !s.Holding() {
			t.Errorf("held: durable %d, %t", s.Durable(), s.Holding())
		}
		s.Commit()
		if s.Holding() {
			t.Error("nothing is left to be held")
		}
		if diff := cmp.Diff([]broker.Index{1, 2}, told); diff != "" || s.Durable() != 2 {
			t.Errorf("after Commit: durable %d, told %s", s.Durable(), diff)
		}
		s.FailAfter(1, full)
		if _, err := s.SaveSession(change); err != nil {
			t.Errorf("the record before the failure: %v", err)
		}
		if _, err := s.SaveSession(change); !errors.Is(err, full) {
			t.Errorf("a full store took a record: %v", err)
		}
		if n := len(s.Changes()); n != 2 {
			t.Errorf("%d changes recorded", n)
		}
	})
}

func TestScriptLanguage(t *testing.T) {
	words, err := splitWords(`pub c2 a/b "two words" qos=1 "x=y" retain`)
	if err != nil {
		t.Fatal(err)
	}
	got := parseArgs(words[1:])
	want := args{words: []string{"c2", "a/b", "two words", "x=y"}, options: map[string]string{"qos": "1", "retain": ""}}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(args{})); diff != "" {
		t.Error(diff)
	}
	if _, err := splitWords(`pub "open`); err == nil {
		t.Error("open quotes were taken")
	}
}

func TestRenderScript(t *testing.T) {
	text := "# comment\nconnect c1\n    old answer\n\nsub c1 a\n"
	lines := parseScript(text)
	lines[1].answers = map[packets.Version][]string{packets.V4: {"same"}, packets.V5: {"same"}}
	lines[3].answers = map[packets.Version][]string{packets.V4: {"four"}, packets.V5: {"five"}}
	want := "# comment\nconnect c1\n    same\n\nsub c1 a\n    3.1.1: four\n    5.0:   five\n"
	if diff := cmp.Diff(want, renderScript(lines)); diff != "" {
		t.Error(diff)
	}
}
