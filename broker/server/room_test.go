package server

import (
	"io"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"edge/broker/brokertest"
	"edge/broker/packets"
)

// TestRoomComesWhileItIsLookedFor lets a slow subscriber read everything at the moment at which a delivery has seen that there is no
// room and has not said yet that it waits for some: nobody would wake it, so it has to look again.
func TestRoomComesWhileItIsLookedFor(t *testing.T) {
	in(t, func(t *testing.T) { // a pipe writes when its reader reads
		var between atomic.Pointer[func()]
		r := (&rig{limits: Limits{OutBytes: 300}, now: func() time.Time {
			if f := between.Load(); f != nil {
				(*f)()
			}
			return time.Now()
		}}).start(t)

		sub := r.dial()
		sub.SetDeadline(time.Now().Add(time.Minute))
		sub.Write((&packets.Connect{Version: packets.V4, ClientID: "sub", CleanStart: true}).Append(nil, packets.V4))
		sub.Write((&packets.Subscribe{PacketID: 1, Filters: []packets.Subscription{{Filter: "a", QoS: 1}}}).Append(nil, packets.V4))
		if _, err := io.ReadFull(sub, make([]byte, 4+5)); err != nil {
			t.Fatal(err)
		}
		pub := r.client(packets.V4, "pub", true)
		message := &packets.Publish{Topic: "a", QoS: 1, PacketID: 1, Payload: make([]byte, 200)}
		length := len(message.Append(nil, packets.V4))
		for range 2 { // the first is being written, the second fills the outbox
			pub.Send(message)
			brokertest.Expect[*packets.Puback](pub)
		}

		drained, read := make(chan struct{}), make(chan error, 1)
		go func() {
			<-drained
			_, err := io.ReadFull(sub, make([]byte, 3*length))
			read <- err
		}()
		r.Server.mu.Lock()
		cl := r.Server.clients["sub"]
		r.Server.mu.Unlock()
		hook := func() {
			if cl.mu.TryLock() { // this is not the delivery
				cl.mu.Unlock()
				return
			}
			between.Store(nil)
			close(drained)
			synctest.Wait() // until all is written, and the writer has gone to sleep
		}
		synctest.Wait() // tickLoop looks at its clients now and then, and would want the lock
		between.Store(&hook)
		pub.Send(message)
		if err := <-read; err != nil {
			t.Errorf("the third message: %v", err)
		}
		if between.Load() != nil {
			t.Error("no delivery looked for room")
		}
		sub.Close()
	})
}
