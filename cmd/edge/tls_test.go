package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"edge/broker/packets"
)

// authority issues certificates of clients.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pem  []byte
}

func newAuthority(t *testing.T, name string) *authority {
	t.Helper()
	a := &authority{}
	template := &x509.Certificate{Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	a.cert, a.key = a.sign(t, template)
	a.pem = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.cert.Raw})
	return a
}

// sign makes a certificate and its key; the first one signs itself.
func (a *authority) sign(t *testing.T, template *x509.Certificate) (*x509.Certificate, *ecdsa.PrivateKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template.SerialNumber = big.NewInt(time.Now().UnixNano())
	template.NotBefore, template.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	parent, signer := a.cert, a.key
	if parent == nil {
		parent, signer = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert, key
}

// client issues the certificate of a client.
func (a *authority) client(t *testing.T, name string) tls.Certificate {
	t.Helper()
	cert, key := a.sign(t, &x509.Certificate{Subject: pkix.Name{CommonName: name}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
	return tls.Certificate{Certificate: [][]byte{cert.Raw}, PrivateKey: key}
}

// enter opens a connection and logs in; resumed tells whether a ticket was taken.
func enter(address string, conf *tls.Config, id string) (c *tls.Conn, resumed bool, err error) {
	dialer := &net.Dialer{Timeout: patience}
	c, err = tls.DialWithDialer(dialer, "tcp", address, conf)
	if err != nil {
		return nil, false, err
	}
	if err := exchange(c, &packets.Connect{Version: packets.V4, ClientID: id, CleanStart: true}, 4); err != nil {
		c.Close()
		return nil, false, err
	}
	return c, c.ConnectionState().DidResume, nil
}

// exchange sends p and reads the n bytes of its answer, the last of which is to be 0.
func exchange(c net.Conn, p packets.Packet, n int) error {
	c.SetDeadline(time.Now().Add(patience))
	if _, err := c.Write(p.Append(nil, packets.V4)); err != nil {
		return err
	}
	answer := make([]byte, n)
	if _, err := io.ReadFull(c, answer); err != nil {
		return err
	}
	if answer[n-1] != 0 {
		return fmt.Errorf("answer % x", answer)
	}
	return nil
}

// TestClientAuthority: a certificate of the clients' authority logs its user in. SIGHUP takes another authority: who is connected stays,
// what the old one signed is refused, also with a ticket of before; a bad file changes nothing.
func TestClientAuthority(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	cert, key := certificate(t, dir, "server")
	old, next := newAuthority(t, "old"), newAuthority(t, "next")
	ca := filepath.Join(dir, "ca.pem")
	write := func(text []byte) {
		t.Helper()
		if err := os.WriteFile(ca, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(old.pem)
	if code, _, errs := edgeUser("", "add", "oven", "--cert", "CN=oven", "--file", filepath.Join(dir, "users.yaml")); code != exitOK {
		t.Fatal(errs)
	}
	if err := os.WriteFile(filepath.Join(dir, "acl.yaml"), []byte("rules:\n  - {user: oven, publish: [\"a/#\"], subscribe: [\"a/#\"]}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c := start(t, configure(t, dir, fmt.Sprintf(
		"broker: {listeners: [{name: secure, address: \"127.0.0.1:0\", tls: {cert: %s, key: %s, client_ca: %s, client_auth: require}}]}\n", cert, key, ca)))
	roots, err := loadRoots(cert)
	if err != nil {
		t.Fatal(err)
	}
	conf := func(clients ...tls.Certificate) *tls.Config {
		return &tls.Config{RootCAs: roots, Certificates: clients}
	}
	resuming := map[string]*tls.Config{}
	for name, version := range map[string]uint16{"TLS 1.2": tls.VersionTLS12, "TLS 1.3": tls.VersionTLS13} {
		k := conf(old.client(t, "oven"))
		k.MinVersion, k.MaxVersion, k.ClientSessionCache = version, version, tls.NewLRUClientSessionCache(4)
		for i := range 2 {
			conn, resumed, err := enter(c.mqtt, k, name)
			if err != nil || resumed != (i == 1) {
				t.Fatalf("%s: %v, resumed %v", name, err, resumed)
			}
			conn.Close()
		}
		resuming[name] = k
	}
	stays, _, err := enter(c.mqtt, conf(old.client(t, "oven")), "stays")
	if err != nil {
		t.Fatal(err)
	}
	defer stays.Close()
	var clients []struct{ ID, User, Certificate string }
	c.get("api/v1/clients", &clients)
	for _, i := range clients {
		if i.ID == "stays" && (i.User != "oven" || i.Certificate != "CN=oven") {
			t.Errorf("the client is shown as %+v", i)
		}
	}

	old11 := conf(old.client(t, "oven"))
	old11.MinVersion, old11.MaxVersion = tls.VersionTLS11, tls.VersionTLS11
	refused := func(when string, all map[string]*tls.Config) {
		t.Helper()
		for name, k := range all {
			if conn, resumed, err := enter(c.mqtt, k, name); err == nil {
				conn.Close()
				t.Errorf("%s, %s was let in (resumed %v)", when, name, resumed)
			}
		}
	}
	refused("at first", map[string]*tls.Config{
		"no certificate": conf(), "another authority": conf(next.client(t, "oven")), "nobody's certificate": conf(old.client(t, "press")), "TLS 1.1": old11,
	})

	write(next.pem)
	c.signal(syscall.SIGHUP)
	c.logs(`certificates, users, rules, firewall and log level reloaded`)
	if err := exchange(stays, &packets.Publish{Topic: "a", QoS: 1, PacketID: 256}, 4); err != nil {
		t.Errorf("who is connected: %v", err)
	}
	resuming["the old authority"] = conf(old.client(t, "oven"))
	refused("after the reload", resuming)
	conn, _, err := enter(c.mqtt, conf(next.client(t, "oven")), "next")
	if err != nil {
		t.Fatalf("the next authority: %v", err)
	}
	conn.Close()

	write([]byte("cut"))
	c.signal(syscall.SIGHUP)
	c.logs(`level=ERROR msg="reload refused.*ca\.pem`)
	refused("after a bad file", resuming)
	conn, _, err = enter(c.mqtt, conf(next.client(t, "oven")), "next")
	if err != nil {
		t.Fatalf("after a bad file: %v", err)
	}
	conn.Close()
	c.logs(`level=WARN msg=refused .*reason="TLS handshake failed"`)
}

// TestCheckCertificates: `edge check` reads what the listener would read.
func TestCheckCertificates(t *testing.T) {
	dir := t.TempDir()
	cert, key := certificate(t, dir, "one")
	_, other := certificate(t, dir, "two")
	for name, c := range map[string]struct{ tls, says string }{
		"a pair":      {fmt.Sprintf("{cert: %s, key: %s}", cert, key), ""},
		"no pair":     {fmt.Sprintf("{cert: %s, key: %s}", cert, other), "does not match"},
		"a key twice": {fmt.Sprintf("{cert: %s, key: %s}", key, key), "certificate"},
		"no authority": {fmt.Sprintf("{cert: %s, key: %s, client_ca: %s, client_auth: require}", cert, key, key),
			"holds no PEM certificate"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := loadConfig(writeFile(t, "edge.yaml", "broker: {listeners: [{name: a, address: \"127.0.0.1:0\", tls: "+c.tls+"}]}"), nil, nil)
			if c.says == "" && err != nil || c.says != "" && (err == nil || !strings.Contains(err.Error(), "broker.listeners[0].tls") || !strings.Contains(err.Error(), c.says)) {
				t.Errorf("%v, want %q", err, c.says)
			}
		})
	}
}
