package main

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"edge/broker/auth"
)

// edgeUser runs `edge user` with a line of standard input and returns its exit code, output and errors.
func edgeUser(input string, args ...string) (code int, out, errs string) {
	var o, e bytes.Buffer
	code = runUser(context.Background(), args, streams{strings.NewReader(input), &o, &e})
	return code, o.String(), e.String()
}

// TestUserLife adds, changes, lists and removes users; what the commands write lets them in, or not, by the policy that
// the broker loads.
func TestUserLife(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "users.yaml")
	login := func(name, password string) error {
		t.Helper()
		p, err := auth.Load(file, "")
		if err != nil {
			t.Fatal(err)
		}
		_, err = p.Connect(context.Background(), auth.ConnectRequest{ClientID: name, Username: name, Password: []byte(password)})
		return err
	}
	steps := []struct {
		args     []string
		input    string
		code     int
		out, err string // must be part of it
	}{
		{[]string{"list", "--file", file}, "", exitOK, "NAME", ""},
		{[]string{"add", "press", "--client", "press", "--file", file}, "correct horse\n", exitOK, "added press", ""},
		{[]string{"add", "--file", file, "scada"}, "battery staple\r\n", exitOK, "added scada", ""},
		{[]string{"add", "oven", "--cert", "CN=oven", "--file", file}, "", exitOK, "added oven", ""},
		{[]string{"add", "press", "--file", file}, "correct horse\n", exitFailed, "", "is there already"},
		{[]string{"add", "a/b", "--file", file}, "correct horse\n", exitFailed, "", `user name "a/b"`},
		{[]string{"add", "short", "--file", file}, "elevenchars\n", exitFailed, "", "at least 12 characters"},
		{[]string{"add", "short", "--file", file}, "", exitFailed, "", "at least 12 characters"},
		{[]string{"add", "long", "--file", file}, strings.Repeat("x", maxPassword+1), exitFailed, "", "at most 1024 bytes"},
		{[]string{"add", "\u2163", "--file", file}, "correct horse\n", exitFailed, "", `use its plain form, "IV"`},
		{[]string{"add", "tab", "--file", file}, "a tab is\there\n", exitFailed, "", "cannot be used with SCRAM"},
		{[]string{"add", "tab", "--file", file, "--iterations", "0"}, "a tab is\there\n", exitOK, "added tab", ""},
		{[]string{"add", "weak", "--file", file, "--iterations", "1000"}, "correct horse\n", exitFailed, "", "SCRAM takes 4096 to"},
		{[]string{"passwd", "nobody", "--file", file}, "correct horse\n", exitFailed, "", `no user "nobody"`},
		{[]string{"remove", "nobody", "--file", file}, "", exitFailed, "", `no user "nobody"`},
		{[]string{"list", "--file", file}, "", exitOK, "press  press   password, SCRAM-SHA-256", ""},
		{[]string{"list", "--file", file}, "", exitOK, "oven   any     certificate CN=oven", ""},
		{[]string{"list", "--file", file}, "", exitOK, "tab    any     password\n", ""},
	}
	for _, s := range steps {
		code, out, errs := edgeUser(s.input, s.args...)
		if code != s.code || !strings.Contains(out, s.out) || !strings.Contains(errs, s.err) {
			t.Errorf("edge user %s: %d\n%s%s", strings.Join(s.args, " "), code, out, errs)
		}
		if password := strings.TrimSpace(s.input); password != "" && strings.Contains(out+errs, password) {
			t.Errorf("edge user %s prints the password", strings.Join(s.args, " "))
		}
	}
	if err := login("press", "correct horse"); err != nil {
		t.Errorf("press: %v", err)
	}
	if err := login("scada", "battery staple"); err != nil {
		t.Errorf("scada: %v", err)
	}
	edgeUser("another password\n", "passwd", "press", "--file", file)
	edgeUser("", "remove", "scada", "--file", file)
	var refused *auth.Refused
	if err := login("press", "another password"); err != nil {
		t.Errorf("press with the new password: %v", err)
	}
	if err := login("press", "correct horse"); !errors.As(err, &refused) {
		t.Errorf("press with the old password: %v", err)
	}
	if err := login("scada", "battery staple"); !errors.As(err, &refused) {
		t.Errorf("scada, removed: %v", err)
	}
	text, err := os.ReadFile(file)
	if err != nil || strings.Contains(string(text), "another password") {
		t.Errorf("%v; the file holds a password:\n%s", err, text)
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode of %v, %v", info, err)
	}
}

// TestUserLeavesBadFiles: a file that cannot be read in full is not written over.
func TestUserLeavesBadFiles(t *testing.T) {
	const broken = "users:\n  - {name: a, hash: cut"
	file := filepath.Join(t.TempDir(), "users.yaml")
	if err := os.WriteFile(file, []byte(broken), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"add", "b"}, {"passwd", "a"}, {"remove", "a"}, {"list"}} {
		code, _, errs := edgeUser("correct horse\n", append(args, "--file", file)...)
		if code != exitFailed || !strings.Contains(errs, "users.yaml") {
			t.Errorf("edge user %v: %d, %s", args, code, errs)
		}
	}
	if text, err := os.ReadFile(file); err != nil || string(text) != broken {
		t.Errorf("the file was changed: %q, %v", text, err)
	}
}

func TestUserUsage(t *testing.T) {
	tests := []struct {
		name string
		args []string
		code int
	}{
		{"help", []string{"--help"}, exitOK},
		{"nothing", nil, exitUsage},
		{"unknown act", []string{"rename", "a"}, exitUsage},
		{"add without a name", []string{"add"}, exitUsage},
		{"list with a name", []string{"list", "a"}, exitUsage},
		{"password as an argument", []string{"add", "a", "correct horse"}, exitUsage},
		{"password as a flag", []string{"add", "a", "--password", "correct horse"}, exitUsage},
		{"client with remove", []string{"remove", "a", "--client", "c"}, exitUsage},
	}
	for _, c := range tests {
		t.Run(c.name, func(t *testing.T) {
			code, out, errs := edgeUser("", c.args...)
			if code == exitOK {
				errs = out // help that was asked for is the command's output
			}
			if code != c.code || !strings.Contains(errs, "example: edge user add press") {
				t.Errorf("%d\n%s", code, errs)
			}
		})
	}
}
