package ui

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"time"

	"edge/historian/journal"
	"edge/sparkplug"
)

const (
	flushEvery     = 250 * time.Millisecond // at most 4 changes a second
	heartbeatEvery = time.Second
	stallLimit     = 10 * time.Second // a reader that takes no flush for so long is cut off
	maxSubscribed  = 20_000           // ids and nodes in one stream's query
	maxStreamed    = 16 << 10         // bytes of a text or structure that a stream has
)

// stream answers GET /api/v1/stream?ids=&nodes= with Server-Sent Events:
//
//	snapshot   {generation, time, version, demo, commands, nodes, metrics, uplinks}   first, and again when too much changed
//	change     {generation, metrics: [{id, value, quality, time, received, cause}]}   at most 4 times a second
//	state      a node as in /api/v1/nodes
//	event      an event as in /api/v1/events
//	uplinks    as /api/v1/uplinks, at most once a second, when it changed
//	demo       as /api/v1/demo, likewise
//	heartbeat  {time, lost}   each second; lost: events that this stream had no room for
//
// ids are metric ids and nodes are group/node (all their metrics; "*": all nodes), each with commas between.
func (u *UI) stream(w http.ResponseWriter, r *http.Request) {
	s, err := u.newStream(r)
	if err != nil {
		failParam(w, "ids", err)
		return
	}
	if err := u.hub.join(s); err != nil {
		fail(w, http.StatusServiceUnavailable, "streams", err.Error(), "close a page, or wait")
		return
	}
	defer u.hub.leave(s)
	w.Header().Set("Content-Type", "text/event-stream")
	c := &streamWriter{u: u, s: s, w: w, control: http.NewResponseController(w)}
	c.control.SetReadDeadline(time.Time{}) // the request's own deadline must not end a stream
	c.run(r.Context().Done())              // its error means that the reader has gone
}

func (u *UI) newStream(r *http.Request) (*stream, error) {
	q := r.URL.Query()
	ids, nodes := splitList(q["ids"]), splitList(q["nodes"])
	if len(ids)+len(nodes) > maxSubscribed {
		return nil, fmt.Errorf("more than %d", maxSubscribed)
	}
	s := &stream{
		addr: remoteAddr(r), closing: make(chan struct{}),
		metrics: map[sparkplug.MetricRef]struct{}{}, nodes: map[sparkplug.NodeRef]struct{}{},
		pending: map[sparkplug.MetricRef]struct{}{}, states: map[sparkplug.NodeRef]struct{}{},
	}
	for _, id := range ids {
		if ref, ok := u.findMetric(id); ok { // one that is not known any more stays silent
			s.metrics[ref] = struct{}{}
		}
	}
	for _, n := range nodes {
		group, node, _ := strings.Cut(n, "/")
		s.all = s.all || n == "*"
		s.nodes[sparkplug.NodeRef{Group: group, Node: node}] = struct{}{}
	}
	return s, nil
}

func splitList(values []string) (out []string) {
	for _, v := range values {
		for part := range strings.SplitSeq(v, ",") {
			if part != "" {
				out = append(out, part)
			}
		}
	}
	return out
}

func remoteAddr(r *http.Request) netip.Addr {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	a, _ := netip.ParseAddr(host) // the zero Addr is an address like others
	return a.Unmap()
}

// streamWriter writes one stream. Owned by the goroutine of its request.
type streamWriter struct {
	u          *UI
	s          *stream
	w          http.ResponseWriter
	control    *http.ResponseController
	generation uint64
	out        []byte // events that wait for flush
	uplinks    []uplinkJSON
	demo       demoJSON
}

// run writes until the reader goes away (gone), stalls, or the hub closes.
func (c *streamWriter) run(gone <-chan struct{}) error {
	tick := time.NewTicker(flushEvery)
	defer tick.Stop()
	c.snapshot()
	c.heartbeat(0)
	for n := 1; ; n++ {
		if err := c.flush(); err != nil {
			return err
		}
		select {
		case <-gone:
			return nil
		case <-c.s.closing:
			return nil
		case <-tick.C:
		}
		lost := c.changes()
		if n%int(heartbeatEvery/flushEvery) == 0 {
			c.slowParts()
			c.heartbeat(lost)
		}
	}
}

type snapshotJSON struct {
	Generation uint64       `json:"generation"`
	Time       stamp        `json:"time"`
	Version    string       `json:"version"`
	Demo       bool         `json:"demo"`
	Commands   bool         `json:"commands"`
	Nodes      []nodeJSON   `json:"nodes"`
	Metrics    []metricJSON `json:"metrics"`
	Uplinks    []uplinkJSON `json:"uplinks"`
}

// snapshot begins a generation: what is subscribed, as it is now. The stream is in the hub already,
// so nothing that changes meanwhile is missed; it may be told twice.
func (c *streamWriter) snapshot() {
	c.generation = c.u.hub.nextGeneration()
	c.uplinks = c.u.uplinkList()
	c.put("snapshot", snapshotJSON{
		Generation: c.generation, Time: stamp(c.u.opt.Now()), Version: c.u.opt.Version,
		Demo: c.u.opt.Demo != nil, Commands: c.u.opt.Commands != nil,
		Nodes: c.u.nodeList(), Metrics: c.subscribedJSON(), Uplinks: c.uplinks,
	})
	if c.u.opt.Demo != nil {
		c.demo = c.u.demoView()
		c.put("demo", c.demo)
	}
}

func (c *streamWriter) subscribed() (out []sparkplug.MetricView) {
	p := c.u.opt.Plant
	if p == nil {
		return nil
	}
	if c.s.all {
		return p.Metrics(MetricFilter{Limit: maxPending})
	}
	for ref := range c.s.metrics {
		if _, whole := c.s.nodes[sparkplug.NodeRef{Group: ref.Group, Node: ref.Node}]; whole {
			continue // comes with its node
		}
		if m, ok := p.Metric(ref); ok {
			out = append(out, m)
		}
	}
	for n := range c.s.nodes {
		if left := maxPending - len(out); left > 0 && n.Group != "" && n.Node != "" {
			out = append(out, p.Metrics(MetricFilter{Group: n.Group, Node: n.Node, Limit: left})...)
		}
	}
	slices.SortFunc(out, func(a, b sparkplug.MetricView) int {
		return cmp.Or(strings.Compare(a.Group, b.Group), strings.Compare(a.Node, b.Node), strings.Compare(a.Device, b.Device), strings.Compare(a.Name, b.Name))
	})
	return out
}

func (c *streamWriter) subscribedJSON() []metricJSON {
	list := c.subscribed()
	out := metricsJSON(list)
	for i := range out {
		out[i].Value = streamed(list[i].Value)
	}
	return out
}

// streamed is a value as a stream tells it: instead of one that nobody reads as it goes by stands how long it is. All values of a plant
// may have hundreds of megabytes, and every open page has a stream.
func streamed(v sparkplug.Value) any {
	if len(v.Bytes) <= maxStreamed {
		return v
	}
	return fmt.Sprintf("%d bytes, see /api/v1/metrics", len(v.Bytes))
}

type changeJSON struct {
	Generation uint64              `json:"generation"`
	Metrics    []changedMetricJSON `json:"metrics"`
}

type changedMetricJSON struct {
	ID       string `json:"id"`
	Value    any    `json:"value"`
	Quality  string `json:"quality"`
	Time     stamp  `json:"time"`
	Received stamp  `json:"received"`
	Cause    string `json:"cause"`
}

// changes puts what has gathered: states before values, so that nobody sees a new value of a dead node.
func (c *streamWriter) changes() (lost uint64) {
	states, metrics, events, lost, resync := c.s.take()
	if resync {
		c.snapshot()
	} else {
		c.putStates(states)
		c.putMetrics(metrics)
	}
	c.putEvents(events)
	return lost
}

func (c *streamWriter) putStates(states map[sparkplug.NodeRef]struct{}) {
	for ref := range states {
		if n, ok := c.u.opt.Plant.Node(ref.Group, ref.Node); ok {
			c.put("state", nodeToJSON(n))
		}
	}
}

func (c *streamWriter) putMetrics(metrics map[sparkplug.MetricRef]struct{}) {
	out := changeJSON{Generation: c.generation}
	for ref := range metrics {
		if m, ok := c.u.opt.Plant.Metric(ref); ok {
			out.Metrics = append(out.Metrics, changedMetricJSON{metricID(ref), streamed(m.Value), string(m.Quality), stamp(m.At), stamp(m.Received), m.Cause})
		}
	}
	if len(out.Metrics) > 0 {
		c.put("change", out)
	}
}

func (c *streamWriter) putEvents(events []journal.Event) {
	for _, e := range events {
		c.put("event", eventToJSON(e))
	}
}

// slowParts puts what is asked for once a second rather than pushed.
func (c *streamWriter) slowParts() {
	if now := c.u.uplinkList(); !reflect.DeepEqual(now, c.uplinks) {
		c.uplinks = now
		c.put("uplinks", now)
	}
	if c.u.opt.Demo == nil {
		return
	}
	if now := c.u.demoView(); !reflect.DeepEqual(now, c.demo) {
		c.demo = now
		c.put("demo", now)
	}
}

func (c *streamWriter) heartbeat(lost uint64) {
	c.put("heartbeat", struct {
		Time stamp  `json:"time"`
		Lost uint64 `json:"lost"`
	}{stamp(c.u.opt.Now()), lost})
}

func (c *streamWriter) put(event string, data any) {
	body, err := json.Marshal(data)
	if err != nil {
		panic("BUG: an event is not JSON: " + err.Error())
	}
	c.out = append(c.out, "event: "+event+"\ndata: "...)
	c.out = append(append(c.out, body...), "\n\n"...)
}

// flush writes what was put, within stallLimit.
func (c *streamWriter) flush() error {
	if len(c.out) == 0 {
		return nil
	}
	c.control.SetWriteDeadline(time.Now().Add(stallLimit)) // not all writers have deadlines
	_, err := c.w.Write(c.out)
	if err == nil {
		err = c.control.Flush()
	}
	c.out = c.out[:0]
	if cap(c.out) > 1<<20 {
		c.out = nil // a large snapshot was written; changes are small
	}
	return err
}
