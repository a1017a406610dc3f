package observe

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"edge/broker/packets"
	"edge/sparkplug"
)

// A step is one packet of a conversation; nil ends the connection.
type step struct {
	toServer bool
	p        packets.Packet
}

func up(p packets.Packet) step   { return step{true, p} }
func down(p packets.Packet) step { return step{false, p} }

func sent(m Message) step {
	return up(&packets.Publish{Topic: m.Topic, Payload: m.Payload, QoS: m.QoS, Retain: m.Retain})
}

func got(p sparkplug.Publish) step {
	return down(&packets.Publish{Topic: p.Topic, Payload: p.Payload, QoS: p.QoS, Retain: p.Retain})
}

func connect(v packets.Version, will Message) *packets.Connect {
	return &packets.Connect{Version: v, ClientID: "c", CleanStart: true, Will: &packets.Will{Topic: will.Topic, Payload: will.Payload, QoS: 1, Retain: will.Retain}}
}

// subscribed is a SUBSCRIBE with its SUBACK.
func subscribed(filters ...string) []step {
	s, a := &packets.Subscribe{PacketID: 1}, &packets.Suback{PacketID: 1}
	for _, f := range filters {
		s.Filters = append(s.Filters, packets.Subscription{Filter: f, QoS: 1})
		a.Codes = append(a.Codes, packets.GrantedQoS1)
	}
	return []step{up(s), down(a)}
}

func hostState(online bool, at int64) step {
	return got(sparkplug.StateMessage("scada", sparkplug.HostState{Online: online, Timestamp: at}))
}

// Where the steps of nodeLife are that the cases change.
const (
	atConnect, atSubscribe, atOnline, atBirth, atDeviceBirth, atData = 0, 2, 7, 8, 9, 10
	atOld, atAsked, atRebirth, atReborn, atOn, atDeath, atEnd        = 11, 13, 14, 15, 16, 18, 19
)

// nodeLife is a session of an edge node G/E with device D and the primary host scada, without a fault.
func nodeLife() []step {
	return slices.Concat(
		[]step{up(connect(packets.V5, death(5))), down(&packets.Connack{})},
		subscribed("spBv1.0/G/NCMD/E", "spBv1.0/G/DCMD/E/#", "spBv1.0/STATE/+"),
		[]step{
			got(sparkplug.StateMessage("other", sparkplug.HostState{Online: true, Timestamp: 9})),
			hostState(false, 5), hostState(true, 4), hostState(true, 6),
			sent(birth(5, temp)), sent(message("DBIRTH", payload(1, dev))), sent(message("NDATA", payload(2, data(temp)))),
			hostState(false, 3), sent(message("NDATA", payload(3, data(temp)))),
			got(sparkplug.RebirthRequest(sparkplug.NodeRef{Group: "G", Node: "E"}, t0)),
			sent(birth(5, temp)), sent(message("DBIRTH", payload(1, dev))), sent(message("DDATA", payload(2, data(dev)))),
			hostState(false, 7),
			sent(death(5)), up(&packets.Disconnect{Code: packets.DisconnectWithWill}), {},
		})
}

func play(w *Wire, server string, talk []step) {
	c := w.Open(server)
	for _, s := range talk {
		if s.p == nil {
			c.Closed()
			continue
		}
		c.Packet(s.toServer, s.p)
	}
}

func broken(w *Wire) (ids []string) {
	for id := range w.Tally().Evidence() {
		ids = append(ids, strings.TrimPrefix(id, "tck-id-"))
	}
	slices.Sort(ids)
	return ids
}

// Each fault in an otherwise good session breaks exactly the assertions named.
func TestNodeSessions(t *testing.T) {
	conn := func(talk []step) *packets.Connect { return talk[atConnect].p.(*packets.Connect) }
	drop := func(at int) func([]step) []step {
		return func(talk []step) []step { return slices.Delete(talk, at, at+1) }
	}
	insert := func(at int, s step) func([]step) []step {
		return func(talk []step) []step { return slices.Insert(talk, at, s) }
	}
	change := func(f func(talk []step)) func([]step) []step {
		return func(talk []step) []step { f(talk); return talk }
	}
	filter := func(i int, f string) func([]step) []step {
		return change(func(talk []step) { talk[atSubscribe].p.(*packets.Subscribe).Filters[i].Filter = f })
	}
	const flow, phid = "message-flow-edge-node-birth-publish-", "message-flow-edge-node-birth-publish-phid-wait"
	for _, tt := range []struct {
		name string
		edit func([]step) []step
		want string
	}{
		{"no fault", change(func([]step) {}), ""},
		{"will at QoS 0", change(func(s []step) { conn(s).Will.QoS = 0 }), flow + "will-message-qos payloads-ndeath-will-message-qos"},
		{"will retained", change(func(s []step) { conn(s).Will.Retain = true }), flow + "will-message-will-retained payloads-ndeath-will-message-retain"},
		{"will of another node", change(func(s []step) { conn(s).Will.Topic = "spBv1.0/G/NDEATH/F" }),
			"message-flow-device-birth-publish-dbirth-match-edge-node-topic message-flow-edge-node-ncmd-subscribe"},
		{"will on another topic", change(func(s []step) { conn(s).Will.Topic = "spBv1.0/G/NDATA/E" }), flow + "will-message-topic topics-ndeath-topic"},
		{"will that is no payload", change(func(s []step) { conn(s).Will.Payload = []byte{0xff} }), flow + "nbirth-payload-bdSeq " + flow +
			"will-message-payload operational-behavior-data-commands-rebirth-action-3 payloads-nbirth-bdseq-repeat payloads-ndeath-bdseq topics-nbirth-bdseq-matching"},
		{"bdSeq of the will differs", change(func(s []step) { conn(s).Will.Payload = death(6).Payload }), flow + "nbirth-payload-bdSeq " +
			"operational-behavior-data-commands-rebirth-action-3 payloads-nbirth-bdseq-repeat payloads-ndeath-bdseq topics-nbirth-bdseq-matching"},
		{"a session that is kept", change(func(s []step) { conn(s).SessionExpiry = 60 }), "principles-persistence-clean-session-50"},
		{"3.1.1 with a session that is kept", change(func(s []step) { conn(s).Version, conn(s).CleanStart = packets.V4, false }), "principles-persistence-clean-session-311"},
		{"birth before CONNACK", drop(atConnect + 1), "message-flow-edge-node-birth-publish-connect"},
		{"no NCMD", filter(0, "other"), "message-flow-edge-node-ncmd-subscribe"},
		{"no DCMD", filter(1, "other"), "message-flow-device-dcmd-subscribe"},
		{"no STATE", filter(2, "other"), "operational-behavior-primary-application-state-with-multiple-servers-state-subs"},
		{"no wait", drop(atOnline), phid + " " + phid + "-id " + phid + "-online " + phid + "-timestamp"},
		{"data first", insert(atBirth, sent(message("NDATA", payload(0)))), "payloads-ndata-order principles-birth-certificates-order"},
		{"no device birth", drop(atDeviceBirth), "payloads-dbirth-order payloads-ndata-order payloads-sequence-num-incrementing topics-ndata-seq-num payloads-ndata-seq-inc"},
		{"device of another node", change(func(s []step) { s[atDeviceBirth].p.(*packets.Publish).Topic = "spBv1.0/G/DBIRTH/F/D" }),
			"message-flow-device-birth-publish-dbirth-match-edge-node-topic message-flow-device-dcmd-subscribe payloads-ndata-seq-inc " +
				"payloads-sequence-num-incrementing topics-ndata-seq-num"},
		{"a device of its own name in small letters, which the rebirth leaves out", insert(atData, sent(Message{Topic: "spBv1.0/G/DBIRTH/E/d", Payload: sparkplug.Encode(new(payload(2)))})),
			"case-sensitivity-sparkplug-ids operational-behavior-data-commands-rebirth-action-2 payloads-dbirth-order payloads-ddata-order payloads-ndata-seq-inc payloads-sequence-num-incrementing topics-ndata-seq-num"},
		{"leaves for an old STATE", func(s []step) []step { return append(s[:atOld+1], s[atDeath:]...) },
			"operational-behavior-edge-node-termination-host-offline-timestamp"},
		{"data before the rebirth", insert(atAsked, sent(message("NDATA", payload(4, data(temp))))), ""},
		{"data after the request", insert(atAsked+1, sent(message("NDATA", payload(4, data(temp))))), "operational-behavior-data-commands-rebirth-action-1"},
		{"rebirth without its device", drop(atReborn), "operational-behavior-data-commands-rebirth-action-2 payloads-dbirth-order payloads-ddata-order " +
			"payloads-sequence-num-incrementing topics-ddata-seq-num payloads-ddata-seq-inc"},
		{"rebirth with the next bdSeq", change(func(s []step) { s[atRebirth] = sent(birth(6, temp)) }), flow + "nbirth-payload-bdSeq " +
			"operational-behavior-data-commands-rebirth-action-3 payloads-nbirth-bdseq-repeat payloads-ndeath-bdseq topics-nbirth-bdseq-matching"},
		{"no NDEATH", drop(atDeath), "operational-behavior-edge-node-intentional-disconnect-ndeath payloads-ndeath-will-message-publisher " +
			flow + "phid-offline operational-behavior-edge-node-termination-host-offline"},
		{"plain DISCONNECT", change(func(s []step) { s[atEnd] = up(&packets.Disconnect{}) }), "payloads-ndeath-will-message-publisher-disconnect-mqtt50"},
		{"a broken line", func(s []step) []step { return append(s[:atOn+1], step{}) }, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := NewWire(WireOptions{PrimaryHost: "scada", Devices: []string{"D"}, Clock: func() time.Time { return t0 }})
			play(w, "s", tt.edit(nodeLife()))
			want := strings.Fields(tt.want)
			slices.Sort(want)
			if diff := cmp.Diff(want, broken(w)); diff != "" && len(want)+len(broken(w)) > 0 {
				t.Errorf("(-want +broken):\n%s", diff)
			}
			for _, id := range want {
				if !known(t)["tck-id-"+id] {
					t.Errorf("there is no assertion %s", id)
				}
			}
		})
	}
}

// What only several sessions show.
func TestNodeOverSessions(t *testing.T) {
	life := func(bdSeq uint8) []step {
		talk := nodeLife()
		talk[atConnect].p.(*packets.Connect).Will.Payload = death(bdSeq).Payload
		return talk[:atSubscribe]
	}
	bornAt := func(bdSeq uint8) []step { // with its host online
		talk := nodeLife()
		talk[atConnect].p.(*packets.Connect).Will.Payload = death(bdSeq).Payload
		talk[atBirth] = sent(birth(bdSeq, temp))
		return talk[:atOld]
	}
	const walk = "operational-behavior-edge-node-termination-host-offline-reconnect operational-behavior-primary-application-state-with-multiple-servers-walk"
	for _, tt := range []struct {
		name string
		play func(w *Wire)
		want string
	}{
		{"bdSeq counts", func(w *Wire) { play(w, "a", append(life(255), step{})); play(w, "a", life(0)) }, ""},
		{"bdSeq stays", func(w *Wire) { play(w, "a", append(life(5), step{})); play(w, "a", life(5)) },
			"message-flow-edge-node-birth-publish-will-message-payload-bdSeq topics-nbirth-bdseq-increment"},
		{"two servers at once", func(w *Wire) { play(w, "a", life(5)); play(w, "b", life(6)) },
			"operational-behavior-primary-application-state-with-multiple-servers-single-server"},
		{"born at two servers", func(w *Wire) { play(w, "a", nodeLife()[:atOld]); play(w, "b", bornAt(6)) },
			"operational-behavior-primary-application-state-with-multiple-servers-single-server"},
		{"the end of the connection before is seen late", func(w *Wire) {
			first := w.Open("a")
			for _, s := range life(5) {
				first.Packet(s.toServer, s.p)
			}
			second := w.Open("b")
			for i, s := range bornAt(6) {
				if second.Packet(s.toServer, s.p); i == 0 {
					first.Closed()
				}
			}
		}, ""},
		{"what it left is seen to be closed when it is elsewhere", func(w *Wire) {
			end := func(c *Conn, talk []step) {
				for _, s := range talk[:len(talk)-1] {
					c.Packet(s.toServer, s.p)
				}
			}
			first, second := w.Open("a"), w.Open("b")
			end(first, nodeLife())
			second.Packet(true, life(6)[0].p)
			first.Closed()
			for _, s := range append(bornAt(6)[1:], step{}) {
				if s.p != nil {
					second.Packet(s.toServer, s.p)
				}
			}
			second.Closed() // a broken line
			play(w, "a", life(7))
		}, ""},
		{"one server again, sooner than it noticed", func(w *Wire) { play(w, "a", life(5)); play(w, "a", life(6)) }, ""},
		{"two clients of one name", func(w *Wire) {
			other := life(6)
			other[atConnect].p.(*packets.Connect).ClientID = "d"
			play(w, "a", life(5))
			play(w, "a", other)
		}, "intro-edge-node-id-uniqueness payloads-nbirth-edge-node-descriptor topic-structure-namespace-unique-edge-node-descriptor"},
		{"walks on when its host is offline", func(w *Wire) { play(w, "a", nodeLife()); play(w, "b", life(6)) }, ""},
		{"born although it heard that its host is gone, which it heard elsewhere to be there before", func(w *Wire) {
			watcher, node := w.Open("a"), w.Open("a")
			watcher.Packet(false, hostState(true, 6).p)
			talk := nodeLife()
			talk[atOnline] = hostState(false, 7)
			for _, s := range talk[:atOld] {
				node.Packet(s.toServer, s.p)
			}
		}, waitIDs + " " + waitIDs + "-id " + waitIDs + "-online " + waitIDs + "-timestamp"},
		{"born because it heard elsewhere that its host is back", func(w *Wire) {
			watcher, node := w.Open("a"), w.Open("a")
			talk := nodeLife()
			talk[atOnline] = hostState(false, 7)
			watcher.Packet(false, hostState(true, 8).p)
			for _, s := range talk[:atOld] {
				node.Packet(s.toServer, s.p)
			}
		}, ""},
		{"comes back where it heard elsewhere that its host is offline", func(w *Wire) {
			talk := nodeLife()
			watcher, node := w.Open("a"), w.Open("a")
			for i, s := range talk {
				switch {
				case s.p == nil:
					node.Closed()
				case i != atDeath-1:
					node.Packet(s.toServer, s.p)
				default: // it is gone before its own connection brings the STATE
					watcher.Packet(false, s.p)
				}
			}
			play(w, "a", life(6))
		}, walk},
		{"comes back where its host is offline", func(w *Wire) { play(w, "a", nodeLife()); play(w, "a", life(6)) }, walk},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := NewWire(WireOptions{PrimaryHost: "scada", Servers: 2, Clock: func() time.Time { return t0 }})
			tt.play(w)
			if diff := cmp.Diff(strings.Fields(tt.want), broken(w)); diff != "" && tt.want+strings.Join(broken(w), "") != "" {
				t.Errorf("(-want +broken):\n%s", diff)
			}
		})
	}
}

func TestMatches(t *testing.T) {
	for _, tt := range []struct {
		filter, topic string
		want          bool
	}{
		{"a/b", "a/b", true}, {"a/b", "a/b/c", false}, {"a/b/c", "a/b", false}, {"a/+", "a/b", true}, {"a/+", "a/b/c", false},
		{"a/#", "a", true}, {"a/#", "a/b/c", true}, {"#", "a/b", true}, {"+/b", "a/b", true}, {"+", "a/b", false}, {"a/#", "b", false},
	} {
		if got := matches(tt.filter, tt.topic); got != tt.want {
			t.Errorf("%s %s: %t", tt.filter, tt.topic, got)
		}
	}
}
