package server

import (
	"fmt"
	"io"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"edge/broker/brokertest"
	"edge/broker/packets"
	"edge/broker/session"
)

// TestStorm has clients with few identifiers connect, take over, subscribe, publish, acknowledge or not, and leave in any
// way, all at once and with the journal committing now and then. Nothing hangs; what the store was told is what the server holds; when all have gone and their sessions have
// expired nothing is left.
func TestStorm(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	both(t, func(t *testing.T, way path) {
		r := (&rig{store: &brokertest.Store{}, limits: Limits{Inflight: 3, QueueMessages: 20, OutBytes: 2000, ReceiveMaximum: 10}}).over(way).start(t)
		var wg sync.WaitGroup
		for worker := range uint64(8) {
			wg.Go(func() {
				rnd := rand.New(rand.NewPCG(seed, worker))
				for range 60 {
					storm(r, rnd)
				}
			})
		}
		wg.Wait()
		r.pass(5 * time.Second)
		byID := cmpopts.SortSlices(func(a, b session.Snapshot) bool { return a.ClientID < b.ClientID })
		if diff := cmp.Diff(r.sessions(), r.Server.Snapshots(), byID, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("what the store has and what the server has (-store +server):\n%s", diff)
		}
		r.pass(25 * time.Hour)
		st := r.Server.Stats()
		if st.Clients+st.Sessions+st.Subscriptions != 0 || r.Server.sessionLimits.Total.Used() != 0 {
			t.Errorf("left behind: %+v, %d bytes", st, r.Server.sessionLimits.Total.Used())
		}
		if left := r.sessions(); len(left) != 0 {
			t.Errorf("%d sessions left in the store", len(left))
		}
		if _, conns := r.held(); conns != 0 {
			t.Errorf("%d connections", conns)
		}
	})
}

// storm is the life of one connection.
func storm(r *rig, rnd *rand.Rand) {
	v := packets.V4 + packets.Version(rnd.IntN(2))
	conn := r.dial()
	defer conn.Close()
	var reader sync.WaitGroup
	reader.Go(func() { io.Copy(io.Discard, conn) })
	defer reader.Wait()
	defer conn.Close()
	id := func() uint16 { return uint16(1 + rnd.IntN(4)) }
	name := func() string { return fmt.Sprint("t/", rnd.IntN(3)) }
	connect := &packets.Connect{Version: v, ClientID: fmt.Sprint("c", rnd.IntN(4)), CleanStart: rnd.IntN(2) == 0, SessionExpiry: uint32(rnd.IntN(2) * 100)}
	if rnd.IntN(2) == 0 {
		connect.Will = &packets.Will{Topic: name(), QoS: byte(rnd.IntN(3)), Delay: uint32(rnd.IntN(2))}
	}
	list := []packets.Packet{connect}
	for range rnd.IntN(20) {
		switch rnd.IntN(9) {
		case 0:
			list = append(list, &packets.Subscribe{PacketID: id(), Filters: []packets.Subscription{{Filter: "t/+", QoS: byte(rnd.IntN(3))}, {Filter: name(), QoS: 1}}})
		case 1:
			list = append(list, &packets.Unsubscribe{PacketID: id(), Filters: []string{"t/+"}})
		case 2:
			list = append(list, &packets.Puback{PacketID: id()})
		case 3:
			list = append(list, &packets.Pubrec{PacketID: id()})
		case 4:
			list = append(list, &packets.Pubcomp{PacketID: id()})
		case 5:
			list = append(list, &packets.Pubrel{PacketID: id()})
		case 6:
			list = append(list, &packets.Subscribe{PacketID: id(), Filters: []packets.Subscription{{Filter: "$share/g/t/#", QoS: 2}}})
		default:
			p := &packets.Publish{Topic: name(), QoS: byte(rnd.IntN(3)), Retain: rnd.IntN(3) == 0, Payload: make([]byte, rnd.IntN(3000))}
			if p.QoS > 0 {
				p.PacketID = id()
			}
			list = append(list, p)
		}
	}
	if rnd.IntN(2) == 0 {
		list = append(list, &packets.Disconnect{})
	}
	for _, p := range list {
		if _, err := conn.Write(p.Append(nil, v)); err != nil {
			return // taken over, or disconnected
		}
	}
}

// FuzzConnection sends any bytes behind a CONNECT: the connection may end, the server does not, and forgets it.
func FuzzConnection(f *testing.F) {
	for _, p := range []packets.Packet{
		&packets.Publish{Topic: "a", QoS: 2, PacketID: 1, Payload: []byte("x"), Properties: &packets.PublishProperties{ContentType: "t"}},
		&packets.Subscribe{PacketID: 1, Filters: []packets.Subscription{{Filter: "#", QoS: 2}}},
		&packets.Unsubscribe{PacketID: 1, Filters: []string{"#"}}, &packets.Pubrel{PacketID: 1}, &packets.Pubrec{PacketID: 1},
		&packets.Pubcomp{PacketID: 1}, &packets.Puback{PacketID: 1}, &packets.Pingreq{}, &packets.Disconnect{Code: 4},
	} {
		f.Add(p.Append(nil, packets.V4), false)
		f.Add(p.Append(nil, packets.V5), true)
	}
	f.Add([]byte{0x82, 6, 0, 1, 0, 1, '#', 2, 0x34, 5, 0, 1, 'a', 0, 1, 0x62, 2, 0, 1}, false)
	f.Fuzz(func(t *testing.T, raw []byte, v5 bool) {
		v := packets.V4
		if v5 {
			v = packets.V5
		}
		synctest.Test(t, func(t *testing.T) {
			r := (&rig{store: &brokertest.Store{}}).start(t)
			watcher := r.client(packets.V5, "watcher", true)
			c := r.client(v, "c", true)
			c.TrySendRaw(raw)
			synctest.Wait()
			c.Close()
			synctest.Wait()
			watcher.ExpectNothing()
			if st := r.Server.Stats(); st.Clients != 1 || st.Subscriptions != 0 {
				t.Errorf("left behind: %+v", st)
			}
		})
	})
}
