package server

import (
	"crypto/x509"
	"net"

	"edge/broker/topic"
)

// Auth says who may do what. broker/auth's policy satisfies it.
type Auth interface {
	MayPublish(user, clientID string, t topic.Name) bool
	MaySubscribe(user, clientID string, f topic.Filter) bool
}

var _ = x509.Certificate{}
var _ net.Addr
