package main

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/eclipse/paho.golang/paho"
	"github.com/xdg-go/scram"

	"edge/broker/auth"
)

// scramDevice is a device that logs in by SCRAM-SHA-256: client and mechanism are other people's.
type scramDevice struct {
	t      *testing.T
	client *paho.Client
	got    chan string // payloads

	mu    sync.Mutex
	talk  *scram.ClientConversation
	ended chan byte // reason of the broker's DISCONNECT
}

// begin begins an exchange and returns client-first.
func (d *scramDevice) begin(user, password string) []byte {
	d.t.Helper()
	c, err := scram.SHA256.NewClient(user, password, "")
	if err != nil {
		d.t.Fatal(err)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.talk = c.NewConversation()
	first, err := d.talk.Step("")
	if err != nil {
		d.t.Fatal(err)
	}
	return []byte(first)
}

// Authenticate answers an AUTH 0x18.
func (d *scramDevice) Authenticate(a *paho.Auth) *paho.Auth {
	return &paho.Auth{ReasonCode: 0x18, Properties: &paho.AuthProperties{AuthMethod: auth.ScramSHA256, AuthData: d.hear(a.Properties.AuthData)}}
}

// Authenticated is called after CONNACK.
func (d *scramDevice) Authenticated() {}

// hear takes a step; a server that it does not know gets no answer.
func (d *scramDevice) hear(data []byte) []byte {
	d.mu.Lock()
	defer d.mu.Unlock()
	answer, err := d.talk.Step(string(data))
	if err != nil {
		d.t.Errorf("scram: %v", err)
	}
	return []byte(answer)
}

func (d *scramDevice) knowsServer() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.talk.Valid()
}

// scramConnect logs a device in; code is that of CONNACK.
func scramConnect(t *testing.T, addr, user, password string) (d *scramDevice, code byte) {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	d = &scramDevice{t: t, got: make(chan string, 10), ended: make(chan byte, 1)}
	d.client = paho.NewClient(paho.ClientConfig{
		Conn: conn, AuthHandler: d,
		OnServerDisconnect: func(p *paho.Disconnect) { d.ended <- p.ReasonCode },
		OnPublishReceived: []func(paho.PublishReceived) (bool, error){func(p paho.PublishReceived) (bool, error) {
			d.got <- string(p.Packet.Payload)
			return true, nil
		}},
	})
	t.Cleanup(func() { conn.Close() })
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	ack, err := d.client.Connect(ctx, &paho.Connect{ClientID: user, CleanStart: true, KeepAlive: 30,
		Properties: &paho.ConnectProperties{AuthMethod: auth.ScramSHA256, AuthData: d.begin(user, password)}})
	if ack == nil {
		t.Fatalf("no CONNACK: %v", err)
	}
	if err == nil && ack.Properties.AuthMethod != auth.ScramSHA256 {
		t.Errorf("CONNACK with method %q", ack.Properties.AuthMethod)
	}
	if err == nil {
		d.hear(ack.Properties.AuthData)
	}
	return d, ack.ReasonCode
}

// again re-authenticates and returns the reason of the answer, AUTH or DISCONNECT. The client keeps the data of that AUTH to
// itself, so whether the server is the right one is not seen here.
func (d *scramDevice) again(user, password string) byte {
	d.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	r, err := d.client.Authenticate(ctx, &paho.Auth{ReasonCode: 0x19,
		Properties: &paho.AuthProperties{AuthMethod: auth.ScramSHA256, AuthData: d.begin(user, password)}})
	if err == nil {
		return r.ReasonCode
	}
	select { // the DISCONNECT may have been faster than the client's own bookkeeping
	case code := <-d.ended:
		return code
	case <-ctx.Done():
		d.t.Fatalf("no answer to a re-authentication: %v", err)
		return 0
	}
}

// echo publishes to the device itself.
func (d *scramDevice) echo(topic, payload string) {
	d.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if _, err := d.client.Publish(ctx, &paho.Publish{Topic: topic, QoS: 1, Payload: []byte(payload)}); err != nil {
		d.t.Fatalf("publish: %v", err)
	}
	select {
	case got := <-d.got:
		if got != payload {
			d.t.Errorf("got %q", got)
		}
	case <-ctx.Done():
		d.t.Fatal("the message does not come back")
	}
}

// TestScramEndToEnd: `edge user add` makes a user that a device logs in as by SCRAM-SHA-256, and re-authenticates as, over
// TCP; a wrong password is refused, and so is the old one after `edge user passwd`.
func TestScramEndToEnd(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	makeUser(t, dir, "press")
	if code, _, errs := edgeUser(password+"\n", "add", "old", "--iterations", "0", "--file", filepath.Join(dir, "users.yaml")); code != exitOK {
		t.Fatal(errs)
	}
	rules := "rules: [{user: \"*\", publish: [\"own/%u\"], subscribe: [\"own/%u\"]}]\n"
	if err := os.WriteFile(filepath.Join(dir, "acl.yaml"), []byte(rules), 0o600); err != nil {
		t.Fatal(err)
	}
	c := start(t, configure(t, dir, "broker: {listeners: [{name: plant, address: \"127.0.0.1:0\"}]}\n"))

	d, code := scramConnect(t, c.mqtt, "press", password)
	if code != 0 || !d.knowsServer() {
		t.Fatalf("CONNACK %#x, server known %v", code, d.knowsServer())
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if _, err := d.client.Subscribe(ctx, &paho.Subscribe{Subscriptions: []paho.SubscribeOptions{{Topic: "own/press", QoS: 1}}}); err != nil {
		t.Fatalf("subscribe: %v", err)
	}
	d.echo("own/press", "after the login")
	if code := d.again("press", password); code != 0 {
		t.Errorf("re-authentication: %#x", code)
	}
	d.echo("own/press", "after the re-authentication")

	for _, refused := range []struct {
		user, password string
		says           string // in the log
	}{
		{"press", "another horse", "unknown user or wrong password"},
		{"nobody", password, "unknown user or wrong password"},
		{"old", password, `user \\"old\\" has no SCRAM verifier; set the password again: edge user passwd old`},
	} {
		if _, code := scramConnect(t, c.mqtt, refused.user, refused.password); code != 0x86 {
			t.Errorf("%s: CONNACK %#x", refused.user, code)
		}
		c.logs(refused.says)
	}

	edgeUser("another password\n", "passwd", "press", "--file", filepath.Join(dir, "users.yaml"))
	c.signal(syscall.SIGHUP)
	c.logs(" reloaded; restart")
	d.echo("own/press", "who is in stays in")
	if code := d.again("press", password); code != 0x87 {
		t.Errorf("re-authentication with the old password: %#x", code)
	}
	if _, code := scramConnect(t, c.mqtt, "press", password); code != 0x86 {
		t.Errorf("login with the old password: CONNACK %#x", code)
	}
	if _, code := scramConnect(t, c.mqtt, "press", "another password"); code != 0 {
		t.Errorf("login with the new password: CONNACK %#x", code)
	}
	c.stop()
	if log := c.log(); strings.Contains(log, password) || strings.Contains(log, "another password") {
		t.Error("the log holds a password")
	}
}
