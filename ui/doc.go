// Package ui serves the appliance's page and its HTTP interface: node states, values, history, uplinks
// and events to read, rebirths and writes to ask for, and a live stream.
//
//	parts (Plant, History, Uplinks, Broker) ──read──► routes ──► JSON ──► browser, scripts
//	Changed, NodeChanged, Event ─► hub ─► one pending set per stream, at most 4 flushes a second ─► browser
//	browser ── rebirth, write ──► Commands
//
// The package holds no truth: it asks the parts at the moment of a request, so what the page shows is what
// they know. It never changes the plant but through Commands.
//
// Rule that must not break: whoever pushes into the hub never waits, and what a slow browser costs is
// bounded by the number of metrics it subscribed to, not by the traffic.
//
// Files: guard.go (headers, origin, host, body limit) and routes.go come first; then one file per call;
// live.go (the call), stream.go (what waits for one page) and hub.go (all pages) are the live side; web/ is the browser's source, web/dist the bundle that is embedded.
//
// Goroutines: none of its own. A stream runs in the goroutine of its request until its reader goes away,
// stops reading for 10 s, or Close.
//
// not done: one stream shared by all tabs of a browser (a browser keeps six connections to a host over HTTP/1.1, so a
// seventh tab waits); users and roles of the page, which come with the first password.
//
// Locks: hub.mu before stream.mu; neither is held while writing to a browser or asking a part.
//
// Sources: WHATWG HTML section 9.2 (server-sent events), RFC 3339, OWASP ASVS 5.0 sections 3.4 and 3.5.
package ui
