package uplink

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"edge/sparkplug"
)

// While no server can be reached the uplink is down, and what is owed has no end in sight, whatever the primary host was.
func TestDownForWantOfAServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		o := quick(s.as())
		o.PrimaryHost = "scada"
		r := newRig(t, o)
		r.start()
		r.alive()
		r.node(1)
		pass(time.Second)
		if st := r.up.Status(); st.State != WaitState || !strings.Contains(st.Reason, "scada") {
			t.Errorf("without STATE: %s, %s", st.State, st.Reason)
		}
		s.cut()
		pass(3 * time.Second)
		if st := r.up.Status(); st.State != Down || st.Owed == 0 || st.Eta != -1 {
			t.Errorf("without a server: %s, %d owed, eta %s", st.State, st.Owed, st.Eta)
		}
	})
}

// Without a primary host the next server is used when one cannot be reached, and when a host asks for it; never two at
// once.
func TestNextServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := newServer(t), newServer(t)
		ca, cb := judge(t, a), judge(t, b)
		r := newRig(t, quick(a.as(), b.as()))
		r.start()
		r.alive()
		r.node(1)
		a.cut()
		pass(time.Second)
		r.node(2)
		pass(time.Second)
		if n := cb.node("g/n"); !n.online || n.bdSeq != 1 {
			t.Errorf("not on the second server: %+v", n)
		}
		a.restore()
		pass(5 * time.Second)
		if n := ca.node("g/n"); n.online {
			t.Error("on two servers")
		}
		p := sparkplug.Payload{Metrics: []sparkplug.Metric{{Name: sparkplug.NameNextServer, Type: sparkplug.Boolean, Value: sparkplug.BoolValue(true)}}}
		b.publish("spBv1.0/g/NCMD/n", sparkplug.Encode(&p), false)
		pass(time.Second)
		if na, nb := ca.node("g/n"), cb.node("g/n"); !na.online || nb.online || na.bdSeq != 2 {
			t.Errorf("it did not move: %+v, %+v", na, nb)
		}
		r.node(3)
		pass(time.Second)
		ca.verdict()
		cb.verdict()
		one, _ := ca.counts()
		two, _ := cb.counts()
		if st := r.up.Status(); one+two != 3 || st.Owed != 0 || st.Delivered != 3 {
			t.Errorf("%d and %d samples, status %+v", one, two, st)
		}
	})
}

// A node that leaves because its host went offline goes to the next server where the host is, also when it is back on the
// server that was left by then. [tck-id-operational-behavior-edge-node-termination-host-offline-reconnect]
func TestNextServerForTheHost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := newServer(t), newServer(t)
		ca, cb := judge(t, a), judge(t, b)
		o := quick(a.as(), b.as())
		o.PrimaryHost, o.StateDebounce = "scada", 10*time.Second
		r := newRig(t, o)
		r.start()
		state := func(s *server, online bool, at int64) {
			m := sparkplug.StateMessage("scada", sparkplug.HostState{Online: online, Timestamp: at})
			s.publish(m.Topic, m.Payload, true)
			synctest.Wait()
		}
		state(a, true, 1000)
		pass(time.Second)
		r.alive()
		state(b, true, 1000)
		state(b, false, 2000)
		state(a, false, 2000)
		pass(time.Second)
		if n := ca.node("g/n"); n.online || n.births != 1 {
			t.Errorf("without its host: %+v", n)
		}
		state(a, true, 3000)
		state(b, true, 3000)
		pass(o.StateDebounce + time.Second)
		if na, nb := ca.node("g/n"), cb.node("g/n"); na.births != 1 || !nb.online {
			t.Errorf("on the server that it left: %+v, on the next: %+v", na, nb)
		}
		r.stop()
		ca.verdict()
		cb.verdict()
	})
}

// A host that was offline and is back before any session has looked was offline all the same: its nodes leave and are born again.
// [tck-id-operational-behavior-edge-node-termination-host-offline]
func TestHostFlaps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		c := judge(t, s)
		o := quick(s.as())
		o.PrimaryHost = "scada"
		r := newRig(t, o)
		r.start()
		on := sparkplug.StateMessage("scada", sparkplug.HostState{Online: true, Timestamp: 1000})
		s.publish(on.Topic, on.Payload, true)
		pass(time.Second)
		r.alive()
		pass(time.Second)
		h := &r.up.hosts
		h.observe(0, sparkplug.HostState{Online: false, Timestamp: 2000}, true, time.Now())
		h.observe(0, sparkplug.HostState{Online: true, Timestamp: 2001}, true, time.Now())
		r.up.wake()
		pass(5 * time.Second)
		if n := c.node("g/n"); n.births != 2 || !n.online {
			t.Errorf("after the flap: %+v", n)
		}
		r.stop()
		c.verdict()
	})
}

// A server's certificate is checked against its name.
func TestTLS(t *testing.T) {
	cert, roots := certificate(t, "enterprise")
	for _, tc := range []struct {
		name, url string
		roots     *x509.CertPool
		trouble   string
	}{
		{"trusted", "mqtts://enterprise", roots, ""},
		{"another name", "mqtts://impostor", roots, "certificate is valid for enterprise, not impostor"},
		{"unknown authority", "mqtts://enterprise", x509.NewCertPool(), "unknown authority"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := newServer(t)
			c := judge(t, s)
			plain := s.as()
			l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{cert}})
			if err != nil {
				t.Fatal(err)
			}
			s.wg.Go(func() {
				for {
					outer, err := l.Accept()
					if err != nil {
						return
					}
					inner, err := plain.Dial(t.Context(), "", "")
					if err != nil {
						_ = outer.Close()
						return
					}
					s.wg.Go(func() { splice(outer, inner) })
				}
			})
			t.Cleanup(func() { _ = l.Close() })
			at := Server{URL: tc.url, TLS: &tls.Config{RootCAs: tc.roots}, Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
				if address != strings.TrimPrefix(tc.url, "mqtts://")+":8883" {
					t.Errorf("dials %s", address)
				}
				return (&net.Dialer{}).DialContext(ctx, network, l.Addr().String())
			}}
			r := newRig(t, quick(at))
			r.start()
			r.birth("g", "n", "", oven[0])
			until(t, "the end of the handshake", func() bool {
				st := r.up.Status()
				return len(st.Nodes) == 1 && (tc.trouble == "" && st.Nodes[0].State == Live || tc.trouble != "" && strings.Contains(st.Nodes[0].Reason, tc.trouble))
			})
			r.stop()
			c.verdict()
			if n := c.node("g/n"); n.births > 0 != (tc.trouble == "") {
				t.Errorf("%d births", n.births)
			}
		})
	}
}

// splice joins two connections until either ends.
func splice(a, b net.Conn) {
	done := make(chan struct{}, 2)
	pump := func(to, from net.Conn) {
		buf := make([]byte, 4096)
		for {
			n, err := from.Read(buf)
			if err == nil {
				_, err = to.Write(buf[:n])
			}
			if err != nil {
				break
			}
		}
		_ = a.Close()
		_ = b.Close()
		done <- struct{}{}
	}
	go pump(a, b)
	go pump(b, a)
	<-done
	<-done
}

// certificate makes one for a name, valid in the bubble's time and now, and its pool.
func certificate(t *testing.T, name string) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: time.Unix(0, 0), NotAfter: time.Unix(4_000_000_000, 0), IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(leaf)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}, pool
}
