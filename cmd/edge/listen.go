package main

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"edge/broker/server"
)

// listenMQTT takes the address of one of the broker's listeners.
func (a *App) listenMQTT(key string, c *ListenerConfig) (net.Listener, error) {
	if c.Transport == "unix" {
		return listenUnix(key, a.cfg.socket(c.Address), c.mode())
	}
	l, err := a.listen(key, c.Address, c.TLS)
	if err != nil || c.Transport != "ws" {
		return l, err
	}
	return server.WebSocketListener(l, server.WebSocketOptions{Path: c.Path, Origins: c.Origins}), nil
}

// listen takes a TCP address, with TLS if the configuration has it.
func (a *App) listen(key, address string, files TLSConfig) (net.Listener, error) {
	secure, err := newServerTLS(a.cfg, files)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", key, err)
	}
	l, err := net.Listen("tcp", address)
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, fmt.Errorf("%s: %s is in use; stop the other program or set another address", key, address)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", key, err)
	}
	if secure != nil {
		a.certs = append(a.certs, secure)
		l = tlsListener{l, secure}
	}
	return l, nil
}

// tlsListener gives each connection the files that were loaded last. Tickets of an earlier load are worth nothing: who
// resumes a session was not asked for a certificate of today's authority. The handshake is for who serves the connection.
type tlsListener struct {
	net.Listener
	files *serverTLS
}

// Accept implements net.Listener.
func (l tlsListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return tls.Server(c, l.files.current.Load()), nil
}

// listenUnix makes a socket for programs of this machine; Close removes it.
func listenUnix(key, path string, mode fs.FileMode) (net.Listener, error) {
	if err := clearSocket(path); err != nil {
		return nil, fmt.Errorf("%s: %w", key, err)
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", key, err)
	}
	if err := os.Chmod(path, mode); err != nil {
		l.Close()
		return nil, fmt.Errorf("%s: %w", key, err)
	}
	return l, nil
}

// clearSocket removes a socket that a program left when it died: nobody answers on it.
func clearSocket(path string) error {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case info.Mode().Type() != fs.ModeSocket:
		return fmt.Errorf("%s is there and is no socket; remove it or set another address", path)
	}
	c, err := net.DialTimeout("unix", path, time.Second)
	switch {
	case err == nil:
		c.Close()
		return fmt.Errorf("%s is in use; stop the other program or set another address", path)
	case errors.Is(err, syscall.ECONNREFUSED):
		return os.Remove(path)
	}
	return err
}

// socket makes the address of a unix socket absolute: relative ones start at the data folder.
func (c *Config) socket(address string) string {
	if filepath.IsAbs(address) {
		return address
	}
	return filepath.Join(c.Data, address)
}

// mode is who may connect to a unix socket; validate has read it before.
func (c *ListenerConfig) mode() fs.FileMode {
	m, _ := strconv.ParseUint(c.Mode, 8, 32)
	return fs.FileMode(m)
}

// local tells whether only this machine can reach the listener.
func (c *ListenerConfig) local() bool { return c.Transport == "unix" || isLoopback(c.Address) }
