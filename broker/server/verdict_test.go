package server

import (
	"testing"

	"edge/broker"
	"edge/broker/brokertest"
	"edge/broker/packets"
)

// tapAll is a tap that wants everything.
type tapAll struct{}

func (tapAll) Message(*broker.Message) (broker.Index, error) { return 0, nil }
func (tapAll) Session(broker.SessionEvent)                   {}

// TestVerdict: what a publisher is told of a message that nobody matched, that nobody had room for, or that could not be retained.
func TestVerdict(t *testing.T) {
	const noMatch, quota = packets.NoMatchingSubscribers, packets.QuotaExceeded
	for name, c := range map[string]struct {
		topic   string
		retain  bool
		tap     bool
		want    packets.ReasonCode
		matched string // who else subscribes to full/#
	}{
		"nobody":                        {topic: "none", want: noMatch},
		"nobody, retained":              {topic: "none", retain: true, want: packets.Success},
		"nobody, a tap":                 {topic: "none", tap: true, want: packets.Success},
		"one that is full":              {topic: "full/a", want: quota},
		"one that is full, a tap":       {topic: "full/a", tap: true, want: packets.Success},
		"one that is full, one not":     {topic: "full/a", matched: "other", want: packets.Success},
		"one that is full, QoS 0 to it": {topic: "zero", want: packets.Success},
		"not retained":                  {topic: "too-much", retain: true, want: quota},
		"removed, though full":          {topic: "kept", retain: true, want: packets.Success},
	} {
		for qos := byte(1); qos <= 2; qos++ {
			for _, disk := range []bool{false, true} {
				t.Run(name+map[bool]string{true: " on disk", false: " in memory"}[disk]+map[byte]string{1: " QoS 1", 2: " QoS 2"}[qos], func(t *testing.T) {
					both(t, func(t *testing.T, way path) {
						r := &rig{store: &brokertest.Store{}, limits: Limits{QueueMessages: 1}, keeps: 1}
						if c.tap {
							r.taps = []broker.Tap{tapAll{}}
						}
						r.over(way).start(t)
						expiry := uint32(0)
						if disk {
							expiry = 100
						}
						pub := connectAs(t, r, &packets.Connect{Version: packets.V5, ClientID: "pub", SessionExpiry: expiry})
						kept := &packets.Publish{Topic: "kept", QoS: 1, Retain: true, Payload: []byte("x")}
						if c.retain && c.topic == "none" {
							kept.Payload = nil
						}
						pub.Publish(kept)
						full := connectAs(t, r, &packets.Connect{Version: packets.V5, ClientID: "full", SessionExpiry: expiry, ReceiveMaximum: 1})
						full.Subscribe("full/#", 1)
						full.Subscribe("zero", 0)
						for range 2 {
							pub.Publish(&packets.Publish{Topic: "full/x", QoS: 1})
						}
						if c.matched != "" {
							r.client(packets.V5, c.matched, true).Subscribe("full/#", 1)
						}
						p := &packets.Publish{Topic: c.topic, QoS: qos, Retain: c.retain, Payload: []byte("y"), PacketID: 77}
						if c.topic == "kept" {
							p.Payload = nil
						}
						if got := pub.Publish(p); got != c.want {
							t.Errorf("answered %v, want %v", got, c.want)
						}
						if c.want.Failed() && qos == 2 { // its identifier is free, now and after a crash [MQTT-4.3.3-9]
							pub.Send(&packets.Pubrel{PacketID: 77})
							pub.Expect(&packets.Pubcomp{PacketID: 77, Code: packets.PacketIdentifierNotFound})
							r.quiet()
							for _, snap := range r.sessions() {
								if len(snap.Received) > 0 {
									t.Errorf("%s keeps %v", snap.ClientID, snap.Received)
								}
							}
						}
					})
				})
			}
		}
	}
}

// TestReasonStrings: why is told in words, in every packet unless the client asked for none [MQTT-3.1.2-29], and where its Maximum Packet
// Size leaves room [MQTT-3.2.2-19] [MQTT-3.4.2-2] [MQTT-3.14.2-3].
func TestReasonStrings(t *testing.T) {
	for name, c := range map[string]struct {
		none               bool
		max                uint32
		puback, disconnect string
	}{
		"told":        {puback: "more topic levels than allowed", disconnect: "wildcard in a topic name"},
		"not told":    {none: true, disconnect: "wildcard in a topic name"},
		"no room":     {max: 30},
		"room enough": {max: 40, puback: "more topic levels than allowed", disconnect: "wildcard in a topic name"},
	} {
		t.Run(name, func(t *testing.T) {
			both(t, func(t *testing.T, way path) {
				r := (&rig{limits: Limits{TopicLevels: 2}}).over(way).start(t)
				k := connectAs(t, r, &packets.Connect{Version: packets.V5, ClientID: "c", CleanStart: true, NoProblemInformation: c.none, MaximumPacketSize: c.max})
				k.Send(&packets.Publish{Topic: "a/b/c", QoS: 1, PacketID: 1})
				k.Expect(&packets.Puback{PacketID: 1, Code: packets.TopicNameInvalid, ReasonString: c.puback})
				k.SendRaw([]byte{0x30, 4, 0, 1, '#', 0}) // PUBLISH #
				k.Expect(&packets.Disconnect{Code: packets.TopicNameInvalid, ReasonString: c.disconnect})
			})
		})
	}
	both(t, func(t *testing.T, way path) {
		r := (&rig{auth: rules{}, limits: Limits{Clients: 1}}).over(way).start(t)
		r.client(packets.V5, "one", true)
		for id, why := range map[string]string{"two": "as many clients as allowed are connected", "$x": "client identifier too long or begins with $"} {
			k := brokertest.NewClient(t, r.dial(), packets.V5)
			k.Send(&packets.Connect{Version: packets.V5, ClientID: id})
			if ack := brokertest.Expect[*packets.Connack](k); ack.ReasonString != why {
				t.Errorf("%s is told %q", id, ack.ReasonString)
			}
		}
		k := brokertest.NewClient(t, r.dial(), packets.V5)
		k.Send(&packets.Connect{Version: packets.V5, ClientID: "c", Will: &packets.Will{Topic: "$SYS/x"}})
		if ack := brokertest.Expect[*packets.Connack](k); ack.Code != packets.NotAuthorized || ack.ReasonString != "" {
			t.Errorf("what is not allowed: %+v", ack)
		}
	})
}
