package main

import (
	"fmt"
	"testing"
	"time"

	"edge/broker"
	"edge/broker/brokertest"
	"edge/broker/packets"
	"edge/sparkplug"
)

// at is where a fault is looked for: the metric of the device, unless it says otherwise.
type fault struct {
	name    string
	do      func(p *patient)
	at      sparkplug.MetricRef
	quality string // of a node or device: its state
	cause   string // whole, without times; its first line is the operator's answer
}

const (
	dead = "device D1 dead: node {N}'s "
	c1   = "client {N}-c at 127.0.0.1"
	c2   = "client {N}-x at 127.0.0.1"
)

// faults are what goes wrong in a plant, and what the appliance has to say about it.
var faults = []fault{
	{"keep-alive timeout", func(p *patient) {
		p.lives(p.name+"-c", func(c *packets.Connect) { c.KeepAlive = 1 })
	}, metricT, "stale", dead + "will fired: keep-alive timeout of " + c1},
	{"socket closed", func(p *patient) { p.lives(p.name + "-c").Close() },
		metricT, "stale", dead + "will fired: lost connection of " + c1},
	{"socket reset", func(p *patient) { p.lives(p.name + "-c").reset() },
		metricT, "stale", dead + "will fired: lost connection of " + c1},
	{"clean disconnect without NDEATH", func(p *patient) { p.lives(p.name + "-c").Send(&packets.Disconnect{}) },
		metricT, "stale", dead + "client left without NDEATH: clean disconnect of " + c1},
	{"NDEATH, then disconnect", func(p *patient) {
		s := p.lives(p.name + "-c")
		s.dies()
		s.Send(&packets.Disconnect{})
	}, metricT, "stale", dead + "NDEATH was published by its " + c1},
	{"disconnect with will", func(p *patient) { p.lives(p.name + "-c").Send(&packets.Disconnect{Code: packets.DisconnectWithWill}) },
		metricT, "stale", dead + "will fired: " + c1 + " disconnected and asked for its will"},
	{"no will, connection lost", func(p *patient) {
		p.lives(p.name+"-c", func(c *packets.Connect) { c.Will = nil }).Close()
	}, metricT, "stale", dead + "client is gone and no will came: lost connection of " + c1},
	{"taken over by the same client identifier", func(p *patient) {
		p.lives(p.name + "-c")
		p.joins(p.name + "-c")
	}, metricT, "stale", dead + "will fired: take-over of " + c1 + " by another connection; " + c1 + " is connected and has sent no NBIRTH"},
	{"second client with the same node id", func(p *patient) {
		p.lives(p.name + "-c")
		p.joins(p.name + "-x")
	}, metricT, "good", "two clients speak for node {N}, " + c1 + " and " + c2},
	{"second client publishes data", func(p *patient) {
		p.lives(p.name + "-c")
		x := p.joins(p.name+"-x", func(c *packets.Connect) { c.Will = nil })
		x.seq = 2
		x.says(sparkplug.NDATA, "", double("V", 9))
	}, metricV, "uncertain", "the value was published by client {N}-x, which is not that of node {N}'s births; " +
		"two clients speak for node {N}, " + c1 + " and " + c2},
	{"second client publishes a device's death", func(p *patient) {
		p.lives(p.name + "-c")
		x := p.joins(p.name+"-x", func(c *packets.Connect) { c.Will = nil })
		x.seq = 2
		x.says(sparkplug.DDEATH, "D1")
	}, metricT, "stale", dead + "DDEATH was published by " + c2 + ", which is not its " + c1},
	{"lost before the birth", func(p *patient) { p.joins(p.name + "-c").Close() },
		theNode, "offline", "node {N} dead | its will fired | lost connection of " + c1},
	{"birth that is a will", func(p *patient) {
		birth := sparkplug.Payload{Timestamp: sparkplug.Millis(time.Now()), HasTimestamp: true, HasSeq: true, Metrics: []sparkplug.Metric{double("V", 1)}}
		p.joins(p.name+"-c", func(c *packets.Connect) {
			c.Will.Topic, c.Will.Payload = "spBv1.0/"+faultGroup+"/NBIRTH/"+p.name, sparkplug.Encode(&birth)
		}).Close()
	}, metricV, "stale", "node {N} dead: its client is gone and no will came: connection of client {N}-c ended: it was gone before its NBIRTH came"},
	{"NDEATH of a client that is not the node", func(p *patient) {
		p.lives(p.name + "-c")
		p.joins(p.name+"-x", func(c *packets.Connect) { c.Will = nil }).dies()
	}, metricT, "stale", dead + "NDEATH was published by " + c2 + ", which is not its " + c1},
	{"late will of a client before it, bdSeq stuck", func(p *patient) {
		old := p.lives(p.name + "-x")
		p.lives2(p.name + "-c")
		old.Close()
	}, metricT, "good", ""},
	{"disconnected by an administrator", func(p *patient) {
		p.lives(p.name + "-c")
		p.app.pipeline.server.Disconnect(p.name+"-c", broker.ReasonAdmin)
	}, metricT, "stale", dead + "will fired: an administrator disconnected " + c1},
	{"malformed packet", func(p *patient) {
		p.lives(p.name + "-c").SendRaw([]byte{0x36, 0x00}) // PUBLISH of QoS 3
	}, metricT, "stale", dead + "will fired: protocol error of " + c1 + ": reserved packet type or fixed header flags"},
	{"packet above the limit", func(p *patient) {
		p.lives(p.name + "-c").SendRaw([]byte{0x30, 0xff, 0xff, 0xff, 0x7f})
	}, metricT, "stale", dead + "will fired: protocol error of " + c1 + ": packet is longer than the limit"},
	{"refused afterwards", func(p *patient) {
		p.lives(p.name + "-c").Close()
		p.shows(metricT, "stale", dead+"will fired: lost connection of "+c1)
		for range 3 {
			s := p.dials(p.app.mqtt[1].Addr().String())
			s.connect(p.name+"-c", func(c *packets.Connect) {
				c.HasUsername, c.Username, c.HasPassword, c.Password = true, p.name, true, []byte("wrong")
			})
			brokertest.Expect[*packets.Connack](s.Client)
		}
	}, metricT, "stale", dead + "will fired: lost connection of " + c1 + "; " + c1 + " was refused: wrong user name or password, 3 times"},
	{"comes and goes", func(p *patient) {
		for range 5 {
			s := p.joins(p.name + "-c")
			s.nbirth()
			s.says(sparkplug.DBIRTH, "D1", double("T", 20))
			p.becomes("online")
			s.Close()
			p.becomes("offline")
		}
	}, metricT, "stale", dead + "will fired: lost connection of " + c1 + "; its clients connected 5 times"},
	{"device lost", func(p *patient) { p.lives(p.name+"-c").says(sparkplug.DDEATH, "D1") },
		metricT, "stale", dead + "DDEATH was published by " + c1},
	{"device not born again", func(p *patient) { p.lives(p.name + "-c").nbirth() },
		metricT, "stale", "device D1 dead: its node was born again, without a DBIRTH of it since"},
	{"birth lost", func(p *patient) {
		s := p.joins(p.name + "-c")
		s.seq = 5
		s.says(sparkplug.NDATA, "", double("V", 2))
	}, theNode, "unknown", "node {N} heard without a birth | a rebirth was asked and not answered (NDATA before a birth)"},
	{"no birth yet", func(p *patient) { p.joins(p.name + "-c") },
		theNode, "unknown", "node {N} heard without a birth | " + c1 + " is connected and has sent no NBIRTH"},
	{"sequence gap, no rebirth", func(p *patient) {
		s := p.lives(p.name + "-c")
		s.seq += 2
		s.says(sparkplug.NDATA, "", double("V", 3))
	}, metricT, "uncertain", "a message of node {N} was lost and it was not born again: sequence gap: expected 2, got 4; " +
		"a rebirth was asked and not answered"},
	{"sequence gap, then rebirth", func(p *patient) {
		s := p.lives(p.name + "-c")
		s.seq++
		s.says(sparkplug.NDATA, "", double("V", 3))
		p.shows(metricT, "uncertain", "a message of node {N} was lost and it was not born again: sequence gap: expected 2, got 3; "+
			"a rebirth was asked and not answered")
		s.born()
	}, metricT, "good", ""},
	{"unknown alias", func(p *patient) {
		p.lives(p.name+"-c").says(sparkplug.NDATA, "", sparkplug.Metric{Alias: 99, HasAlias: true, Value: sparkplug.DoubleValue(1)})
	}, metricT, "good", "a rebirth was asked and not answered (alias 99 in NDATA is not in the birth)"},
	{"garbage", func(p *patient) { p.lives(p.name+"-c").raw(sparkplug.NDATA, "", []byte("{\"not\": \"protobuf\"}")) },
		metricT, "uncertain", "a message of node {N} was lost and it was not born again: NDATA cannot be decoded: " +
			"not a Sparkplug payload: …"},
	{"another datatype in data", func(p *patient) {
		s := p.lives(p.name + "-c")
		s.says(sparkplug.DDATA, "D1", sparkplug.Metric{Name: "T", Type: sparkplug.String, Value: sparkplug.StringValue("warm")})
	}, metricT, "uncertain", "its newest value does not fit the Double of its birth and was not taken; " +
		`a rebirth was asked and not answered (metric "T": Double …`},
	{"null", func(p *patient) {
		p.lives(p.name+"-c").says(sparkplug.DDATA, "D1", sparkplug.Metric{Name: "T", Value: sparkplug.Value{Null: true}})
	}, metricT, "null", "the device says null"},
	{"Quality bad", func(p *patient) { p.lives(p.name+"-c").says(sparkplug.DDATA, "D1", quality(double("T", 1), 0)) },
		metricT, "bad", "the device says bad: its Quality property is 0"},
	{"Quality stale", func(p *patient) { p.lives(p.name+"-c").says(sparkplug.DDATA, "D1", quality(double("T", 1), 500)) },
		metricT, "stale", "the device says stale: its Quality property is 500"},
	{"clock ahead", func(p *patient) { p.joins(p.name + "-c").wrong(2 * time.Hour) },
		metricT, "good", "the value's time is 2 h ahead of the appliance's clock; the clock of node {N} is 2 h ahead of the appliance's"},
	{"clock behind", func(p *patient) { p.joins(p.name + "-c").wrong(-72 * time.Hour) },
		metricT, "good", "the clock of node {N} is 3 d behind the appliance's"},
	{"one alias for two metrics", func(p *patient) {
		a, b := double("A", 1), double("B", 2)
		a.Alias, a.HasAlias, b.Alias, b.HasAlias = 7, true, 7, true
		p.joins(p.name+"-c").nbirth(a, b)
	}, sparkplug.MetricRef{Name: "B"}, "uncertain", "alias 7 stands for this and another metric: the value may be the other's"},
	{"birth without a value", func(p *patient) {
		p.joins(p.name + "-c").nbirth(sparkplug.Metric{Name: "E", Type: sparkplug.Double, Missing: true})
	}, sparkplug.MetricRef{Name: "E"}, "never", "its birth brought no value"},
	{"birth with a historical value", func(p *patient) {
		h := double("H", 1)
		h.Historical = true
		p.joins(p.name + "-c").nbirth(h)
	}, sparkplug.MetricRef{Name: "H"}, "never", "its birth brought no live value, only a historical one"},
	{"birth that is too large", func(p *patient) { p.joins(p.name + "-c").nbirth(flags(50_010)...) },
		theNode, "unknown", "node {N} heard without a birth | a rebirth was asked and not answered (NBIRTH cannot be decoded: exceeds a limit: metrics over 50000)"},
}

// flags are metrics that take few bytes.
func flags(n int) []sparkplug.Metric {
	all := make([]sparkplug.Metric, n)
	for i := range all {
		all[i] = sparkplug.Metric{Name: fmt.Sprint(i), Type: sparkplug.Boolean, Value: sparkplug.BoolValue(true)}
	}
	return all
}

// quality returns the metric with a Quality property.
func quality(m sparkplug.Metric, code int64) sparkplug.Metric {
	m.Properties = []sparkplug.Property{{Key: "Quality", Value: sparkplug.Int64Value(sparkplug.Int32, code)}}
	return m
}

// wrong sends births as a node does whose clock is wrong.
func (s *speaker) wrong(by time.Duration) {
	s.clock = by
	s.nbirth()
	s.says(sparkplug.DBIRTH, "D1", double("T", 20))
}

// lives2 is lives for a node that another client has given births already.
func (p *patient) lives2(id string) *speaker {
	s := p.joins(id)
	s.nbirth()
	s.says(sparkplug.DBIRTH, "D1", double("T", 20))
	p.shows(metricT, "good", "two clients speak for node {N}, client "+id+" at 127.0.0.1 and "+c2)
	return s
}

func (p *patient) becomes(state string) {
	p.Helper()
	eventually(p.T, patience, "the node is "+state, func() bool { n, _ := p.app.node(p.T, faultGroup, p.name); return n.State == state })
}

// Each fault is told with its true cause: the first line for whoever has to act, and what it comes from.
func TestFaultsTellWhy(t *testing.T) {
	t.Parallel()
	app := startApp(t, t.TempDir(), appOptions{}, func(c *Config) {
		c.Sparkplug.ReorderTimeout = Duration(200 * time.Millisecond)
		c.Broker.Listeners = append(c.Broker.Listeners, ListenerConfig{Name: "locked", Address: "127.0.0.1:0", Transport: "tcp"})
	})
	t.Run("all", func(t *testing.T) {
		for i, f := range faults {
			t.Run(f.name, func(t *testing.T) {
				t.Parallel()
				p := &patient{t, app, fmt.Sprintf("n%02d", i)}
				f.do(p)
				p.shows(f.at, f.quality, f.cause)
			})
		}
	})
}
