// Package observe judges edge nodes, hosts and brokers against the specification's assertions by what they say.
//
//	topic, payload, QoS, retain, time ─► Observer.Message ─► findings, each with its tck id
//	clients ─► Tap ─► server                                    │
//	            └─ every packet ─► Wire (connections, sessions) ─┴─► Tally: holds, broken, not seen
//
// An Observer sees messages, as a subscriber or a broker's tap does; `edge tail` runs one. A Wire sees whole connections:
// wills, clean sessions, subscriptions before births, STATE awaited, deaths before disconnects, bdSeq over CONNECTs.
// A Tap is a TCP proxy that feeds a Wire, so that any edge node or host can be judged beside any broker. Package kit
// drives them through what there is to judge.
//
// Observer and Wire are independent of sparkplug.Host: they keep their own few facts of each node (sequence number,
// bdSeq, aliases, devices) so that the two can contradict each other in tests. An Observer is for one goroutine at a time.
// The rule that must not break: they report nothing that a conformant peer may do.
//
// Goroutines: a Tap has one that accepts and two for each connection; Tap.Close ends them and waits.
// Locks: Wire.mu; Tap.mu. They do not nest.
//
// not done: whether a rebirth keeps its bdSeq, by an Observer, since a new session may have begun unseen; ids of nodes
// that differ only in case, which the Host reports.
//
// Sources: Sparkplug 3.0 (ISO/IEC 20237), chapters 4 to 6 and 10.
package observe
