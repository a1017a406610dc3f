package ui

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/gorilla/mux"

	"edge/sparkplug"
)

const (
	tokenLife = 30 * time.Second
	maxTokens = 256  // prepared writes that wait for their confirmation
	maxReason = 1000 // bytes
)

// rebirth asks a node for its births. It answers at once; the outcome follows as an event.
func (u *UI) rebirth(w http.ResponseWriter, r *http.Request) {
	var body struct{}
	if !readJSON(w, r, &body) || !u.commandsAllowed(w) {
		return
	}
	v := mux.Vars(r)
	if u.opt.Plant != nil {
		if _, ok := u.opt.Plant.Node(v["group"], v["node"]); !ok {
			failNode(w, v["group"], v["node"])
			return
		}
	}
	if err := u.opt.Commands.Rebirth(r.Context(), v["group"], v["node"], asker(r)); err != nil {
		failCommand(w, err)
		return
	}
	answer(w, http.StatusAccepted, map[string]string{"status": "asked"})
}

type preparedJSON struct {
	Token   string          `json:"token"`
	Expires stamp           `json:"expires"`
	Metric  metricJSON      `json:"metric"` // as it is now
	Value   sparkplug.Value `json:"value"`  // as it will be sent
}

// prepareWrite checks a write and answers with a token that carries it out once within 30 s.
// Nothing has been sent to the plant until then.
func (u *UI) prepareWrite(w http.ResponseWriter, r *http.Request) {
	var body struct {
		ID     string          `json:"id"`
		Value  json.RawMessage `json:"value"`
		Reason string          `json:"reason"`
	}
	if !readJSON(w, r, &body) || !u.commandsAllowed(w) {
		return
	}
	write, now, ok := u.checkWrite(w, r, body.ID, body.Value, body.Reason)
	if !ok {
		return
	}
	expires := u.opt.Now().Add(tokenLife)
	token, ok := u.tokens.add(write, u.opt.Now(), expires)
	if !ok {
		fail(w, http.StatusTooManyRequests, "too_many", "too many writes wait for their confirmation", "confirm or wait 30 s")
		return
	}
	answer(w, http.StatusOK, preparedJSON{token, stamp(expires), metricToJSON(now), write.Value})
}

func (u *UI) checkWrite(w http.ResponseWriter, r *http.Request, id string, value json.RawMessage, reason string) (out Write, now sparkplug.MetricView, ok bool) {
	ref, ok := u.findLive(id)
	if ok {
		now, ok = u.opt.Plant.Metric(ref)
	}
	switch {
	case !ok:
		fail(w, http.StatusNotFound, "unknown_metric", "no metric has this id", "see /api/v1/metrics")
		return out, now, false
	case strings.TrimSpace(reason) == "" || len(reason) > maxReason:
		fail(w, http.StatusBadRequest, "no_reason", "a write needs a reason of 1 to 1000 bytes", "say why; it stands in the event log")
		return out, now, false
	case now.Quality == sparkplug.QualityStale:
		fail(w, http.StatusConflict, "stale", "the metric is stale: "+now.Cause, "wait until the node is online")
		return out, now, false
	}
	v, err := parseValue(now.Type, value)
	if err != nil {
		fail(w, http.StatusBadRequest, "bad_value", "value: "+err.Error(), "give a value of the metric's datatype "+now.Type.String())
		return out, now, false
	}
	out = Write{Ref: ref, Value: v, Reason: reason, By: asker(r)}
	if err := u.opt.Commands.CheckWrite(out); err != nil {
		failCommand(w, err)
		return out, now, false
	}
	return out, now, true
}

// confirmWrite carries a prepared write out. A token works once, whatever comes of it.
func (u *UI) confirmWrite(w http.ResponseWriter, r *http.Request) {
	var body struct{}
	if !readJSON(w, r, &body) || !u.commandsAllowed(w) {
		return
	}
	write, ok := u.tokens.take(mux.Vars(r)["token"], u.opt.Now())
	if !ok {
		fail(w, http.StatusGone, "token", "this token is unknown, used or older than 30 s", "prepare the write again")
		return
	}
	if m, ok := u.opt.Plant.Metric(write.Ref); !ok || m.Type != write.Value.Type || m.Quality == sparkplug.QualityStale {
		fail(w, http.StatusConflict, "stale", "the metric has changed or become stale since it was prepared", "prepare the write again")
		return
	}
	if err := u.opt.Commands.Write(r.Context(), write); err != nil {
		failCommand(w, err)
		return
	}
	answer(w, http.StatusAccepted, map[string]string{"status": "sent"})
}

func (u *UI) commandsAllowed(w http.ResponseWriter) bool {
	if u.opt.Commands == nil {
		fail(w, http.StatusForbidden, "refused", "commands are switched off", "they need a configuration that allows them")
		return false
	}
	return true
}

// asker names who asks, for the event log: there are no users of the page yet, so it is the address.
func asker(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		host = r.RemoteAddr
	}
	return "page at " + host
}

// tokens are the writes that wait for their confirmation. The zero value works.
type tokens struct {
	mu      sync.Mutex
	waiting map[string]prepared
}

type prepared struct {
	write   Write
	expires time.Time
}

// add keeps a write until expires; false: too many wait.
func (t *tokens) add(w Write, now, expires time.Time) (string, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.waiting == nil {
		t.waiting = map[string]prepared{}
	}
	for k, p := range t.waiting {
		if !now.Before(p.expires) {
			delete(t.waiting, k)
		}
	}
	if len(t.waiting) >= maxTokens {
		return "", false
	}
	var b [32]byte
	rand.Read(b[:]) // never fails
	token := base64.RawURLEncoding.EncodeToString(b[:])
	t.waiting[token] = prepared{w, expires}
	return token, true
}

func (t *tokens) take(token string, now time.Time) (Write, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	p, ok := t.waiting[token]
	delete(t.waiting, token)
	return p.write, ok && now.Before(p.expires)
}
