package auth

import (
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestBadUsers: each problem is reported with its line, and there is no policy (CVE-2018-12551).
func TestBadUsers(t *testing.T) {
	good := cheapHash("x")
	tests := []struct{ name, text, want string }{
		{"empty", "", ":1: the file is empty"},
		{"only a comment", "# users\n", ":1: the file is empty"},
		{"null", "users:\n", ":1: expected a list"},
		{"not yaml", "users: [\n", "yaml"},
		{"a list", "- a\n", ":1: expected key: value"},
		{"other key", "user: []\n", `:1: unknown key "user"`},
		{"no newline at the end", "users: []", ":1: no newline at the end"},
		{"entry is a text", "users:\n  - bob\n", ":2: expected key: value"},
		{"name as key", "users:\n  bob: x\n", ":2: expected a list"},
		{"unknown key", "users:\n  - {name: a, hash: \"" + good + "\", admin: true}\n", `:2: unknown key "admin"`},
		{"key twice", "users:\n  - {name: a, name: b, hash: \"" + good + "\"}\n", ":2: name comes twice"},
		{"no name", "users:\n  - {hash: \"" + good + "\"}\n", `:2: user name ""`},
		{"name with wildcard", "users:\n  - {name: \"a+\", hash: \"" + good + "\"}\n", `:2: user name "a+"`},
		{"name of everyone", "users:\n  - {name: \"*\", hash: \"" + good + "\"}\n", `:2: user name "*"`},
		{"neither hash nor cert", "users:\n  - {name: a}\n", `:2: user "a" has neither`},
		{"hash cut off", "users:\n  - {name: a, hash: \"" + good[:len(good)-30] + "\"}\n", `:2: user "a": salt or key`},
		{"plain password", "users:\n  - {name: a, hash: secret}\n", `:2: user "a": not an argon2id hash`},
		{"hash that needs a gigabyte", "users:\n  - {name: a, hash: \"" + strings.Replace(good, "m=8", "m=1048576", 1) + "\"}\n", "out of bounds"},
		{"hash without threads", "users:\n  - {name: a, hash: \"" + strings.Replace(good, "p=1", "p=0", 1) + "\"}\n", "out of bounds"},
		{"hash with other parameters", "users:\n  - {name: a, hash: \"" + strings.Replace(good, "p=1", "p=1,x", 1) + "\"}\n", "parameters"},
		{"verifier cut off", "users:\n  - {name: a, scram: \"SCRAM-SHA-256$4096:AAAA\"}\n", `:2: user "a": not a SCRAM-SHA-256 verifier`},
		{"verifier too cheap", "users:\n  - {name: a, scram: \"" + strings.Replace(cheapScram("x"), "$4096:", "$1:", 1) + "\"}\n", "iterations"},
		{"good hash and bad verifier", "users:\n  - {name: a, hash: \"" + good + "\", scram: x}\n", `:2: user "a": not a SCRAM`},
		{"user twice", "users:\n  - {name: a, hash: \"" + good + "\"}\n  - {name: a, hash: \"" + good + "\"}\n", `:3: user "a" comes twice`},
		{"certificate twice", "users:\n  - {name: a, cert: CN=a}\n  - {name: b, cert: CN=a}\n", `:3: certificate "CN=a" belongs`},
		{"empty client", "users:\n  - {name: a, client: \"\", cert: CN=a}\n", ":2: expected a text"},
	}
	for _, c := range tests {
		t.Run(c.name, func(t *testing.T) {
			p, err := Load(writeFile(t, "users.yaml", c.text), "")
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %+v, %v; want %q", p, err, c.want)
			}
		})
	}
}

// TestBadRules does the same for acl.yaml (CVE-2018-12550: an empty file allowed everything).
func TestBadRules(t *testing.T) {
	tests := []struct{ name, text, want string }{
		{"empty", "", ":1: the file is empty"},
		{"no user", "rules:\n  - {publish: [a]}\n", ":2: user is missing"},
		{"allows nothing", "rules:\n  - {user: a}\n", ":2: the rule allows nothing"},
		{"empty list", "rules:\n  - {user: a, publish: []}\n", ":2: the list is empty"},
		{"list of numbers is a list of texts", "rules:\n  - {user: a, publish: [\"\"]}\n", ":2: expected a text"},
		{"bad filter", "rules:\n  - user: a\n    publish: [a/#/b]\n", `:2: filter "a/#/b": # is not alone`},
		{"publish is a text", "rules:\n  - {user: a, publish: a}\n", ":2: expected a list"},
		{"unknown key", "rules:\n  - {user: a, deny: [a]}\n", `:2: unknown key "deny"`},
		{"unknown role", "rules:\n  - {user: a, role: admin}\n", `:2: role "admin" is neither`},
		{"node without node", "rules:\n  - {user: a, role: sparkplug-node, group: G}\n", ":2: sparkplug-node needs"},
		{"node with wildcard", "rules:\n  - {user: a, role: sparkplug-node, group: G, node: \"+\"}\n", ":2: sparkplug-node needs"},
		{"node with slash", "rules:\n  - {user: a, role: sparkplug-node, group: G/H, node: n}\n", ":2: sparkplug-node needs"},
		{"node with commands", "rules:\n  - {user: a, role: sparkplug-node, group: G, node: n, commands: true}\n", "are for sparkplug-host"},
		{"host without id", "rules:\n  - {user: a, role: sparkplug-host}\n", ":2: sparkplug-host needs"},
		{"host with group +", "rules:\n  - {user: a, role: sparkplug-host, host_id: h, groups: [\"+\"]}\n", `:2: group "+"`},
		{"host with node", "rules:\n  - {user: a, role: sparkplug-host, host_id: h, node: n}\n", "are for sparkplug-node"},
		{"group without role", "rules:\n  - {user: a, group: G, publish: [a]}\n", "need a role"},
		{"commands is a text", "rules:\n  - {user: a, role: sparkplug-host, host_id: h, commands: perhaps}\n", ":2: commands is true or false"},
	}
	for _, c := range tests {
		t.Run(c.name, func(t *testing.T) {
			p, err := Load("", writeFile(t, "acl.yaml", c.text))
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %+v, %v; want %q", p, err, c.want)
			}
		})
	}
}

func TestEveryProblemIsReported(t *testing.T) {
	users := writeFile(t, "users.yaml", "users:\n  - {name: a}\n  - {name: b}\n")
	rules := writeFile(t, "acl.yaml", "rules:\n  - {user: a, x: 1}\n")
	_, err := Load(users, rules)
	for _, want := range []string{"users.yaml:2:", "users.yaml:3:", "acl.yaml:2:"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q is missing in %v", want, err)
		}
	}
}

// TestCutOff loads every part of good files, as a power cut would leave them: it is refused, or allows no more than the
// whole.
func TestCutOff(t *testing.T) {
	whole := plant(t)
	folder := t.TempDir()
	users, rules := filepath.Join(folder, "users.yaml"), filepath.Join(folder, "acl.yaml")
	write := func(file, text string) {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(users, plantUsers())
	for n := range len(plantRules) {
		write(rules, plantRules[:n])
		p, err := Load(users, rules)
		if err != nil {
			continue
		}
		for _, user := range []string{"press", "scada", "viewer", "tool", "robert"} {
			id := Identity{User: user, ClientID: "c"}
			for _, r := range p.rulesOf(id) {
				for _, f := range r.subscribe {
					if filter, ok := f.expand(id); ok && p.MaySubscribe(id, filter) && !whole.MaySubscribe(id, filter) {
						t.Errorf("%d bytes of acl.yaml allow %s to subscribe to %s", n, user, filter)
					}
				}
			}
		}
	}
	all := plantUsers()
	for n := range len(all) {
		write(users, all[:n])
		if p, err := Load(users, ""); err == nil {
			for name, u := range p.byName {
				if whole.byName[name] == nil || whole.byName[name].User != u.User {
					t.Errorf("%d bytes of users.yaml change %q", n, name)
				}
			}
		}
	}
}

func TestUnreadable(t *testing.T) {
	folder := t.TempDir()
	if _, err := Load(folder, ""); err == nil { // reading a folder fails for every user, root too
		t.Error("an unreadable users.yaml gives a policy")
	}
	if _, err := Load("", folder); err == nil {
		t.Error("an unreadable acl.yaml gives a policy")
	}
	if _, err := Load(writeFile(t, "users.yaml", "#"+strings.Repeat("x", maxFileBytes)+"\n"), ""); err == nil {
		t.Error("a file without end gives a policy")
	}
}

// TestReload: a bad file leaves the policy in force as it is; a good one takes rights away from identities that exist.
func TestReload(t *testing.T) {
	users, rules := writeFile(t, "users.yaml", plantUsers()), writeFile(t, "acl.yaml", plantRules)
	p, err := Load(users, rules)
	if err != nil {
		t.Fatal(err)
	}
	id, err := p.Connect(context.Background(), ConnectRequest{Username: "tool", Password: []byte("tool-password")})
	if err != nil || !p.MayPublish(id, "tools/tool/x") {
		t.Fatalf("%+v, %v", id, err)
	}
	os.WriteFile(rules, nil, 0o600)
	if next, err := p.Reload(); err == nil {
		t.Errorf("an empty acl.yaml gives %+v", next)
	}
	if !p.MayPublish(id, "tools/tool/x") {
		t.Error("a failed reload changed the policy in force")
	}
	os.WriteFile(rules, []byte("rules: []\n"), 0o600)
	next, err := p.Reload()
	if err != nil {
		t.Fatal(err)
	}
	if next.MayPublish(id, "tools/tool/x") || next.hashing != p.hashing {
		t.Error("the right is still there, or password checks are counted anew")
	}
}

func TestWriteUsers(t *testing.T) {
	file := filepath.Join(t.TempDir(), "users.yaml")
	if users, err := ReadUsers(file); err != nil || len(users) != 0 {
		t.Fatalf("missing file: %v, %v", users, err)
	}
	want := []User{{Name: "press", Client: "press-*", Hash: cheapHash("x")}, {Name: "a b", Cert: "CN=a: b, #O=\"x\""}}
	for _, list := range [][]User{want, nil, want[:1]} {
		if err := WriteUsers(file, list); err != nil {
			t.Fatal(err)
		}
		got, err := ReadUsers(file)
		if diff := cmp.Diff(list, got); err != nil || len(list) > 0 && diff != "" || len(got) != len(list) {
			t.Errorf("%v; -want +got:\n%s", err, diff)
		}
	}
	info, err := os.Stat(file)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	entries, err := os.ReadDir(filepath.Dir(file))
	if err != nil || len(entries) != 1 {
		t.Errorf("files left behind: %v, %v", entries, err)
	}
}

// TestWriteUsersFails leaves the old file as it was, and no temporary one.
func TestWriteUsersFails(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "users.yaml") // a folder cannot be replaced by a file
	if err := os.MkdirAll(filepath.Join(folder, "x"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := WriteUsers(folder, nil); err == nil {
		t.Error("a folder was replaced")
	}
	left, _ := fs.Glob(os.DirFS(filepath.Dir(folder)), ".users.yaml.*")
	if len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func FuzzLoad(f *testing.F) {
	f.Add(plantUsers(), plantRules)
	f.Add("users: &a\n  - *a\n", "rules: [{user: a, publish: [\"%u/#\"]}]\n")
	f.Fuzz(func(t *testing.T, users, rules string) {
		folder := t.TempDir()
		usersFile, rulesFile := filepath.Join(folder, "u"), filepath.Join(folder, "a")
		os.WriteFile(usersFile, []byte(users), 0o600)
		os.WriteFile(rulesFile, []byte(rules), 0o600)
		p, err := Load(usersFile, rulesFile)
		if err != nil {
			return
		}
		if len(p.rules)+len(p.others) == 0 && (p.MayPublish(Identity{User: "a"}, "x") || p.MaySubscribe(Identity{User: "a"}, "x")) {
			t.Error("no rules allow something")
		}
		if p.MayPublish(Identity{User: "a"}, "$x") {
			t.Error("a rule allows a $ topic")
		}
	})
}
