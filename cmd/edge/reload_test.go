package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"
)

const password = "correct horse battery"

// makeUser writes a user beside the configuration.
func makeUser(t *testing.T, dir, name string) {
	t.Helper()
	if code, _, errs := edgeUser(password+"\n", "add", name, "--file", filepath.Join(dir, "users.yaml")); code != exitOK {
		t.Fatal(errs)
	}
}

// mayConnect tells whether a user is let in.
func (c *child) mayConnect(user string) bool {
	o := mqtt.NewClientOptions().AddBroker("tcp://" + c.mqtt).SetClientID(user).SetUsername(user).SetPassword(password).
		SetAutoReconnect(false).SetConnectRetry(false)
	client := mqtt.NewClient(o)
	defer client.Disconnect(0)
	token := client.Connect()
	return token.WaitTimeout(patience) && token.Error() == nil
}

// TestHangup: SIGHUP takes new users and another log level; a bad file changes nothing and says why.
func TestHangup(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	const listener = "broker: {listeners: [{name: plant, address: \"127.0.0.1:0\"}]}\n"
	makeUser(t, dir, "first")
	c := start(t, configure(t, dir, listener))
	if !c.mayConnect("first") || c.mayConnect("second") {
		t.Fatal("before SIGHUP only the first user is to be let in")
	}
	reloads := func() int { return strings.Count(c.log(), " reloaded; restart") }
	refusals := func() int { return strings.Count(c.log(), "reload refused, nothing was changed") }

	makeUser(t, dir, "second")
	c.signal(syscall.SIGHUP)
	eventually(t, patience, "the reload is logged", func() bool { return reloads() == 1 })
	if !c.mayConnect("second") {
		t.Error("the new user is not let in after SIGHUP")
	}

	makeUser(t, dir, "third")
	bad := []struct{ file, text, why string }{
		{"acl.yaml", "rules: [{alow: everything", `acl\.yaml`},
		{"edge.yaml", "log: {level: noisy}\n" + listener, `log\.level`},
	}
	for i, b := range bad {
		good, _ := os.ReadFile(filepath.Join(dir, b.file))
		if err := os.WriteFile(filepath.Join(dir, b.file), []byte(b.text), 0o600); err != nil {
			t.Fatal(err)
		}
		c.signal(syscall.SIGHUP)
		eventually(t, patience, "the refusal is logged", func() bool { return refusals() == i+1 })
		if !regexp.MustCompile(`level=ERROR msg="reload refused.*` + b.why).MatchString(c.log()) {
			t.Errorf("the refusal does not name %s:\n%s", b.why, c.log())
		}
		if c.mayConnect("third") || !c.mayConnect("second") {
			t.Errorf("a bad %s changed who is let in", b.file)
		}
		if good == nil {
			os.Remove(filepath.Join(dir, b.file))
		} else if err := os.WriteFile(filepath.Join(dir, b.file), good, 0o600); err != nil {
			t.Fatal(err)
		}
	}

	configure(t, dir, listener+"log: {level: debug}\n")
	c.signal(syscall.SIGHUP)
	eventually(t, patience, "the second reload is logged", func() bool { return reloads() == 2 })
	if !c.mayConnect("third") {
		t.Error("the third user is not let in after a good reload")
	}
	c.stop()
	if !strings.Contains(c.log(), "level=DEBUG") {
		t.Error("nothing is logged at the level that was set while running")
	}
}

// certificate makes a certificate for 127.0.0.1 that signs itself, and returns its files.
func certificate(t *testing.T, dir, name string) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, &template, &template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	cert, key = filepath.Join(dir, name+".pem"), filepath.Join(dir, name+".key")
	for file, block := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: der}, key: {Type: "PRIVATE KEY", Bytes: keyDER}} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return cert, key
}

// TestTLSListener: mosquitto_pub, written by others, publishes over TLS with a name and password; a wrong password, no
// name, and another authority's certificate are refused. SIGHUP takes a new certificate, all files or none.
func TestTLSListener(t *testing.T) {
	t.Parallel()
	pub, sub := program(t, "mosquitto_pub", installMosquitto), program(t, "mosquitto_sub", installMosquitto)
	dir := t.TempDir()
	cert, key := certificate(t, dir, "server")
	other, _ := certificate(t, t.TempDir(), "other")
	makeUser(t, dir, "press")
	if err := os.WriteFile(filepath.Join(dir, "acl.yaml"), []byte("rules:\n  - {user: press, publish: [\"a/#\"], subscribe: [\"a/#\"]}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c := start(t, configure(t, dir, fmt.Sprintf(
		"broker: {listeners: [{name: secure, address: \"127.0.0.1:0\", tls: {cert: %s, key: %s}}]}\n", cert, key)))
	host, port, _ := net.SplitHostPort(c.mqtt)
	run := func(program string, args ...string) (string, error) {
		out, err := exec.Command(program, append([]string{"-h", host, "-p", port, "-V", "5", "-t", "a/b", "-q", "1"}, args...)...).CombinedOutput()
		return string(out), err
	}
	if out, err := run(pub, "--cafile", cert, "-u", "press", "-P", password, "-m", "hello", "-r"); err != nil {
		t.Errorf("with name and password: %v %s", err, out)
	}
	if out, err := run(sub, "--cafile", cert, "-u", "press", "-P", password, "-C", "1", "-W", "10"); err != nil || strings.TrimSpace(out) != "hello" {
		t.Errorf("subscribed: %v %q", err, out)
	}
	refused := map[string][]string{
		"wrong password":       {"--cafile", cert, "-u", "press", "-P", "not that horse", "-m", "x"},
		"unknown name":         {"--cafile", cert, "-u", "oven", "-P", password, "-m", "x"},
		"anonymous":            {"--cafile", cert, "-m", "x"},
		"without TLS":          {"-u", "press", "-P", password, "-m", "x"},
		"with another's trust": {"--cafile", other, "-u", "press", "-P", password, "-m", "x"},
	}
	for name, args := range refused {
		if out, err := run(pub, args...); err == nil {
			t.Errorf("%s: it was let in: %s", name, out)
		}
	}
	if strings.Contains(c.log(), password) {
		t.Error("the log holds a password")
	}

	certificate(t, dir, "server") // the same files, new
	c.signal(syscall.SIGHUP)
	c.logs(`certificates, users, rules, firewall and log level reloaded`)
	if out, err := run(pub, "--cafile", cert, "-u", "press", "-P", password, "-m", "again"); err != nil {
		t.Errorf("with the renewed certificate: %v %s", err, out)
	}
}

// TestReloadAllOrNothing: with two listeners, one bad certificate keeps the good one from being taken too.
func TestReloadAllOrNothing(t *testing.T) {
	dir := t.TempDir()
	cert, key := certificate(t, dir, "mqtt")
	pageCert, pageKey := certificate(t, dir, "page")
	cfg := defaultConfig()
	cfg.Data, cfg.HTTP.Address, cfg.HTTP.TLS = filepath.Join(dir, "data"), "127.0.0.1:0", TLSConfig{Cert: pageCert, Key: pageKey}
	cfg.Broker.Listeners = []ListenerConfig{{Name: "secure", Address: "127.0.0.1:0", TLS: TLSConfig{Cert: cert, Key: key}}}
	cfg.dir = dir
	app, err := NewApp(&cfg, testLog(t), appOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer app.Close()
	before := app.certs[0].current.Load()
	certificate(t, dir, "page")
	if err := os.WriteFile(cert, []byte("cut"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := app.Reload(&cfg); err == nil || !strings.Contains(err.Error(), cert) {
		t.Errorf("reload with a cut certificate: %v, want it to name %s", err, cert)
	}
	if app.certs[0].current.Load() != before {
		t.Error("the page took its new certificate although the reload was refused")
	}
}

// TestServiceManager: READY=1 when clients are let in, WATCHDOG=1 while the host moves, STOPPING=1 at the end.
func TestServiceManager(t *testing.T) {
	t.Parallel()
	socket := filepath.Join(t.TempDir(), "n")
	l, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c := start(t, configure(t, t.TempDir(), ""), "NOTIFY_SOCKET="+socket, "WATCHDOG_USEC=1000000")
	next := func() string {
		t.Helper()
		b := make([]byte, 256)
		l.SetReadDeadline(time.Now().Add(patience))
		n, err := l.Read(b)
		if err != nil {
			t.Fatalf("the service manager hears nothing: %v", err)
		}
		return string(b[:n])
	}
	if got := next(); got != "READY=1" {
		t.Errorf("first it says %q", got)
	}
	c.must(c.connect("c", true).Publish("t", 1, false, "m"))
	for range 2 {
		if got := next(); got != "WATCHDOG=1" {
			t.Errorf("then it says %q", got)
		}
	}
	c.signal(syscall.SIGTERM)
	got := next()
	for ; got == "WATCHDOG=1"; got = next() {
	}
	if got != "STOPPING=1" || c.exit() != exitOK {
		t.Errorf("at the end it says %q", got)
	}
}
