package server

import (
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/xdg-go/scram"

	"edge/broker/auth"
	"edge/broker/brokertest"
	"edge/broker/packets"
)

const plantPassword = "correct horse"

// plantVerifier and plantHash take some time to make.
var (
	plantVerifier = sync.OnceValues(func() (string, error) { return auth.ScramVerifier([]byte(plantPassword), auth.MinIterations) })
	plantHash     = sync.OnceValue(func() string { return auth.HashPassword([]byte(plantPassword)) })
)

// plantPolicy knows press and scada, who log in by SCRAM, old, who has no verifier, and line1 with its own client identifier.
func plantPolicy(t *testing.T) *auth.Policy {
	t.Helper()
	verifier, err := plantVerifier()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	users, rules := filepath.Join(dir, "users.yaml"), filepath.Join(dir, "acl.yaml")
	err = auth.WriteUsers(users, []auth.User{
		{Name: "press", Scram: verifier}, {Name: "scada", Scram: verifier}, {Name: "line1", Client: "line1", Scram: verifier},
		{Name: "old", Hash: plantHash()},
	})
	if err != nil {
		t.Fatal(err)
	}
	text := "rules: [{user: \"*\", publish: [\"plant/#\"], subscribe: [\"plant/#\"]}]\n"
	if err := os.WriteFile(rules, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	p, err := auth.Load(users, rules)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// talk is a client's half of an exchange, by a library that others wrote.
func talk(t *testing.T, user, password string) *scram.ClientConversation {
	t.Helper()
	c, err := scram.SHA256.NewClient(user, password, "")
	if err != nil {
		t.Fatal(err)
	}
	return c.NewConversation()
}

// say returns the data of the client's next packet.
func say(t *testing.T, c *scram.ClientConversation, heard []byte) []byte {
	t.Helper()
	text, err := c.Step(string(heard))
	if err != nil {
		t.Fatal(err)
	}
	return []byte(text)
}

// scramConnect is a CONNECT with client-first in it.
func scramConnect(id string, first []byte) *packets.Connect {
	return &packets.Connect{Version: packets.V5, ClientID: id, CleanStart: true, AuthMethod: auth.ScramSHA256, AuthData: first}
}

func more(data []byte) *packets.Auth {
	return &packets.Auth{Code: packets.ContinueAuthentication, Method: auth.ScramSHA256, Data: data}
}

// expectMore is the server's AUTH 0x18 with the method of CONNECT.
func expectMore(t *testing.T, k *brokertest.Client) []byte {
	t.Helper()
	a := brokertest.Expect[*packets.Auth](k)
	if a.Code != packets.ContinueAuthentication || a.Method != auth.ScramSHA256 {
		t.Fatalf("AUTH %v with method %q", a.Code, a.Method)
	}
	return a.Data
}

// logIn connects a user by SCRAM.
func logIn(t *testing.T, r *rig, id, user string) *brokertest.Client {
	t.Helper()
	k, c := brokertest.NewClient(t, r.dial(), packets.V5), talk(t, user, plantPassword)
	k.Send(scramConnect(id, say(t, c, nil)))
	k.Send(more(say(t, c, expectMore(t, k))))
	ack := brokertest.Expect[*packets.Connack](k)
	if ack.Code != packets.Success || ack.AuthMethod != auth.ScramSHA256 {
		t.Fatalf("CONNACK %v with method %q", ack.Code, ack.AuthMethod)
	}
	if say(t, c, ack.AuthData); !c.Valid() {
		t.Fatal("the client does not know the server")
	}
	return k
}

// TestScramLogin: CONNECT, AUTH there and back, CONNACK; the client has the rights of its user. [MQTT-4.12.0-2] [MQTT-4.12.0-3] [MQTT-4.12.0-5]
func TestScramLogin(t *testing.T) {
	both(t, func(t *testing.T, way path) {
		r := (&rig{auth: plantPolicy(t)}).over(way).start(t)
		k := logIn(t, r, "c", "press")
		if info := r.Server.Clients(); len(info) != 1 || info[0].User != "press" {
			t.Errorf("clients %+v", info)
		}
		if a, b := k.Subscribe("plant/x", 0), k.Subscribe("other", 0); a != packets.Success || b != packets.NotAuthorized {
			t.Errorf("SUBACK %v, %v", a, b)
		}
		first := talk(t, "scada", plantPassword) // takes nobody's session over
		k2 := brokertest.NewClient(t, r.dial(), packets.V5)
		k2.Send(scramConnect("c", say(t, first, nil)))
		k2.Send(more(say(t, first, expectMore(t, k2))))
		if ack := brokertest.Expect[*packets.Connack](k2); ack.Code != packets.NotAuthorized {
			t.Errorf("another user's session: CONNACK %v", ack.Code)
		}
		k.ExpectNothing()
	})
}

// TestScramAsked: a CONNECT without data is asked for it.
func TestScramAsked(t *testing.T) {
	both(t, func(t *testing.T, way path) {
		r := (&rig{auth: plantPolicy(t)}).over(way).start(t)
		k, c := brokertest.NewClient(t, r.dial(), packets.V5), talk(t, "press", plantPassword)
		k.Send(scramConnect("c", nil))
		if data := expectMore(t, k); len(data) != 0 {
			t.Errorf("asked with %q", data)
		}
		k.Send(more(say(t, c, nil)))
		k.Send(more(say(t, c, expectMore(t, k))))
		if ack := brokertest.Expect[*packets.Connack](k); ack.Code != packets.Success {
			t.Errorf("CONNACK %v", ack.Code)
		}
	})
}

// TestScramRefused: each way to fail has its code, is counted by its reason, logged once, and leaves nothing behind.
// [MQTT-4.12.0-4]
func TestScramRefused(t *testing.T) {
	good := func(t *testing.T, k *brokertest.Client, user, password string) {
		c := talk(t, user, password)
		k.Send(scramConnect("c", say(t, c, nil)))
		k.Send(more(say(t, c, expectMore(t, k))))
	}
	begin := func(t *testing.T, k *brokertest.Client) { // as far as server-first
		k.Send(scramConnect("c", say(t, talk(t, "press", plantPassword), nil)))
		expectMore(t, k)
	}
	raw := func(b ...byte) func(*testing.T, *brokertest.Client) {
		return func(t *testing.T, k *brokertest.Client) { begin(t, k); k.SendRaw(b) }
	}
	after := func(p packets.Packet) func(*testing.T, *brokertest.Client) {
		return func(t *testing.T, k *brokertest.Client) { begin(t, k); k.Send(p) }
	}
	connect := func(p *packets.Connect) func(*testing.T, *brokertest.Client) {
		return func(t *testing.T, k *brokertest.Client) { k.Send(p) }
	}
	whole := func(change func(*packets.Connect), user string) func(*testing.T, *brokertest.Client) {
		return func(t *testing.T, k *brokertest.Client) {
			c := talk(t, user, plantPassword)
			p := scramConnect("c", say(t, c, nil))
			change(p)
			k.Send(p)
			k.Send(more(say(t, c, expectMore(t, k))))
		}
	}
	tests := []struct {
		name   string
		do     func(*testing.T, *brokertest.Client)
		code   packets.ReasonCode // of CONNACK; Success: none
		reason string
	}{
		{"wrong password", func(t *testing.T, k *brokertest.Client) { good(t, k, "press", "wrong horse") }, packets.BadUserNameOrPassword, auth.ReasonBadLogin},
		{"unknown user", func(t *testing.T, k *brokertest.Client) { good(t, k, "nobody", plantPassword) }, packets.BadUserNameOrPassword, auth.ReasonBadLogin},
		{"no verifier", func(t *testing.T, k *brokertest.Client) { good(t, k, "old", plantPassword) }, packets.BadUserNameOrPassword, auth.ReasonNoVerifier},
		{"other user name in CONNECT", whole(func(p *packets.Connect) { p.HasUsername, p.Username = true, "scada" }, "press"), packets.BadUserNameOrPassword, auth.ReasonBadLogin},
		{"client identifier of another", whole(func(p *packets.Connect) { p.ClientID = "line1" }, "press"), packets.ClientIdentifierNotValid, auth.ReasonClientID},
		{"will that it may not publish", whole(func(p *packets.Connect) { p.Will = &packets.Will{Topic: "other"} }, "press"), packets.NotAuthorized, auth.ReasonWill},
		{"other method", connect(&packets.Connect{Version: packets.V5, ClientID: "c", AuthMethod: "SCRAM-SHA-1", AuthData: []byte("n,,n=press,r=x")}), packets.BadAuthenticationMethod, auth.ReasonMethod}, // [MQTT-4.12.0-1]
		{"method in other case", connect(&packets.Connect{Version: packets.V5, ClientID: "c", AuthMethod: "scram-sha-256"}), packets.BadAuthenticationMethod, auth.ReasonMethod},
		{"channel binding", connect(scramConnect("c", []byte("p=tls-exporter,,n=press,r=x"))), packets.NotAuthorized, auth.ReasonExchange},
		{"data that is no SCRAM", connect(scramConnect("c", []byte("hello"))), packets.NotAuthorized, auth.ReasonExchange},
		{"never any data", func(t *testing.T, k *brokertest.Client) {
			k.Send(scramConnect("c", nil))
			expectMore(t, k)
			k.Send(more(nil))
		}, packets.NotAuthorized, auth.ReasonExchange},
		{"proof that is none", after(more([]byte("c=biws,r=x,p=y"))), packets.NotAuthorized, auth.ReasonExchange},
		{"AUTH of another method", after(&packets.Auth{Code: packets.ContinueAuthentication, Method: "PLAIN"}), packets.ProtocolError, RefuseMalformed}, // [MQTT-4.12.0-5] [MQTT-3.15-a]
		{"AUTH that begins again", after(&packets.Auth{Code: packets.ReAuthenticate, Method: auth.ScramSHA256}), packets.ProtocolError, RefuseMalformed},
		{"AUTH that says success", after(&packets.Auth{Code: packets.Success, Method: auth.ScramSHA256}), packets.ProtocolError, RefuseMalformed},
		{"AUTH without a method", raw(0xF0, 0), packets.ProtocolError, RefuseMalformed},                                                                                    // [MQTT-3.15-a]
		{"AUTH with a flag", raw(0xF1, 0), packets.MalformedPacket, RefuseMalformed},                                                                                       // [MQTT-3.15.1-1]
		{"AUTH with an unlisted code", raw(0xF0, 2, 0x87, 0), packets.ProtocolError, RefuseMalformed},                                                                      // [MQTT-3.15.2-1]
		{"AUTH larger than taken", raw(0xF0, 0x80, 0x80, 0x04), packets.PacketTooLarge, RefuseMalformed},                                                                   // before its body
		{"SUBSCRIBE before CONNACK", after(&packets.Subscribe{PacketID: 1, Filters: []packets.Subscription{{Filter: "plant/x"}}}), packets.ProtocolError, RefuseMalformed}, // [MQTT-3.1.2-30] [MQTT-4.12-a]
		{"PUBLISH before CONNACK, not all of it", raw(0x30, 0x10), packets.ProtocolError, RefuseMalformed},
		{"PINGREQ before CONNACK", after(&packets.Pingreq{}), packets.ProtocolError, RefuseMalformed},
		{"CONNECT again", after(scramConnect("c", nil)), packets.ProtocolError, RefuseMalformed},
		{"DISCONNECT", after(&packets.Disconnect{}), packets.Success, RefuseUnfinished},
		{"silence", begin, packets.Success, RefuseUnfinished},
		{"half an AUTH", func(t *testing.T, k *brokertest.Client) {
			begin(t, k)
			k.SendRaw([]byte{0xF0, 9, 0x18})
		}, packets.Success, RefuseUnfinished},
		{"the end", func(t *testing.T, k *brokertest.Client) { begin(t, k); k.Close() }, packets.Success, RefuseUnfinished},
		{"packet limit of the client", connect(func() *packets.Connect {
			p := scramConnect("c", []byte("n,,n=press,r=x"))
			p.MaximumPacketSize = 40
			return p
		}()), packets.PacketTooLarge, auth.ReasonExchange},
	}
	for _, c := range tests {
		t.Run(c.name, func(t *testing.T) {
			both(t, func(t *testing.T, way path) {
				r := &rig{auth: plantPolicy(t)}
				log := logged(r)
				r.over(way).start(t)
				k := brokertest.NewClient(t, r.dial(), packets.V5)
				c.do(t, k)
				if c.reason == RefuseUnfinished {
					r.pass(6 * time.Second)
				}
				if c.code != packets.Success {
					ack := brokertest.Expect[*packets.Connack](k)
					if ack.Code != c.code || ack.SessionPresent || ack.ReasonString != "" { // the log tells more than the client may know
						t.Errorf("CONNACK %v, %q", ack.Code, ack.ReasonString)
					}
				}
				if c.name != "the end" {
					if code := k.ExpectClosed(); code != packets.Success {
						t.Errorf("DISCONNECT %v before a login", code)
					}
				}
				r.quiet()
				if r.Server.Refusals()[c.reason] != 1 || r.Server.Stats().Sessions != 0 || r.Server.Stats().Connections != 0 {
					t.Errorf("counted %v; %+v", r.Server.Refusals(), r.Server.Stats())
				}
				if n := strings.Count(log.String(), "msg=refused"); n != 1 || strings.Contains(log.String(), "horse") {
					t.Errorf("%d lines:\n%s", n, log)
				}
				if c.reason == auth.ReasonNoVerifier && !strings.Contains(log.String(), "edge user passwd old") {
					t.Errorf("the log does not say what to do:\n%s", log)
				}
			})
		})
	}
}

// TestScramInOneRead: what follows the exchange in the same segment is handled after CONNACK, and not at all after a
// refusal [MQTT-3.1.4-6].
func TestScramInOneRead(t *testing.T) {
	for name, right := range map[string]bool{"right": true, "wrong": false} {
		t.Run(name, func(t *testing.T) {
			both(t, func(t *testing.T, way path) {
				r := (&rig{auth: plantPolicy(t)}).over(way).start(t)
				watcher := logIn(t, r, "watcher", "scada")
				watcher.Subscribe("plant/#", 0)
				password := map[bool]string{true: plantPassword, false: "wrong horse"}[right]
				k, c := brokertest.NewClient(t, r.dial(), packets.V5), talk(t, "press", password)
				k.Send(scramConnect("c", say(t, c, nil)))
				final := more(say(t, c, expectMore(t, k)))
				k.Send(final, &packets.Publish{Topic: "plant/x", Payload: []byte("1")})
				ack := brokertest.Expect[*packets.Connack](k)
				if right != (ack.Code == packets.Success) {
					t.Errorf("CONNACK %v", ack.Code)
				}
				r.quiet()
				if right {
					watcher.Expect(&packets.Publish{Topic: "plant/x", Payload: []byte("1")})
				}
				watcher.ExpectNothing()
			})
		})
	}
}

// TestNoMethod: who names no method gets none [MQTT-4.12.0-6] and sends no AUTH [MQTT-4.12.0-7].
func TestNoMethod(t *testing.T) {
	both(t, func(t *testing.T, way path) {
		r := (&rig{auth: plantPolicy(t)}).over(way).start(t)
		for _, a := range []*packets.Auth{more(nil), {Code: packets.ReAuthenticate, Method: auth.ScramSHA256}} {
			k := brokertest.NewClient(t, r.dial(), packets.V5)
			if ack := k.Connect("c", true); ack.AuthMethod != "" || ack.AuthData != nil {
				t.Errorf("CONNACK with method %q", ack.AuthMethod)
			}
			k.Send(a)
			if code := k.ExpectClosed(); code != packets.ProtocolError {
				t.Errorf("AUTH %v: DISCONNECT %v", a.Code, code)
			}
		}
	})
}

// TestReauthenticate: a live connection proves again who it is; messages flow meanwhile, both ways. [MQTT-4.12.1-1]
func TestReauthenticate(t *testing.T) {
	both(t, func(t *testing.T, way path) {
		r := (&rig{auth: plantPolicy(t)}).over(way).start(t)
		k := logIn(t, r, "c", "press")
		k.Subscribe("plant/#", 0)
		for range 2 { // it may be done again and again
			c := talk(t, "press", plantPassword)
			k.Send(&packets.Auth{Code: packets.ReAuthenticate, Method: auth.ScramSHA256, Data: say(t, c, nil)})
			serverFirst := expectMore(t, k)
			k.Publish(&packets.Publish{Topic: "plant/x", QoS: 1, Payload: []byte("meanwhile")})
			k.Expect(&packets.Publish{Topic: "plant/x", Payload: []byte("meanwhile")})
			k.Send(more(say(t, c, serverFirst)))
			a := brokertest.Expect[*packets.Auth](k)
			if say(t, c, a.Data); a.Code != packets.Success || a.Method != auth.ScramSHA256 || !c.Valid() {
				t.Errorf("AUTH %v with method %q", a.Code, a.Method)
			}
		}
		k.ExpectNothing()
	})
}

// TestReauthenticationFails: who fails, or breaks the rules of the exchange, is disconnected [MQTT-4.12.1-2]; its will goes out.
func TestReauthenticationFails(t *testing.T) {
	again := func(t *testing.T, k *brokertest.Client, user, password string) {
		c := talk(t, user, password)
		k.Send(&packets.Auth{Code: packets.ReAuthenticate, Method: auth.ScramSHA256, Data: say(t, c, nil)})
		k.Send(more(say(t, c, expectMore(t, k))))
	}
	tests := []struct {
		name   string
		do     func(*testing.T, *rig, *brokertest.Client)
		code   packets.ReasonCode // of DISCONNECT
		reason string
	}{
		{"wrong password", func(t *testing.T, _ *rig, k *brokertest.Client) { again(t, k, "press", "wrong horse") }, packets.NotAuthorized, auth.ReasonBadLogin},
		{"as another user, whose password is not asked for", func(t *testing.T, _ *rig, k *brokertest.Client) {
			c := talk(t, "scada", plantPassword)
			k.Send(&packets.Auth{Code: packets.ReAuthenticate, Method: auth.ScramSHA256, Data: say(t, c, nil)})
		}, packets.NotAuthorized, RefuseOtherUser},
		{"rights taken away meanwhile", func(t *testing.T, r *rig, k *brokertest.Client) {
			r.Server.SetAuth(nil)
			k.Send(&packets.Auth{Code: packets.ReAuthenticate, Method: auth.ScramSHA256})
		}, packets.NotAuthorized, auth.ReasonMethod},
		{"another method", func(_ *testing.T, _ *rig, k *brokertest.Client) { // [MQTT-4.12.1-1]
			k.Send(&packets.Auth{Code: packets.ReAuthenticate, Method: "PLAIN"})
		}, packets.ProtocolError, RefuseProtocol},
		{"AUTH 0x18 that continues nothing", func(_ *testing.T, _ *rig, k *brokertest.Client) { k.Send(more(nil)) }, packets.ProtocolError, RefuseProtocol},
		{"AUTH 0x19 within an exchange", func(t *testing.T, _ *rig, k *brokertest.Client) {
			k.Send(&packets.Auth{Code: packets.ReAuthenticate, Method: auth.ScramSHA256})
			expectMore(t, k)
			k.Send(&packets.Auth{Code: packets.ReAuthenticate, Method: auth.ScramSHA256})
		}, packets.ProtocolError, RefuseProtocol},
		{"success, says the client", func(_ *testing.T, _ *rig, k *brokertest.Client) {
			k.Send(&packets.Auth{Code: packets.Success, Method: auth.ScramSHA256})
		}, packets.ProtocolError, RefuseProtocol},
	}
	for _, c := range tests {
		t.Run(c.name, func(t *testing.T) {
			both(t, func(t *testing.T, way path) {
				r := &rig{auth: plantPolicy(t)}
				log := logged(r)
				r.over(way).start(t)
				watcher := logIn(t, r, "watcher", "scada")
				watcher.Subscribe("plant/gone", 0)
				k, s := brokertest.NewClient(t, r.dial(), packets.V5), talk(t, "press", plantPassword)
				p := scramConnect("c", say(t, s, nil))
				p.Will = &packets.Will{Topic: "plant/gone", Payload: []byte("c")}
				k.Send(p)
				k.Send(more(say(t, s, expectMore(t, k))))
				brokertest.Expect[*packets.Connack](k)
				c.do(t, r, k)
				if code := k.ExpectClosed(); code != c.code {
					t.Errorf("DISCONNECT %v", code)
				}
				watcher.Expect(&packets.Publish{Topic: "plant/gone", Payload: []byte("c")})
				if n := strings.Count(log.String(), "msg=refused"); n != 1 || r.Server.Refusals()[c.reason] != 1 {
					t.Errorf("%d lines, counted %v:\n%s", n, r.Server.Refusals(), log)
				}
			})
		})
	}
}
