package ui

import (
	"mime"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"
)

const (
	maxBodyBytes  = 1 << 20
	answerTimeout = 30 * time.Second // for any answer but a stream
)

// guardHeaders go with every answer. No inline script or style is allowed, nothing is fetched from elsewhere,
// and no other page may hold this one in a frame. HSTS is left to whoever terminates TLS.
var guardHeaders = [...][2]string{
	{"Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; " +
		"base-uri 'none'; form-action 'self'; frame-ancestors 'none'"},
	{"X-Content-Type-Options", "nosniff"},
	{"Cross-Origin-Opener-Policy", "same-origin"},
	{"Cross-Origin-Resource-Policy", "same-origin"},
	{"Referrer-Policy", "no-referrer"},
	{"Cache-Control", "no-store"}, // page.go changes it for files whose name holds their hash
}

// guard stands before every route: headers, host, origin, body, query. A browser on this machine that was sent here
// by a foreign page is refused twice: by its Host header (DNS rebinding), and by its origin (unsafe methods).
func (u *UI) guard(next http.Handler) http.Handler {
	origin := http.NewCrossOriginProtection()
	origin.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fail(w, http.StatusForbidden, "cross_origin", "the request comes from another site", "open the appliance's own page")
	}))
	checked := origin.Handler(jsonBody(wholeQuery(next)))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for _, h := range guardHeaders {
			w.Header().Set(h[0], h[1])
		}
		if !u.hostAllowed(r) {
			fail(w, http.StatusMisdirectedRequest, "wrong_host", "this listener answers only to localhost",
				"use http://localhost or the address that the appliance printed")
			return
		}
		http.NewResponseController(w).SetWriteDeadline(time.Now().Add(answerTimeout)) // not all writers have deadlines
		checked.ServeHTTP(w, r)
	})
}

// hostAllowed refuses, on a loopback listener, a Host header that is neither a loopback address nor localhost.
func (u *UI) hostAllowed(r *http.Request) bool {
	local, _ := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
	if local == nil {
		return true
	}
	at, err := netip.ParseAddrPort(local.String())
	if err != nil || !at.Addr().Unmap().IsLoopback() {
		return true
	}
	host := r.Host
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	host = strings.Trim(strings.ToLower(host), "[]")
	if host == "localhost" || slices.Contains(u.opt.Hosts, host) {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback()
}

// jsonBody lets unsafe methods in only with a JSON body, which no HTML form can send, and bounds it. What needs no body
// may come without one, and then without its type: `curl -X POST` is enough for a rebirth. Prometheus' API takes forms: it only reads.
func jsonBody(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Body = http.MaxBytesReader(w, r.Body, maxBodyBytes)
		switch r.Method {
		case http.MethodGet, http.MethodHead, http.MethodOptions:
		default:
			given := r.Header.Get("Content-Type")
			kind, _, err := mime.ParseMediaType(given)
			form := kind == "application/x-www-form-urlencoded" && strings.HasPrefix(r.URL.Path, promPrefix+"/")
			if empty := given == "" && r.ContentLength == 0; !empty && !form && (err != nil || kind != "application/json") {
				fail(w, http.StatusUnsupportedMediaType, "json_only", "the body must be JSON", "send Content-Type: application/json")
				return
			}
		}
		next.ServeHTTP(w, r)
	})
}

// wholeQuery refuses a query of which a part cannot be read: without it the rest would ask for something else, often for more.
func wholeQuery(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/api/") {
			if _, err := url.ParseQuery(r.URL.RawQuery); err != nil {
				failParam(w, "query", err)
				return
			}
		}
		next.ServeHTTP(w, r)
	})
}
