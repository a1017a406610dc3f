package ui

import (
	"math"
	"net/http"

	"edge/broker/server"
)

type clientJSON struct {
	ID            string   `json:"id"`
	User          string   `json:"user"`
	Address       string   `json:"address"`
	Listener      string   `json:"listener"`
	TLS           bool     `json:"tls"`
	Certificate   string   `json:"certificate"`
	Protocol      string   `json:"protocol"` // "3.1", "3.1.1" or "5.0"
	Connected     bool     `json:"connected"`
	Since         stamp    `json:"since"`
	KeepAlive     float64  `json:"keep_alive"`     // seconds; 0: none
	SessionExpiry *float64 `json:"session_expiry"` // seconds; null: never
	Subscriptions int      `json:"subscriptions"`
	Inflight      int      `json:"inflight"`
	Queued        int      `json:"queued"`
	QueuedBytes   int64    `json:"queued_bytes"`
	Dropped       uint64   `json:"dropped"`
}

// maxClients bounds the answer; the broker's own limit is lower unless it was raised.
const maxClients = 10_000

func (u *UI) clients(w http.ResponseWriter, r *http.Request) {
	out := []clientJSON{}
	if u.opt.Broker != nil {
		for _, c := range u.opt.Broker.Clients() {
			if len(out) == maxClients {
				break
			}
			out = append(out, clientToJSON(c))
		}
	}
	answer(w, http.StatusOK, out)
}

func clientToJSON(c server.ClientInfo) clientJSON {
	out := clientJSON{
		ID: c.ClientID, User: c.User, Address: c.Addr, Listener: c.Listener, TLS: c.TLS, Certificate: c.Cert, Protocol: "3.1.1",
		Connected: c.Connected, Since: stamp(c.Since), KeepAlive: seconds(c.KeepAlive), Subscriptions: len(c.Subscriptions),
		Inflight: c.Inflight, Queued: c.Queued, QueuedBytes: c.QueuedBytes, Dropped: c.Dropped,
	}
	switch c.Protocol {
	case 3:
		out.Protocol = "3.1"
	case 5:
		out.Protocol = "5.0"
	}
	if c.SessionExpiry != math.MaxInt64 {
		s := seconds(c.SessionExpiry)
		out.SessionExpiry = &s
	}
	return out
}
