// Package observe judges a stream of Sparkplug messages against the specification's assertions, one message at a time.
//
//	topic, payload, QoS, retain, time ─► Observer.Message ─► findings, each with its tck id
//
// Pure, and independent of sparkplug.Host: it keeps its own few facts of each node (sequence number, bdSeq, aliases,
// devices) so that the two can contradict each other in tests. Tests and `edge tail` run it; it is not safe for
// concurrent use. The rule that must not break: it reports nothing that a conformant peer may do.
//
// not done: what a stream of messages cannot show (wills in CONNECT, clean sessions, subscriptions); templates
// against their definitions, which needs all of a birth; names that differ only in case, which
// the Host reports; whether a rebirth keeps its bdSeq, since a new session may have begun unseen.
//
// Sources: Sparkplug 3.0 (ISO/IEC 20237), chapters 4 to 6 and 10.
package observe
