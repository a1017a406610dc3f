package ui

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"path"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestGuardSetsHeaders(t *testing.T) {
	u := newParts(time.Now, nil).ui
	for _, path := range []string{"/", "/healthz", "/api/v1/status", "/api/v1/none"} {
		w := request(u, "GET", path, "")
		for _, h := range guardHeaders {
			if got := w.Header().Get(h[0]); got != h[1] && !(path == "/" && h[0] == "Cache-Control" && got == "no-cache") {
				t.Errorf("%s: %s is %q, want %q", path, h[0], got, h[1])
			}
		}
		if csp := w.Header().Get("Content-Security-Policy"); strings.Contains(csp, "unsafe") || !strings.HasPrefix(csp, "default-src 'none'") {
			t.Errorf("%s: policy %q", path, csp)
		}
	}
}

func TestGuardRefuses(t *testing.T) {
	const path = "/api/v1/nodes/plant/press/rebirth"
	for _, c := range []struct {
		name   string
		change func(*http.Request)
		body   string
		status int
	}{
		{"a program's request", func(*http.Request) {}, "{}", 202},
		{"the page's own request", func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "same-origin") }, "{}", 202},
		{"another site's request", func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "cross-site") }, "{}", 403},
		{"another origin, old browser", func(r *http.Request) { r.Header.Set("Origin", "http://evil.example") }, "{}", 403},
		{"a form", func(r *http.Request) { r.Header.Set("Content-Type", "application/x-www-form-urlencoded") }, "a=b", 415},
		{"text that looks like JSON", func(r *http.Request) { r.Header.Set("Content-Type", "text/plain") }, "{}", 415},
		{"no content type", func(r *http.Request) { r.Header.Del("Content-Type") }, "{}", 415},
		{"no body and no type", func(r *http.Request) { r.Header.Del("Content-Type") }, "", 202},
		{"no body and no type from another site", func(r *http.Request) {
			r.Header.Del("Content-Type")
			r.Header.Set("Sec-Fetch-Site", "cross-site")
		}, "", 403},
		{"no type, and a body of unknown length", func(r *http.Request) {
			r.Header.Del("Content-Type")
			r.ContentLength = -1
		}, "{}", 415},
		{"two values", func(*http.Request) {}, "{}{}", 400},
		{"a large body", func(*http.Request) {}, `{"x":"` + strings.Repeat("a", maxBodyBytes) + `"}`, 400},
	} {
		p := newParts(time.Now, nil)
		r := httptest.NewRequest("POST", path, strings.NewReader(c.body))
		r.Header.Set("Content-Type", "application/json")
		c.change(r)
		if got := statusOf(p.ui, r); got != c.status {
			t.Errorf("%s: status %d, want %d", c.name, got, c.status)
		}
		if asked := len(p.commands.list()); (asked > 0) != (c.status == 202) {
			t.Errorf("%s: %d commands", c.name, asked)
		}
	}
}

// TestGuardHost is DNS rebinding: a name of a foreign site that resolves to this machine.
func TestGuardHost(t *testing.T) {
	u := newParts(time.Now, func(o *Options) { o.Hosts = []string{"panel.local"} }).ui
	loopback := &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 8080}
	plant := &net.TCPAddr{IP: net.IPv4(10, 0, 0, 7), Port: 8080}
	for _, c := range []struct {
		host   string
		local  net.Addr
		status int
	}{
		{"localhost:8080", loopback, 200}, {"LOCALHOST", loopback, 200}, {"127.0.0.1:8080", loopback, 200}, {"127.8.8.8", loopback, 200},
		{"[::1]:8080", loopback, 200}, {"panel.local:8080", loopback, 200},
		{"evil.example:8080", loopback, 421}, {"localhost.evil.example", loopback, 421}, {"10.0.0.7", loopback, 421}, {"", loopback, 421},
		{"edge.plant.example", plant, 200},
	} {
		r := httptest.NewRequest("GET", "/healthz", nil)
		r = r.WithContext(contextWithLocal(r, c.local))
		r.Host = c.host
		if got := statusOf(u, r); got != c.status {
			t.Errorf("host %q at %s: status %d, want %d", c.host, c.local, got, c.status)
		}
	}
}

func TestPageFiles(t *testing.T) {
	u := newParts(time.Now, nil).ui
	html := request(u, "GET", "/", "").Body.String()
	var found int
	for _, quoted := range strings.Split(html, `"`) {
		if !strings.HasPrefix(quoted, "/assets/") {
			continue
		}
		found++
		w := request(u, "GET", quoted, "")
		if w.Code != 200 || !strings.Contains(w.Header().Get("Cache-Control"), "immutable") {
			t.Errorf("%s: status %d, Cache-Control %q", quoted, w.Code, w.Header().Get("Cache-Control"))
		}
		kind := w.Header().Get("Content-Type")
		if !strings.HasPrefix(kind, "text/javascript") && !strings.HasPrefix(kind, "text/css") {
			t.Errorf("%s: Content-Type %q", quoted, kind)
		}
	}
	if found != 2 || strings.Contains(html, "style=") || strings.Contains(html, "<script>") {
		t.Errorf("%d assets in\n%s", found, html)
	}
}

// TestPageBudget holds the bundle to its budget: a page for a panel PC that may be slow.
func TestPageBudget(t *testing.T) {
	files, err := dist.ReadDir("web/dist/assets")
	if err != nil {
		t.Fatal(err)
	}
	budgets := map[string]int{".js": 60 << 10, ".css": 15 << 10}
	for _, f := range files {
		content, err := dist.ReadFile("web/dist/assets/" + f.Name())
		if err != nil {
			t.Fatal(err)
		}
		var packed bytes.Buffer
		z := gzip.NewWriter(&packed)
		z.Write(content)
		z.Close()
		if budget := budgets[path.Ext(f.Name())]; packed.Len() > budget {
			t.Errorf("%s: %d bytes after gzip, the budget is %d", f.Name(), packed.Len(), budget)
		}
	}
	if len(files) != 2 {
		t.Errorf("%d files, want a script and a style sheet", len(files))
	}
}

// TestServerLimits is a client that never finishes its header.
func TestServerLimits(t *testing.T) {
	s := newParts(time.Now, nil).ui.Server()
	if s.ReadHeaderTimeout > 5*time.Second || s.ReadTimeout > 10*time.Second || s.MaxHeaderBytes > 64<<10 {
		t.Errorf("limits %v %v %d", s.ReadHeaderTimeout, s.ReadTimeout, s.MaxHeaderBytes)
	}
	s.ReadHeaderTimeout = time.Millisecond
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- s.Serve(l) }()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: loc"); err != nil {
		t.Fatal(err)
	}
	// It ends only when the server closes; if that had not yet read the beginning of the header, with a reset.
	if _, err := io.ReadAll(c); err != nil && !errors.Is(err, syscall.ECONNRESET) {
		t.Fatal(err)
	}
	s.Close()
	<-done
}
