// Package promql answers Prometheus' query API from the historian, with Prometheus' own engine, so that Grafana and every
// other client of Prometheus reads the historian without a plugin.
//
//	request ─► API ─► engine ─► querier ─► catalog (which series) ─► iterator (held values) ─► historian.Columns or Cursor
//	               ◄─ JSON ◄─┘
//
// Series. The names of Sparkplug metrics hold spaces and slashes, and functions such as rate drop a series' name; so all
// metrics share one name, and their own is a label. A label that would be empty is left out.
//
//	sparkplug_value{group, node, device, metric, datatype}   the values of one metric; DateTime in milliseconds, Boolean 0 or 1
//	sparkplug_up{group, node, device}                        1 while the node or device lives, 0 while it is dead
//
// A metric that changed its type is one series; datatype is the newest. Text, bytes, arrays, data sets and templates are no
// numbers and are left out. Integers beyond 2^53 lose their last digits: PromQL knows float64 only.
//
// Values hold. A plant reports by exception: a setpoint of yesterday is today's. Prometheus forgets a sample after 5 minutes
// (the lookback), so a value that holds is repeated, by half a lookback for an instant vector and by a 60th of its range for
// a range vector, as if it had been scraped. It holds as the historian says: until the next sample, until its node or
// device dies, until a gap begins or ends, never beyond now. There, and where a sample is Bad, Stale or null, stands
// Prometheus' stale marker: what is unknown is not shown. count_over_time and sum_over_time see what arrived, without repeats;
// avg_over_time weighs by count, and avg_over_time(x[1h:10s]) by time, to 10 s. timestamp() is when the value was last
// known to hold. A clock that is ahead of ours may look at the newest value for 5 minutes.
//
// Names. The calls for series, labels and label values name, for a start and end, what a query over that time may find: by what each
// day has samples of, and what holds from before. sparkplug_up is always named, and over more than a month everything.
//
// Bounds: see Options. A query that needs more answers 422, one that takes too long 503; both say what to do.
//
// The package has no goroutine. A query reads the series of a selector ahead, hundreds at once, for they lie in
// the same blocks: half of MaxSamples at most; what does not fit it reads by an hour of one series at a time. It holds no transaction
// while it waits. The rule that must not break: what the engine sees of a series is what the historian knows of it at that time, or nothing.
//
// What is not looked at is not read. An instant vector looks at what holds at each step; min_over_time, max_over_time, last_over_time and
// present_over_time at the extremes and the last of a range. The historian is told when (historian.Looks) and leaves out what
// makes no difference, and where the statistics of a block say enough, does not decode it: days by the hour cost little more than the
// heads of the blocks, and the answer is the same to the bit. Under a subquery, and for every other function (rate, increase, changes and
// resets need each step, avg_over_time and quantile_over_time how many of each value there are), all samples are read.
//
// Where retention left no samples, rollups tell: of each minute, or hour where minutes are gone, the ranges are a day and longer or the steps
// two hours, as if the metric had been scraped at its end. What held then is shown, until the end of the next; where a row cannot tell (bad samples
// in it, a death), nothing. min_over_time and max_over_time see each row's extremes, avg_over_time its mean over time, sum_over_time and
// count_over_time its samples: of ranges that begin and end with rows the answer is that of the samples. Resets of a counter within a row are not seen.
// Where samples are kept they are read, for a row does not say when: the answer would not be the one that samples give. What cannot be read
// within Options.Timeout is refused, and the answer says so.
//
// not done: rollups in place of samples that are kept, for these reasons; text as an info series, exemplars, rules, native histograms.
//
// Sources: prometheus.io/docs/prometheus/3.x, "HTTP API" and "Querying basics" (staleness); Sparkplug 3.0, chapters 5 and 6.
package promql
