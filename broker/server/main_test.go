package server

import (
	"context"
	"log/slog"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"edge/broker"
	"edge/broker/brokertest"
	"edge/broker/packets"
	"edge/broker/router"
	"edge/broker/session"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// rig is a server in a test: time is the test's. Its connections are pipes, or what over says.
type rig struct {
	t       testing.TB
	Server  *Server
	router  *router.Router
	store   *brokertest.Store // nil: in memory
	durable Durable           // nil: store
	limits  Limits
	portion int    // as router.Options.Portion
	goes    int    // as router.Options.Deliveries
	fast    bool   // as Options.Fast
	keeps   int    // retained messages at most; 0: no limit
	loops   int    // as Options.Loops
	answers string // as Options.ResponsePrefix
	auth    Auth
	log     *slog.Logger
	now     func() time.Time // nil: time.Now
	taps    []broker.Tap
	gates   []broker.Gate
	started bool
	clock   *fakeClock // of event loops, nil: connections are pipes
	address string     // that they listen at
	ends    *ends      // of connections to the server that runs
}

// start makes the server and has it shut down at the end of the test.
func (r *rig) start(t testing.TB) *rig {
	r.t = t
	o := router.Options{RetainedMessages: r.keeps, Taps: r.taps, Gates: r.gates, Portion: r.portion, Deliveries: r.goes}
	so := Options{Limits: r.limits, Loops: r.loops, ResponsePrefix: r.answers, Auth: r.auth, Log: r.log, Now: r.now}
	if r.store != nil {
		o.Store, so.Store, so.Durable = r.store, r.store, r.store
		if r.durable != nil {
			so.Durable = r.durable
		}
		o.Retained = r.retained()
		so.Sessions, so.Fast = r.sessions(), r.fast
	}
	r.router = router.New(o)
	so.Router = r.router
	if r.clock != nil {
		so.KeepProcessor = r.loops <= 1 && runtime.GOMAXPROCS(0) > 1 // more would take all processors of a small machine
		so.Now = r.clock.Now
	}
	r.Server = New(so)
	if r.clock != nil {
		r.startListening()
	}
	if !r.started {
		r.started = true
		t.Cleanup(r.stop)
	}
	return r
}

func (r *rig) stop() {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := r.Server.Shutdown(ctx); err != nil {
		r.t.Errorf("shutdown: %v", err)
	}
}

// client connects.
func (r *rig) client(v packets.Version, id string, clean bool) *brokertest.Client {
	r.t.Helper()
	c := brokertest.NewClient(r.t, r.dial(), v)
	c.Connect(id, clean)
	return c
}

// sessions are what a store would hold: the changes applied, as after a crash.
func (r *rig) sessions() []session.Snapshot {
	byID := make(map[string]*session.Snapshot)
	for _, c := range r.store.Changes() {
		switch c.Kind {
		case session.Created:
			byID[c.ClientID] = &session.Snapshot{}
		case session.Ended:
			delete(byID, c.ClientID)
			continue
		}
		if s := byID[c.ClientID]; s != nil {
			s.Apply(&c)
		}
	}
	var list []session.Snapshot
	for _, s := range byID {
		list = append(list, *s)
	}
	return list
}

func (r *rig) retained() []*broker.Message {
	byTopic := make(map[string]*broker.Message)
	for _, m := range r.store.Retained() {
		byTopic[string(m.Topic)] = m
	}
	var list []*broker.Message
	for _, m := range byTopic {
		list = append(list, m)
	}
	return list
}

// restart stops the server and starts another on the same store.
func (r *rig) restart() {
	r.stop()
	r.start(r.t)
}

// TestScripts runs the conversations of testdata.
func TestScripts(t *testing.T) {
	bubble := func(t *testing.T, run func(*testing.T)) { synctest.Test(t, run) }
	brokertest.RunIn(t, "testdata/*.txt", bubble, func(t *testing.T) brokertest.Broker {
		r := (&rig{store: &brokertest.Store{}}).start(t)
		return brokertest.Broker{Dial: r.dial, Advance: pass, Restart: r.restart}
	})
}

// in runs f in a bubble, where waiting costs no time.
func in(t *testing.T, f func(t *testing.T)) {
	t.Helper()
	synctest.Test(t, f)
}

// pass lets time pass in a bubble until everything that is due has been done.
func pass(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}
