package ui

import (
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"edge/historian"
	"edge/historian/journal"
	"edge/sparkplug"
)

// gauge and counter name one figure of a part's Stats. Labels are names from the configuration or constants in the code.
func describe(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("edge_"+name, help, labels, nil)
}

var (
	descBuild = describe("build_info", "Constant 1; the labels tell the version.", "version", "commit")
	descReady = describe("ready", "1 when the appliance does its work.")

	descNodes    = describe("sparkplug_nodes", "Edge nodes by state.", "state")
	descSeqGaps  = describe("sparkplug_sequence_gaps_total", "Sequence gaps seen in the plant's messages.")
	descRebirths = describe("sparkplug_rebirth_requests_total", "Rebirths asked of plant nodes.", "reason")
	descReborn   = describe("sparkplug_rebirths_total", "Births that answered a rebirth request.")
	descIgnored  = describe("sparkplug_ignored_total", "Messages, values and names that the host did not take.", "reason")
	descDuels    = describe("sparkplug_state_answers_total", "Times that another client said this host is offline: answered, or not any more.", "result")

	descSeries     = describe("historian_series", "Series in the catalog.")
	descSamples    = describe("historian_samples", "Samples kept.")
	descHead       = describe("historian_head_samples", "Samples in memory, not yet in a block; the journal holds them.")
	descBytes      = describe("historian_bytes", "Bytes of all files of the historian, the journal not counted.")
	descDuplicates = describe("historian_duplicates_total", "Samples that were already there.")
	descLate       = describe("historian_late_total", "Samples older than the head.")
	descNotKept    = describe("historian_refused_total", "Samples older than retention, over a day in the future, or too long.")
	descUnknown    = describe("historian_unknown_total", "Samples of a series without a schema.")
	descLost       = describe("historian_lost_total", "What a day's file had no room for; told as gaps.", "what")
	descSpace      = describe("historian_space", "1 for the level of the disk's free space.", "level")
	descDiskFree   = describe("historian_disk_free_bytes", "Bytes of the historian's disk that are free.")
	descDiskTotal  = describe("historian_disk_bytes", "Bytes of the historian's disk.")
	descLimit      = describe("historian_limit_bytes", "historian.retention.bytes; 0: no limit.")
	descBallast    = describe("historian_ballast_bytes", "Bytes of a file that is removed when the disk is full; 0: it is not there.")
	descScrubbed   = describe("historian_scrubbed_bytes_total", "Bytes that were read in the background to look for damage.")
	descUnscrubbed = describe("historian_unscrubbed_files", "Files that are still to be read so, of this week's round.")
	descHurtFiles  = describe("historian_damaged_files", "Files in which damage was found since the start.")
	descNoSeries   = describe("historian_no_series_total", "Samples of new metrics that the full catalog did not take.")
	descUnsaid     = describe("sparkplug_outbox_dropped_total", "Messages of the host that its full outbox did not take; it asks again.")

	descQueries = describe("promql_queries_total", "Questions to the query API of Prometheus, by how they ended.", "result")
	descRunning = describe("promql_running", "Questions being answered.")
	descWaiting = describe("promql_waiting", "Questions waiting for a place.")
	descAsked   = describe("promql_seconds_total", "Time spent on questions, one after the other.")
	descLooked  = describe("promql_samples_total", "Samples that the engine looked at.")

	descOwed       = describe("uplink_owed_samples", "Samples not yet delivered.", "uplink")
	descOldest     = describe("uplink_oldest_seconds", "Age of the oldest sample that is owed; 0 when none is.", "uplink")
	descRate       = describe("uplink_delivery_rate", "Samples delivered in a second, over the last 10 s.", "uplink")
	descDelivered  = describe("uplink_delivered_samples_total", "Samples delivered.", "uplink")
	descDuplicated = describe("uplink_duplicated_samples_total", "Samples sent again after a loss.", "uplink")
	descGivenUp    = describe("uplink_dropped_samples_total", "Samples given up.", "uplink", "reason")
	descUplinkUp   = describe("uplink_up", "1 when live values are flowing.", "uplink")

	descViolations = describe("firewall_violations_total", "What clients tried against the rules of the Sparkplug firewall.", "rule")
	descBindings   = describe("firewall_bindings", "Nodes and hosts that an identity is bound to.")

	descStreams = describe("ui_streams", "Open pages.")
)

// prometheus serves the Prometheus text of every part's Stats, and of the Go runtime and the process.
func (u *UI) prometheus() http.Handler {
	r := prometheus.NewRegistry()
	r.MustRegister(statsCollector{u}, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return promhttp.HandlerFor(r, promhttp.HandlerOpts{MaxRequestsInFlight: 4})
}

// statsCollector reads the Stats at the moment of a scrape; there is no second set of counters.
type statsCollector struct{ u *UI }

// Describe sends nothing: which labels there are is known only at a scrape.
func (c statsCollector) Describe(chan<- *prometheus.Desc) {}

// Collect sends every figure.
func (c statsCollector) Collect(ch chan<- prometheus.Metric) {
	s := sender(ch)
	s.gauge(descBuild, 1, c.u.opt.Version, c.u.opt.Commit)
	s.gauge(descReady, oneIf(len(c.u.notReady()) == 0))
	s.gauge(descStreams, float64(c.u.hub.len()))
	c.broker(s)
	c.journal(s)
	c.plant(s)
	c.unkept(s)
	c.historian(s)
	c.promql(s)
	c.uplinks(s)
	c.firewall(s)
}

func (c statsCollector) firewall(s sender) {
	if c.u.opt.Firewall == nil {
		return
	}
	_, total := c.u.opt.Firewall.Violations()
	for rule, n := range total {
		s.counter(descViolations, n, rule)
	}
	s.gauge(descBindings, float64(len(c.u.opt.Firewall.Bindings())))
}

func (c statsCollector) plant(s sender) {
	if c.u.opt.Plant == nil {
		return
	}
	h := c.u.opt.Plant.Stats()
	for state, n := range map[sparkplug.State]int{sparkplug.StateOnline: h.Online, sparkplug.StateOffline: h.Offline,
		sparkplug.StateUnknown: h.Nodes - h.Online - h.Offline} {
		s.gauge(descNodes, float64(n), string(state))
	}
	s.counter(descSeqGaps, h.Gaps)
	for cause, n := range h.Rebirths {
		s.counter(descRebirths, n, sparkplug.RebirthCause(cause).String())
	}
	s.counter(descReborn, h.RebirthsDone)
	for reason, n := range map[string]uint64{"bad_topic": h.BadTopics, "undecodable": h.Undecodable, "late_death": h.LateDeaths,
		"other_server": h.OtherServer, "unknown_metric": h.UnknownMetrics, "no_birth": h.HeldDropped, "limit": h.Refused} {
		s.counter(descIgnored, n, reason)
	}
	s.counter(descDuels, h.StateDefences, "answered")
	s.counter(descDuels, h.StateDuels, "given_up")
}

func (c statsCollector) unkept(s sender) {
	if c.u.opt.Unkept == nil {
		return
	}
	messages, samples := c.u.opt.Unkept()
	s.counter(descUnsaid, messages)
	s.counter(descNoSeries, samples)
}

func (c statsCollector) historian(s sender) {
	if c.u.opt.History == nil {
		return
	}
	h := c.u.opt.History.Stats()
	s.gauge(descSeries, float64(h.Series))
	s.gauge(descSamples, float64(h.SamplesTotal))
	s.gauge(descHead, float64(h.Head))
	s.gauge(descBytes, float64(h.Bytes))
	s.counter(descDuplicates, h.Duplicates)
	s.counter(descLate, h.Late)
	s.counter(descNotKept, h.Refused)
	s.counter(descUnknown, h.Unknown)
	s.counter(descLost, h.LostSamples, "samples")
	s.counter(descLost, h.LostEvents, "events")
	for l := historian.SpaceOK; l <= historian.SpaceFull; l++ {
		s.gauge(descSpace, oneIf(l == h.Space), l.String())
	}
	s.gauge(descDiskFree, float64(h.DiskFree))
	s.gauge(descDiskTotal, float64(h.DiskTotal))
	s.gauge(descLimit, float64(h.Limit))
	s.gauge(descBallast, float64(h.Ballast))
	s.counter(descScrubbed, h.Scrubbed)
	s.gauge(descUnscrubbed, float64(h.Unscrubbed))
	s.gauge(descHurtFiles, float64(h.Damaged))
}

func (c statsCollector) promql(s sender) {
	if c.u.opt.PromQL == nil {
		return
	}
	q := c.u.opt.PromQL.Stats()
	for result, n := range q.Queries {
		s.counter(descQueries, n, result)
	}
	s.gauge(descRunning, float64(q.Running))
	s.gauge(descWaiting, float64(q.Waiting))
	s <- prometheus.MustNewConstMetric(descAsked, prometheus.CounterValue, q.Seconds)
	s.counter(descLooked, q.Samples)
}

func (c statsCollector) uplinks(s sender) {
	if c.u.opt.Uplinks == nil {
		return
	}
	for _, l := range c.u.opt.Uplinks.Status() {
		var oldest time.Duration
		if !l.Oldest.IsZero() {
			oldest = max(0, c.u.opt.Now().Sub(l.Oldest))
		}
		s.gauge(descOwed, float64(l.Owed), l.Name)
		s.gauge(descOldest, oldest.Seconds(), l.Name)
		s.gauge(descRate, l.Rate, l.Name)
		s.gauge(descUplinkUp, oneIf(l.State == "live" || l.State == "flushing"), l.Name)
		s.counter(descDelivered, l.Delivered, l.Name)
		s.counter(descDuplicated, l.Duplicated, l.Name)
		for reason, n := range l.Drops {
			s.counter(descGivenUp, n, l.Name, reason)
		}
	}
}

type sender chan<- prometheus.Metric

func (s sender) gauge(d *prometheus.Desc, v float64, labels ...string) {
	s <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
}

func (s sender) counter(d *prometheus.Desc, v uint64, labels ...string) {
	s <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(v), labels...)
}

func (s sender) histogram(d *prometheus.Desc, h *journal.Histogram) {
	below, n := make(map[float64]uint64), uint64(0)
	for i, bound := range journal.HistogramBounds {
		n += h.Counts[i]
		below[bound.Seconds()] = n
	}
	s <- prometheus.MustNewConstHistogram(d, h.Count(), h.Sum.Seconds(), below)
}

func oneIf(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
