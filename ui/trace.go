package ui

import (
	"errors"
	"math"
	"net/http"
	"strconv"
	"time"

	"github.com/gorilla/mux"

	"edge/broker/server"
)

type traceJSON struct {
	Client   string          `json:"client"`
	Started  stamp           `json:"started"`
	Until    stamp           `json:"until"`
	Ended    stamp           `json:"ended"` // null while it runs
	End      string          `json:"end"`   // why it ended
	Packets  int             `json:"packets"`
	Payloads bool            `json:"payloads"`
	Count    int             `json:"count"` // of all lines so far
	Lines    []traceLineJSON `json:"lines"`
	Next     uint64          `json:"next"` // the line to go on behind: the next request's after
}

type traceLineJSON struct {
	Seq       uint64          `json:"seq"`
	Time      stamp           `json:"time"`
	Direction string          `json:"direction"` // in: from the client, out: to it, note: what happened
	Type      string          `json:"type"`      // empty for a note
	PacketID  uint16          `json:"packet_id"`
	QoS       byte            `json:"qos"`
	Dup       bool            `json:"dup"`
	Retain    bool            `json:"retain"`
	Topics    []string        `json:"topics"`
	Size      int             `json:"size"`
	Codes     []traceCodeJSON `json:"codes"`
	Note      string          `json:"note"`
	Payload   []byte          `json:"payload"` // base64; null unless asked for
}

type traceCodeJSON struct {
	Code byte   `json:"code"`
	Text string `json:"text"`
}

// traceLines is how many lines one answer holds.
const traceLines = 1000

// startTrace begins to record what passes between the broker and one client. Payloads are left out unless the body asks for them.
func (u *UI) startTrace(w http.ResponseWriter, r *http.Request) {
	var body struct {
		Duration float64 `json:"duration"` // seconds
		Packets  int     `json:"packets"`
		Payloads bool    `json:"payloads"`
	}
	if !readJSON(w, r, &body) {
		return
	}
	switch {
	case u.opt.Broker == nil:
		failPart(w, "broker")
		return
	case !(body.Duration >= 0 && body.Duration <= 600):
		failParam(w, "duration", errors.New("not between 0 and 600 seconds"))
		return
	case body.Packets < 0 || body.Packets > 10_000:
		failParam(w, "packets", errors.New("not between 0 and 10000"))
		return
	}
	id := mux.Vars(r)["id"]
	err := u.opt.Broker.StartTrace(id, server.TraceOptions{
		Duration: time.Duration(math.Round(body.Duration*1000)) * time.Millisecond, Packets: body.Packets, Payloads: body.Payloads,
	})
	switch {
	case errors.Is(err, server.ErrTraces):
		fail(w, http.StatusTooManyRequests, "too_many", err.Error(), "stop one, or wait until its time is over")
		return
	case err != nil:
		failParam(w, "id", err)
		return
	}
	u.opt.Log.Info("trace started", "client", id, "by", asker(r))
	u.answerTrace(w, id, 0, http.StatusAccepted)
}

// trace answers with the lines behind the one given as after.
func (u *UI) trace(w http.ResponseWriter, r *http.Request) {
	var after uint64
	if text := r.FormValue("after"); text != "" {
		var err error
		if after, err = strconv.ParseUint(text, 10, 63); err != nil {
			failParam(w, "after", errors.New("not the number of a line"))
			return
		}
	}
	u.answerTrace(w, mux.Vars(r)["id"], after, http.StatusOK)
}

func (u *UI) stopTrace(w http.ResponseWriter, r *http.Request) {
	if u.opt.Broker == nil || !u.opt.Broker.StopTrace(mux.Vars(r)["id"]) {
		failTrace(w)
		return
	}
	answer(w, http.StatusOK, map[string]string{"status": "stopped"})
}

func failTrace(w http.ResponseWriter) {
	fail(w, http.StatusNotFound, "no_trace", "there is no trace of this client", "begin one with POST")
}

func (u *UI) answerTrace(w http.ResponseWriter, id string, after uint64, status int) {
	if u.opt.Broker == nil {
		failTrace(w)
		return
	}
	v, ok := u.opt.Broker.Trace(id, after, traceLines)
	if !ok {
		failTrace(w)
		return
	}
	out := traceJSON{
		Client: id, Started: stamp(v.Started), Until: stamp(v.Started.Add(v.Duration)), Ended: stamp(v.Ended), End: v.End,
		Packets: v.Packets, Payloads: v.Payloads, Count: v.Count, Lines: []traceLineJSON{}, Next: after,
	}
	for i := range v.Lines {
		out.Lines = append(out.Lines, lineToJSON(&v.Lines[i]))
	}
	if n := len(v.Lines); n > 0 {
		out.Next = v.Lines[n-1].Seq
	}
	answer(w, status, out)
}

var traceDirections = [...]string{server.TraceNote: "note", server.TraceIn: "in", server.TraceOut: "out"}

func lineToJSON(l *server.TraceLine) traceLineJSON {
	out := traceLineJSON{
		Seq: l.Seq, Time: stamp(l.At), Direction: traceDirections[l.Direction], PacketID: l.PacketID, QoS: l.QoS, Dup: l.Dup,
		Retain: l.Retain, Topics: append([]string{}, l.Topics...), Size: l.Size, Codes: []traceCodeJSON{}, Note: l.Note, Payload: l.Payload,
	}
	if l.Type != 0 {
		out.Type = l.Type.String()
	}
	for _, c := range l.Codes {
		out.Codes = append(out.Codes, traceCodeJSON{byte(c), c.String()})
	}
	return out
}
