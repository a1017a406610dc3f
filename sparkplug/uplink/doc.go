// Package uplink carries every plant node to an enterprise broker: one upstream MQTT session per node, with its own will,
// bdSeq and seq, fed from the journal.
//
//	journal ─► feed ─► node{model, owed, inbox} ─► proxy ─► session ─┬─ live lane ────┬─► seq ─► conn ─► server
//	   ▲                                             ▲               └─ history lane ─┘            │
//	   │ events, cursors                             │                  (journal, Backlog)         │
//	   └──────────────────── barrier ◄───────────────┴── STATE watcher, command gate ◄─────────────┘
//
// A birth is synthesised at a cut of the journal, never replayed: it shows the values there. What comes after the cut is
// live; what is owed before it is history, by name, with its own time stamps, is_historical on every metric. Both lanes are
// written by the one goroutine that gives the seq.
//
// The rule that must not break: a sample leaves the owed ones only when a PINGRESP has proved that the server read it, or
// when it is given up and counted. What was written and not proved is owed, and sent again: duplicates are bounded by the
// barrier and counted, losses are never silent. Owed, delivered and given up of an outage's report add up exactly. Births are
// snapshots, and prove nothing.
//
// Delivered is an interval set of journal indices per node, since history and live samples advance at once. It is
// persisted each second as JSON in the StateStore, under uplink/NAME/: node/GROUP/NODE is that set, bdseq/GROUP/NODE the last
// bdSeq (durable before CONNECT), fed how far the feed was, outage the open report, outage/NN the closed ones. A damaged value costs that value.
//
// A value that the node's own client did not say, or whose alias is another's too, is journaled as uncertain. It is carried, for it
// is part of what was seen, with Quality 500 in every lane and birth: the enterprise may know it, and cannot take it for good.
//
// Flush modes: concurrent sends history beside live values, within FlushSamplesPerSecond and FlushBitsPerSecond of all nodes
// together. closing_rebirth adds one birth when a node's backlog is empty, for hosts that ignore is_historical. in_order is
// for hosts that write history to their tags: it is born with the values of the last session's end, then comes the
// history, then live values; when more is written than may be flushed, it never ends. history_elsewhere sends none and
// counts it as given up. Profiles: tahu presets closing_rebirth, ignition stamps births with the present time instead of that
// of the values.
//
// Goroutines, all ended by Run's ctx and awaited by Run:
//
//	feedLoop   1             Run itself: reads the journal's tail, never waits for a proxy
//	proxyLoop  per node      connects, writes, reads history; owns its session
//	keepLoop   1             persists, bounds the queue, measures
//	watchLoop  per server    the primary host's STATE; only if there is one
//	paho's     per connection, awaited when the connection closes
//
// Locks: node.mu, then Uplink.mu or Uplink.bookMu or hosts.mu, which are leaves. None is held over I/O.
//
// not done: decimation of a full queue; holding samples that are stamped far in the future; waiting for a set clock before the
// first births; QoS 1 for data; the history of a node's own availability as a metric; a healing rebirth for hosts that do not
// check bdSeq; samples of a node that appeared while its uplink was not configured, once they have left the log. A repeated sample that the historian keeps once is reported as given up (not_kept) when the backlog is read
// from there. What a crash makes repeat, at most what was delivered in the second before it, is not counted as duplicated.
//
// Sources: Sparkplug 3.0, chapters 4 to 6; MQTT 5.0, sections 3.1, 3.12 to 3.14.
package uplink
