package main

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
	"strings"
	"sync/atomic"
)

// serverTLS is the TLS of one listener; a reload swaps current, for the connections to come.
type serverTLS struct {
	files   TLSConfig
	current atomic.Pointer[tls.Config]
}

// newServerTLS loads the files; nil without TLS.
func newServerTLS(c *Config, files TLSConfig) (*serverTLS, error) {
	if !files.enabled() {
		return nil, nil
	}
	files.Cert, files.Key, files.ClientCA = c.path(files.Cert), c.path(files.Key), c.path(files.ClientCA)
	s := &serverTLS{files: files}
	loaded, err := s.load()
	s.current.Store(loaded)
	return s, err
}

// load reads the files.
func (s *serverTLS) load() (*tls.Config, error) {
	pair, err := tls.LoadX509KeyPair(s.files.Cert, s.files.Key)
	if err != nil {
		return nil, fmt.Errorf("certificate %s: %w", s.files.Cert, err)
	}
	next := &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{pair}}
	if s.files.ClientCA != "" {
		if next.ClientCAs, err = loadRoots(s.files.ClientCA); err != nil {
			return nil, err
		}
	}
	switch s.files.ClientAuth {
	case "require":
		next.ClientAuth = tls.RequireAndVerifyClientCert
	case "request":
		next.ClientAuth = tls.VerifyClientCertIfGiven
	}
	return next, nil
}

func loadRoots(file string) (*x509.CertPool, error) {
	pem, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("certificate authority: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("certificate authority %s: holds no PEM certificate", file)
	}
	return pool, nil
}

// clientTLS is the TLS of one uplink server: the system's roots unless ca names others.
func clientTLS(c *Config, s ServerConfig) (*tls.Config, error) {
	out := &tls.Config{MinVersion: tls.VersionTLS12}
	var err error
	if s.CA != "" {
		if out.RootCAs, err = loadRoots(c.path(s.CA)); err != nil {
			return nil, err
		}
	}
	if s.Cert != "" {
		pair, err := tls.LoadX509KeyPair(c.path(s.Cert), c.path(s.Key))
		if err != nil {
			return nil, fmt.Errorf("certificate %s: %w", s.Cert, err)
		}
		out.Certificates = []tls.Certificate{pair}
	}
	return out, nil
}

// readSecret reads a password file: its first line.
func readSecret(file string) (string, error) {
	if file == "" {
		return "", nil
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return "", fmt.Errorf("password file: %w", err)
	}
	line, _, _ := strings.Cut(string(data), "\n")
	return strings.TrimSuffix(line, "\r"), nil
}
