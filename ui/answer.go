package ui

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"

	"edge/historian/journal"
)

// answer writes v as JSON.
func answer(w http.ResponseWriter, status int, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		panic("BUG: an answer is not JSON: " + err.Error()) // values.go leaves nothing that JSON cannot say
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	w.Write(body)         // an error means the reader has gone: nobody is left to tell
	w.Write([]byte{'\n'}) // by itself: body may be large
}

type problem struct {
	Code    string `json:"code"`    // a word for programs, stable
	Message string `json:"message"` // what is wrong
	Hint    string `json:"hint"`    // what to do
}

func fail(w http.ResponseWriter, status int, code, message, hint string) {
	answer(w, status, map[string]problem{"error": {code, message, hint}})
}

// failCommand answers for an error of Commands or Demo.
func failCommand(w http.ResponseWriter, err error) {
	switch {
	case errors.Is(err, ErrRefused):
		fail(w, http.StatusForbidden, "refused", err.Error(), "the configuration does not allow this command")
	case errors.Is(err, ErrUnknown):
		fail(w, http.StatusNotFound, "unknown", err.Error(), "see /api/v1/nodes for what the appliance knows")
	case errors.Is(err, ErrStale):
		fail(w, http.StatusConflict, "stale", err.Error(), "wait until the node is online")
	default:
		fail(w, http.StatusServiceUnavailable, "command_failed", err.Error(), "see the event log")
	}
}

func failPart(w http.ResponseWriter, part string) {
	fail(w, http.StatusServiceUnavailable, "not_running", "the "+part+" is not running", "see /readyz")
}

// readJSON reads a request's body into v; false: the answer has been written.
func readJSON(w http.ResponseWriter, r *http.Request, v any) bool {
	d := json.NewDecoder(r.Body)
	d.DisallowUnknownFields()
	err := d.Decode(v)
	if err == nil {
		if _, more := d.Token(); more != io.EOF {
			err = errors.New("more than one JSON value")
		}
	}
	if errors.Is(err, io.EOF) { // an empty body stands for {}
		return true
	}
	if err != nil {
		fail(w, http.StatusBadRequest, "bad_body", "the body is not the JSON expected here: "+err.Error(), "see /api/v1/openapi.yaml")
		return false
	}
	return true
}

// stamp is a time in the HTTP interface: RFC 3339 with milliseconds in UTC, null when zero.
type stamp time.Time

const stampLayout = "2006-01-02T15:04:05.000Z"

func (s stamp) MarshalJSON() ([]byte, error) {
	t := time.Time(s).UTC()
	if t.IsZero() || t.Year() < 0 || t.Year() > 9999 { // a device may send any 64 bits; RFC 3339 has four digits
		return []byte("null"), nil
	}
	return t.AppendFormat(nil, `"`+stampLayout+`"`), nil
}

// millis returns m as a stamp; 0 is null.
func millis(m journal.Millis) stamp {
	if m == 0 {
		return stamp{}
	}
	return instant(m)
}

// instant returns m as a stamp, 0 too: the beginning of 1970.
func instant(m journal.Millis) stamp { return stamp(timeOf(m)) }

// number is a float that may be NaN or infinite: then it is a string.
type number float64

func (n number) MarshalJSON() ([]byte, error) {
	f := float64(n)
	switch {
	case math.IsNaN(f):
		return []byte(`"NaN"`), nil
	case math.IsInf(f, 1):
		return []byte(`"Infinity"`), nil
	case math.IsInf(f, -1):
		return []byte(`"-Infinity"`), nil
	}
	return json.Marshal(f)
}

// parseTime reads a time in a query: RFC 3339, or milliseconds since 1970. Empty is def.
func parseTime(s string, def time.Time) (time.Time, error) {
	if s == "" {
		return def, nil
	}
	if ms, err := strconv.ParseInt(s, 10, 64); err == nil {
		return time.UnixMilli(ms), nil
	}
	t, err := time.Parse(time.RFC3339Nano, strings.Replace(s, " ", "+", 1)) // a + that was not escaped comes as a space
	if err != nil {
		return t, fmt.Errorf("%q is no time; write 2026-03-10T12:00:00Z or milliseconds since 1970", s)
	}
	return t, nil
}

// parseCount reads a positive number in a query; one over max is max. Empty is def.
func parseCount(s string, def, max int) (int, error) {
	if s == "" {
		return def, nil
	}
	n, err := strconv.Atoi(s)
	if err != nil && !errors.Is(err, strconv.ErrRange) || n < 1 { // beyond all numbers n is the greatest, or the least
		return 0, fmt.Errorf("%q is not a positive number", s)
	}
	return min(n, max), nil
}

func failParam(w http.ResponseWriter, name string, err error) {
	fail(w, http.StatusBadRequest, "bad_parameter", name+": "+err.Error(), "see /api/v1/openapi.yaml")
}
