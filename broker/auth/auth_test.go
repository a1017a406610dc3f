package auth

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/crypto/argon2"

	"edge/broker/packets"
	"edge/broker/topic"
)

// cheapHash is a valid hash that costs little to check.
func cheapHash(password string) string {
	salt := []byte("0123456789abcdef")
	key := argon2.IDKey([]byte(password), salt, 1, 8, 1, 32)
	return fmt.Sprintf("$argon2id$v=19$m=8,t=1,p=1$%s$%s", base64.RawStdEncoding.EncodeToString(salt), base64.RawStdEncoding.EncodeToString(key))
}

// writeFile writes text into a file of the test and returns its name.
func writeFile(t testing.TB, name, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func plantUsers() string {
	s := "users:\n"
	for _, name := range []string{"press", "scada", "viewer", "tool", "oven", "robert"} {
		s += fmt.Sprintf("  - {name: %s, hash: %q}\n", name, cheapHash(name+"-password"))
	}
	return s + `  - {name: line1, client: line1, cert: "CN=line1,O=Plant"}
  - {name: cell, client: "cell-*", cert: "CN=cell,O=Plant"}
`
}

const plantRules = `rules:
  - {user: press, role: sparkplug-node, group: Plant, node: Press}
  - {user: scada, role: sparkplug-host, host_id: scada, groups: [Plant, Yard], commands: true}
  - {user: viewer, role: sparkplug-host, host_id: viewer}
  - {user: tool, publish: ["tools/%u/#", "by-client/%c"], subscribe: ["tools/%u/+"]}
  - {user: "*", subscribe: ["public/#"]}
`

func plant(t testing.TB) *Policy {
	t.Helper()
	p, err := Load(writeFile(t, "users.yaml", plantUsers()), writeFile(t, "acl.yaml", plantRules))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestConnect(t *testing.T) {
	p := plant(t)
	const (
		yes  = packets.Success
		bad  = packets.BadUserNameOrPassword
		auth = packets.NotAuthorized
		id   = packets.ClientIdentifierNotValid
	)
	tests := []struct {
		name string
		req  ConnectRequest
		code packets.ReasonCode
		user string
	}{
		{"right password", ConnectRequest{Username: "tool", Password: []byte("tool-password")}, yes, "tool"},
		{"wrong password", ConnectRequest{Username: "tool", Password: []byte("tool-passwore")}, bad, ""},
		{"no password", ConnectRequest{Username: "tool"}, bad, ""},
		{"password of another", ConnectRequest{Username: "tool", Password: []byte("scada-password")}, bad, ""},
		{"unknown user", ConnectRequest{Username: "nobody", Password: []byte("tool-password")}, bad, ""},
		{"user name in other case", ConnectRequest{Username: "Tool", Password: []byte("tool-password")}, bad, ""},
		{"user name *", ConnectRequest{Username: "*", Password: []byte("tool-password")}, bad, ""},
		{"no user name", ConnectRequest{}, auth, ""},
		{"anonymous", ConnectRequest{ListenerAnonymous: true}, yes, ""},
		{"wrong password on an anonymous listener", ConnectRequest{ListenerAnonymous: true, Username: "tool", Password: []byte("x")}, bad, ""},
		{"right password on an anonymous listener", ConnectRequest{ListenerAnonymous: true, Username: "tool", Password: []byte("tool-password")}, yes, "tool"},
		{"certificate", ConnectRequest{Cert: "CN=line1,O=Plant", ClientID: "line1"}, yes, "line1"},
		{"certificate and its user name", ConnectRequest{Cert: "CN=line1,O=Plant", ClientID: "line1", Username: "line1"}, yes, "line1"},
		{"certificate and another user name", ConnectRequest{Cert: "CN=line1,O=Plant", ClientID: "line1", Username: "tool"}, bad, ""},
		{"unknown certificate", ConnectRequest{Cert: "CN=line10,O=Plant", ClientID: "line10"}, auth, ""},
		{"user without a hash, any password", ConnectRequest{Username: "line1", ClientID: "line1"}, bad, ""},
		{"bound user, other client id", ConnectRequest{Cert: "CN=line1,O=Plant", ClientID: "line2"}, id, ""},
		{"client id of a bound user", ConnectRequest{Username: "tool", Password: []byte("tool-password"), ClientID: "line1"}, id, ""},
		{"anonymous with the client id of a bound user", ConnectRequest{ListenerAnonymous: true, ClientID: "line1"}, id, ""},
		{"client id in another's prefix", ConnectRequest{ListenerAnonymous: true, ClientID: "cell-7"}, id, ""},
		{"client id in its prefix", ConnectRequest{Cert: "CN=cell,O=Plant", ClientID: "cell-7"}, yes, "cell"},
		{"client id of a publisher of ours", ConnectRequest{ListenerAnonymous: true, ClientID: "$host"}, id, ""},
		{"node with its NDEATH", ConnectRequest{Username: "press", Password: []byte("press-password"), Will: "spBv1.0/Plant/NDEATH/Press"}, yes, "press"},
		{"node with the NDEATH of another", ConnectRequest{Username: "press", Password: []byte("press-password"), Will: "spBv1.0/Plant/NDEATH/Oven"}, auth, ""},
		{"node with its NDATA as will", ConnectRequest{Username: "press", Password: []byte("press-password"), Will: "spBv1.0/Plant/NDATA/Press"}, auth, ""},
		{"node without a will", ConnectRequest{Username: "press", Password: []byte("press-password")}, auth, ""},
		{"host with its STATE", ConnectRequest{Username: "scada", Password: []byte("scada-password"), Will: "spBv1.0/STATE/scada"}, yes, "scada"},
		{"host with the STATE of another", ConnectRequest{Username: "scada", Password: []byte("scada-password"), Will: "spBv1.0/STATE/viewer"}, auth, ""},
		{"will that it may not publish", ConnectRequest{Username: "tool", Password: []byte("tool-password"), Will: "tools/press/x"}, auth, ""},
		{"anonymous with a $ will", ConnectRequest{ListenerAnonymous: true, Will: "$SYS/x"}, auth, ""},
	}
	for _, c := range tests {
		t.Run(c.name, func(t *testing.T) {
			got, err := p.Connect(context.Background(), c.req)
			var no *Refused
			code := packets.Success
			if errors.As(err, &no) {
				code = no.Code
			} else if err != nil {
				t.Fatal(err)
			}
			if code != c.code || got.User != c.user || got.Anonymous != (code == yes && c.user == "") {
				t.Errorf("got %+v, %v; want %q, %v", got, err, c.user, c.code)
			}
			if err != nil && len(c.req.Password) > 1 && strings.Contains(err.Error(), string(c.req.Password)) {
				t.Errorf("the password is in the error: %v", err)
			}
		})
	}
}

func TestMayPublish(t *testing.T) {
	p := plant(t)
	anonymous := Identity{Anonymous: true, ClientID: "c"}
	tests := []struct {
		id   Identity
		name topic.Name
		want bool
	}{
		{Identity{User: "press"}, "spBv1.0/Plant/NBIRTH/Press", true},
		{Identity{User: "press"}, "spBv1.0/Plant/NDATA/Press", true},
		{Identity{User: "press"}, "spBv1.0/Plant/NDEATH/Press", true},
		{Identity{User: "press"}, "spBv1.0/Plant/DBIRTH/Press/Axis", true},
		{Identity{User: "press"}, "spBv1.0/Plant/DDATA/Press/Axis", true},
		{Identity{User: "press"}, "spBv1.0/Plant/DDEATH/Press/Axis", true},
		{Identity{User: "press"}, "spBv1.0/Plant/DDATA/Press", false},
		{Identity{User: "press"}, "spBv1.0/Plant/DDATA/Press/Axis/More", false},
		{Identity{User: "press"}, "spBv1.0/Plant/NDATA/Oven", false},
		{Identity{User: "press"}, "spBv1.0/Yard/NDATA/Press", false},
		{Identity{User: "press"}, "spBv1.0/Plant/NCMD/Press", false},
		{Identity{User: "press"}, "spBv1.0/plant/NDATA/Press", false}, // names are case-sensitive
		{Identity{User: "press"}, "spBv1.0/STATE/scada", false},
		{Identity{User: "scada"}, "spBv1.0/STATE/scada", true},
		{Identity{User: "scada"}, "spBv1.0/STATE/viewer", false},
		{Identity{User: "scada"}, "spBv1.0/Plant/NCMD/Press", true},
		{Identity{User: "scada"}, "spBv1.0/Yard/DCMD/Crane/Hook", true},
		{Identity{User: "scada"}, "spBv1.0/Other/NCMD/Press", false},
		{Identity{User: "scada"}, "spBv1.0/Plant/NDATA/Press", false},
		{Identity{User: "viewer"}, "spBv1.0/STATE/viewer", true},
		{Identity{User: "viewer"}, "spBv1.0/Plant/NCMD/Press", false},
		{Identity{User: "tool"}, "tools/tool/x", true},
		{Identity{User: "tool"}, "tools/press/x", false},
		{Identity{User: "tool", ClientID: "t1"}, "by-client/t1", true},
		{Identity{User: "tool", ClientID: "t1"}, "by-client/t2", false},
		// A client id with a meaning in topics selects nothing (CVE-2017-7650).
		{Identity{User: "tool", ClientID: "+"}, "by-client/t2", false},
		{Identity{User: "tool", ClientID: "#"}, "by-client/t2", false},
		{Identity{User: "tool", ClientID: "a/b"}, "by-client/a/b", false},
		{Identity{User: "tool", ClientID: "%u"}, "by-client/tool", false},
		{Identity{User: "tool", ClientID: ""}, "by-client/", false},
		{Identity{User: "tool", ClientID: "."}, "by-client/x", false},
		{Identity{User: "tool", ClientID: ".*"}, "by-client/x", false},
		{Identity{User: "robert"}, "public/x", false},
		{Identity{}, "public/x", false},
		{Identity{User: "*"}, "tools/*/x", false},
		{anonymous, "spBv1.0/Plant/NDATA/Press", true},
		{anonymous, "a", true},
		{anonymous, "$SYS/x", false},
		{anonymous, "$sparkplug/certificates/spBv1.0/G/NBIRTH/E", false},
		{Identity{User: "tool"}, "$SYS/x", false},
	}
	for _, c := range tests {
		if got := p.MayPublish(c.id, c.name); got != c.want {
			t.Errorf("MayPublish(%+v, %q) = %v", c.id, c.name, got)
		}
	}
}

func TestMaySubscribe(t *testing.T) {
	p := plant(t)
	anonymous := Identity{Anonymous: true}
	tests := []struct {
		id   Identity
		f    topic.Filter
		want bool
	}{
		{Identity{User: "press"}, "spBv1.0/Plant/NCMD/Press", true},
		{Identity{User: "press"}, "spBv1.0/Plant/DCMD/Press/#", true},
		{Identity{User: "press"}, "spBv1.0/Plant/DCMD/Press/+", true},
		{Identity{User: "press"}, "spBv1.0/STATE/+", true},
		{Identity{User: "press"}, "spBv1.0/STATE/scada", true},
		{Identity{User: "press"}, "spBv1.0/Plant/#", false},
		{Identity{User: "press"}, "spBv1.0/Plant/NCMD/+", false},
		{Identity{User: "press"}, "#", false},
		{Identity{User: "press"}, "public/a", true},
		{Identity{User: "scada"}, "spBv1.0/Plant/#", true},
		{Identity{User: "scada"}, "spBv1.0/Yard/+/+", true},
		{Identity{User: "scada"}, "spBv1.0/STATE/+", true},
		{Identity{User: "scada"}, "spBv1.0/#", false},
		{Identity{User: "scada"}, "spBv1.0/Other/#", false},
		{Identity{User: "scada"}, "$sparkplug/certificates/spBv1.0/Plant/#", true},
		{Identity{User: "scada"}, "$sparkplug/certificates/spBv1.0/Yard/DBIRTH/Crane/Hook", true},
		{Identity{User: "scada"}, "$sparkplug/certificates/spBv1.0/Other/#", false},
		{Identity{User: "scada"}, "$sparkplug/certificates/spBv1.0/+/NBIRTH/+", false},
		{Identity{User: "scada"}, "$sparkplug/certificates/#", false},
		{Identity{User: "scada"}, "$sparkplug/certificates/+/Plant/NBIRTH/+", true},
		{Identity{User: "press"}, "$sparkplug/certificates/spBv1.0/Plant/NBIRTH/Press", false}, // it may not read its own birth
		{Identity{User: "robert"}, "$sparkplug/certificates/#", false},
		{Identity{User: "viewer"}, "$sparkplug/certificates/+/+/NBIRTH/#", true},
		{Identity{User: "viewer"}, "$sparkplug/certificates/+", false},
		{Identity{User: "viewer"}, "$sparkplug/certificates/other/#", false},
		{Identity{User: "viewer"}, "$sparkplug/#", false},
		{Identity{User: "viewer"}, "$sparkplug/+/spBv1.0/#", false},
		{Identity{User: "viewer"}, "$sparkplug", false},
		{Identity{User: "viewer"}, "spBv1.0/#", true},
		{Identity{User: "viewer"}, "$sparkplug/certificates/#", true},
		{Identity{User: "viewer"}, "#", false},
		{Identity{User: "tool"}, "tools/tool/+", true},
		{Identity{User: "tool"}, "tools/tool/#", false},
		{Identity{User: "tool"}, "tools/+/a", false},
		{Identity{}, "public/#", false},
		{anonymous, "#", true},
		{anonymous, "spBv1.0/#", true},
		{anonymous, "$SYS/broker/clients/#", true},
		{anonymous, "$SYS/#", true},
		{Identity{User: "tool"}, "$SYS/#", false},
		{anonymous, "$SYSTEM/#", false},
		{anonymous, "$sparkplug/certificates/#", true},
		{anonymous, "$sparkplug/#", false},
	}
	for _, c := range tests {
		if got := p.MaySubscribe(c.id, c.f); got != c.want {
			t.Errorf("MaySubscribe(%+v, %q) = %v", c.id, c.f, got)
		}
	}
}

// TestZeroPolicy: without files nobody gets in but on an anonymous listener, where a user name means nothing.
func TestZeroPolicy(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "missing.yaml")
	loaded, err := Load(missing, missing)
	if err != nil {
		t.Fatal(err)
	}
	for name, p := range map[string]*Policy{"zero": {}, "missing files": loaded} {
		ctx := context.Background()
		if id, err := p.Connect(ctx, ConnectRequest{Username: "bob", Password: []byte("x")}); err == nil {
			t.Errorf("%s: let in %+v", name, id)
		}
		if id, err := p.Connect(ctx, ConnectRequest{}); err == nil {
			t.Errorf("%s: let in %+v", name, id)
		}
		id, err := p.Connect(ctx, ConnectRequest{ListenerAnonymous: true, Username: "bob"})
		if err != nil || !id.Anonymous || id.User != "" {
			t.Errorf("%s: anonymous listener: %+v, %v", name, id, err)
		}
		if p.MayPublish(Identity{User: "bob"}, "a") || p.MaySubscribe(Identity{User: "bob"}, "a") {
			t.Errorf("%s: a user without rules has rights", name)
		}
	}
}
