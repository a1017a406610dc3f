package auth

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/xdg-go/scram"

	"edge/broker/packets"
)

var cheapVerifiers sync.Map

// cheapScram is a verifier that costs as little as may be.
func cheapScram(password string) string {
	if v, ok := cheapVerifiers.Load(password); ok {
		return v.(string)
	}
	v, err := ScramVerifier([]byte(password), MinIterations)
	if err != nil {
		panic(err)
	}
	cheapVerifiers.Store(password, v)
	return v
}

// scramPlant has users with a verifier, and old, who is from before.
func scramPlant(t testing.TB) *Policy {
	t.Helper()
	users := fmt.Sprintf(`users:
  - {name: tool, scram: %q}
  - {name: both, hash: %q, scram: %q}
  - {name: old, hash: %q}
  - {name: press, scram: %q}
  - {name: line1, client: line1, cert: "CN=line1,O=Plant", scram: %q}
`, cheapScram("tool-password"), cheapHash("both-password"), cheapScram("both-password"), cheapHash("old-password"),
		cheapScram("press-password"), cheapScram("line1-password"))
	p, err := Load(writeFile(t, "users.yaml", users), writeFile(t, "acl.yaml", plantRules))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// exchange runs one with a client that others wrote.
func exchange(t testing.TB, p *Policy, req ConnectRequest, user, password string) (*Identity, error) {
	t.Helper()
	x, err := p.Begin(ScramSHA256, req)
	if err != nil {
		return nil, err
	}
	client, err := scram.SHA256.NewClient(user, password, "")
	if err != nil {
		t.Fatal(err)
	}
	c := client.NewConversation()
	var answer []byte
	for range 3 {
		said, err := c.Step(string(answer))
		if err != nil {
			t.Fatalf("the client does not understand %q: %v", answer, err)
		}
		var id *Identity
		if answer, id, err = x.Step([]byte(said)); id != nil || err != nil {
			if id != nil {
				if _, err := c.Step(string(answer)); err != nil || !c.Valid() {
					t.Errorf("the client does not know the server: %v", err)
				}
			}
			return id, err
		}
	}
	t.Fatal("the exchange does not end")
	return nil, nil
}

func TestExchange(t *testing.T) {
	p := scramPlant(t)
	const (
		yes  = packets.Success
		bad  = packets.BadUserNameOrPassword
		auth = packets.NotAuthorized
		id   = packets.ClientIdentifierNotValid
	)
	const cert = "CN=line1,O=Plant"
	tests := []struct {
		name, user, password string
		req                  ConnectRequest
		code                 packets.ReasonCode
		reason               string
	}{
		{"right password", "tool", "tool-password", ConnectRequest{ClientID: "c"}, yes, ""},
		{"wrong password", "tool", "tool-passwore", ConnectRequest{}, bad, ReasonBadLogin},
		{"password of another", "tool", "press-password", ConnectRequest{}, bad, ReasonBadLogin},
		{"unknown user", "nobody", "tool-password", ConnectRequest{}, bad, ReasonBadLogin},
		{"user of both kinds", "both", "both-password", ConnectRequest{}, yes, ""},
		{"user from before SCRAM", "old", "old-password", ConnectRequest{}, bad, ReasonNoVerifier},
		{"user name in CONNECT too", "tool", "tool-password", ConnectRequest{Username: "tool"}, yes, ""},
		{"another user name in CONNECT", "tool", "tool-password", ConnectRequest{Username: "press"}, bad, ReasonBadLogin},
		{"anonymous listener", "tool", "tool-password", ConnectRequest{ListenerAnonymous: true}, yes, ""},
		{"anonymous listener, wrong password", "tool", "x", ConnectRequest{ListenerAnonymous: true}, bad, ReasonBadLogin},
		{"bound user", "line1", "line1-password", ConnectRequest{ClientID: "line1"}, yes, ""},
		{"bound user, other client id", "line1", "line1-password", ConnectRequest{ClientID: "line2"}, id, ReasonClientID},
		{"client id of a bound user", "tool", "tool-password", ConnectRequest{ClientID: "line1"}, id, ReasonClientID},
		{"client id of a publisher of ours", "tool", "tool-password", ConnectRequest{ClientID: "$host"}, id, ReasonClientID},
		{"certificate of the same user", "line1", "line1-password", ConnectRequest{Cert: cert, ClientID: "line1"}, yes, ""},
		{"certificate of another user", "tool", "tool-password", ConnectRequest{Cert: cert}, bad, ReasonBadLogin},
		{"certificate alone", "line1", "x", ConnectRequest{Cert: cert, ClientID: "line1"}, bad, ReasonBadLogin},
		{"unknown certificate", "tool", "tool-password", ConnectRequest{Cert: "CN=x"}, yes, ""},
		{"node with its NDEATH", "press", "press-password", ConnectRequest{Will: "spBv1.0/Plant/NDEATH/Press"}, yes, ""},
		{"node without a will", "press", "press-password", ConnectRequest{}, auth, ReasonWill},
		{"will that it may not publish", "tool", "tool-password", ConnectRequest{Will: "tools/press/x"}, auth, ReasonWill},
	}
	for _, c := range tests {
		t.Run(c.name, func(t *testing.T) {
			got, err := exchange(t, p, c.req, c.user, c.password)
			var no *Refused
			if errors.As(err, &no) != (c.code != yes) || no != nil && (no.Code != c.code || no.Reason != c.reason) {
				t.Fatalf("%v, %v; want %v", got, err, c.code)
			}
			if err == nil && *got != (Identity{User: c.user, ClientID: c.req.ClientID}) {
				t.Errorf("identity %+v", got)
			}
			if err != nil && strings.Contains(err.Error(), c.password) && len(c.password) > 1 {
				t.Errorf("the password is in the error: %v", err)
			}
		})
	}
}

// TestExchangeOrder: what comes out of order, or after the end, is refused.
func TestExchangeOrder(t *testing.T) {
	p := scramPlant(t)
	const first = "n,,n=tool,r=abc"
	prove := func(answer string) string { return prove("tool-password", first[len("n,,"):], answer) }
	begin := func() Exchange {
		x, err := p.Begin(ScramSHA256, ConnectRequest{})
		if err != nil {
			t.Fatal(err)
		}
		return x
	}
	step := func(x Exchange, data string, more bool) string {
		t.Helper()
		answer, id, err := x.Step([]byte(data))
		if more != (err == nil && id == nil) {
			t.Errorf("%q: %v, %v", data, id, err)
		}
		return string(answer)
	}
	x := begin()
	step(x, "", true) // it is asked
	answer := step(x, first, true)
	final := prove(answer)
	if _, id, err := x.Step([]byte(final)); id == nil || err != nil {
		t.Errorf("%v, %v", id, err)
	}
	step(x, final, false) // it is over
	step(x, first, false)

	x = begin()
	step(x, "", true)
	step(x, "", false) // asked twice
	x = begin()
	step(x, final, false) // no client-first before it
	step(x, first, false) // and it is over
	x = begin()
	final = prove(step(x, first, true))
	step(x, first, false)
	step(x, final, false) // one attempt
	x = begin()
	step(x, first, true)
	step(x, "", false)
	if _, err := p.Begin("PLAIN", ConnectRequest{}); err == nil || err.(*Refused).Code != packets.BadAuthenticationMethod { // [MQTT-4.12.0-1]
		t.Errorf("another method: %v", err)
	}
}

// TestUnknownUsersLookKnown: the first answer does not tell whether a user exists: salt and iterations have the form of the
// others, and are the same at each try and after a reload, and differ between names.
func TestUnknownUsersLookKnown(t *testing.T) {
	p := scramPlant(t)
	first := func(p *Policy, user string) (salt, iterations string) {
		x, err := p.Begin(ScramSHA256, ConnectRequest{})
		if err != nil {
			t.Fatal(err)
		}
		answer, _, err := x.Step([]byte("n,,n=" + user + ",r=abc"))
		if err != nil {
			t.Fatal(err)
		}
		fields := strings.Split(string(answer), ",")
		return fields[1], fields[2]
	}
	reloaded, err := p.Reload()
	if err != nil {
		t.Fatal(err)
	}
	known, cost := first(p, "tool")
	seen := map[string]string{}
	for _, user := range []string{"nobody", "Tool", "old", "root"} {
		salt, iterations := first(p, user)
		again, _ := first(p, user)
		later, _ := first(reloaded, user)
		if salt != again || salt != later || iterations != cost || len(salt) != len(known) {
			t.Errorf("%s: %s %s, again %s, after a reload %s; a known user has %s %s", user, salt, iterations, again, later, known, cost)
		}
		if other := seen[salt]; other != "" || salt == known {
			t.Errorf("%s and %q have the same salt", user, other)
		}
		seen[salt] = user
	}
	if restarted, err := Load(p.usersFile, p.aclFile); err != nil {
		t.Fatal(err)
	} else if salt, _ := first(restarted, "nobody"); seen[salt] != "nobody" {
		t.Errorf("after a restart nobody has the salt %s", salt)
	}
	other, err := Load("", "")
	if err != nil {
		t.Fatal(err)
	}
	if salt, iterations := first(other, "nobody"); seen[salt] != "" || iterations != fmt.Sprint("i=", DefaultIterations) {
		t.Errorf("another program makes the salt %s, %s", salt, iterations)
	}
	for name, p := range map[string]*Policy{"zero": {}, "no users": other} {
		if id, err := exchange(t, p, ConnectRequest{ListenerAnonymous: true}, "tool", "tool-password"); err == nil {
			t.Errorf("%s policy lets in %+v", name, id)
		}
	}
}

// TestWriteUsersKeepsScram: what is written is read again, and a file of before SCRAM stays what it was.
func TestWriteUsersKeepsScram(t *testing.T) {
	file := writeFile(t, "users.yaml", plantUsers())
	users, err := ReadUsers(file)
	if err != nil {
		t.Fatal(err)
	}
	users[0].Scram = cheapScram("press-password")
	if err := WriteUsers(file, users); err != nil {
		t.Fatal(err)
	}
	again, err := ReadUsers(file)
	if err != nil || len(again) != len(users) {
		t.Fatalf("%d users, %v", len(again), err)
	}
	for i := range users {
		if again[i] != users[i] || (again[i].Scram != "") != (i == 0) {
			t.Errorf("%+v became %+v", users[i], again[i])
		}
	}
}
