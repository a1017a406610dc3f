package ui

import (
	"math"
	"net/http"

	"github.com/gorilla/mux"

	"edge/broker"
	"edge/broker/server"
)

type clientJSON struct {
	ID             string       `json:"id"`
	User           string       `json:"user"`
	Address        string       `json:"address"`
	Listener       string       `json:"listener"`
	TLS            bool         `json:"tls"`
	Certificate    string       `json:"certificate"`
	Protocol       string       `json:"protocol"` // "3.1", "3.1.1" or "5.0"
	Connected      bool         `json:"connected"`
	Since          stamp        `json:"since"`
	KeepAlive      float64      `json:"keep_alive"`     // seconds; 0: none
	SessionExpiry  *float64     `json:"session_expiry"` // seconds; null: never
	WillTopic      string       `json:"will_topic"`
	Subscriptions  int          `json:"subscriptions"`
	Inflight       int          `json:"inflight"`
	Queued         int          `json:"queued"`
	QueuedBytes    int64        `json:"queued_bytes"`
	OutboxBytes    int          `json:"outbox_bytes"`
	Unacknowledged int          `json:"unacknowledged"`
	Dropped        uint64       `json:"dropped"`
	Slow           bool         `json:"slow"`
	Received       trafficJSON  `json:"received"`
	Sent           trafficJSON  `json:"sent"`
	LastDisconnect *leavingJSON `json:"last_disconnect"`
}

type trafficJSON struct {
	Messages uint64 `json:"messages"`
	Packets  uint64 `json:"packets"`
	Bytes    uint64 `json:"bytes"`
}

type leavingJSON struct {
	Reason  string `json:"reason"`
	At      stamp  `json:"at"`
	Address string `json:"address"`
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
			out = append(out, clientToJSON(&c))
		}
	}
	answer(w, http.StatusOK, out)
}

func clientToJSON(c *server.ClientInfo) clientJSON {
	out := clientJSON{
		ID: c.ClientID, User: c.User, Address: c.Addr, Listener: c.Listener, TLS: c.TLS, Certificate: c.Cert, Protocol: protocolName(c.Protocol),
		Connected: c.Connected, Since: stamp(c.Since), KeepAlive: seconds(c.KeepAlive), WillTopic: c.Will, Subscriptions: len(c.Subscriptions),
		Inflight: c.Inflight, Queued: c.Queued, QueuedBytes: c.QueuedBytes, OutboxBytes: c.OutboxBytes, Unacknowledged: c.Receiving,
		Dropped: c.Dropped, Slow: c.Slow, Received: trafficToJSON(&c.Received), Sent: trafficToJSON(&c.Sent),
	}
	if c.SessionExpiry != math.MaxInt64 {
		s := seconds(c.SessionExpiry)
		out.SessionExpiry = &s
	}
	if c.Last != nil {
		out.LastDisconnect = &leavingJSON{string(c.Last.Reason), stamp(c.Last.At), c.Last.Addr}
	}
	return out
}

func protocolName(version byte) string {
	switch version {
	case 3:
		return "3.1"
	case 5:
		return "5.0"
	}
	return "3.1.1"
}

func trafficToJSON(t *broker.Traffic) trafficJSON {
	return trafficJSON{t.Publishes(), t.Packets, t.Bytes}
}

type oneClientJSON struct {
	Client  clientJSON   `json:"client"`
	Filters []filterJSON `json:"filters"`
}

type filterJSON struct {
	Filter            string `json:"filter"`
	QoS               byte   `json:"qos"`
	NoLocal           bool   `json:"no_local"`
	RetainAsPublished bool   `json:"retain_as_published"`
	RetainHandling    byte   `json:"retain_handling"`
	Identifier        uint32 `json:"identifier"` // 0: none
}

// client is one client with its subscriptions.
func (u *UI) client(w http.ResponseWriter, r *http.Request) {
	id := mux.Vars(r)["id"]
	if u.opt.Broker == nil {
		failPart(w, "broker")
		return
	}
	c, ok := u.opt.Broker.Client(id)
	if !ok {
		failClient(w)
		return
	}
	out := oneClientJSON{clientToJSON(&c), []filterJSON{}}
	for _, s := range c.Subscriptions {
		out.Filters = append(out.Filters, filterJSON{string(s.Filter), s.QoS, s.NoLocal, s.RetainAsPublished, s.RetainHandling, s.ID})
	}
	answer(w, http.StatusOK, out)
}

func failClient(w http.ResponseWriter) {
	fail(w, http.StatusNotFound, "unknown_client", "no session has this client identifier", "see /api/v1/clients")
}

// disconnect ends a client's connection; its will is published.
func (u *UI) disconnect(w http.ResponseWriter, r *http.Request) {
	var body struct{}
	if !readJSON(w, r, &body) || !u.commandsAllowed(w) {
		return
	}
	id := mux.Vars(r)["id"]
	if u.opt.Broker == nil || !u.opt.Broker.Disconnect(id, broker.ReasonAdmin) {
		fail(w, http.StatusNotFound, "unknown_client", "no client with this identifier is connected", "see /api/v1/clients")
		return
	}
	u.opt.Log.Info("client disconnected on request", "client", id, "by", asker(r))
	answer(w, http.StatusAccepted, map[string]string{"status": "asked"})
}
