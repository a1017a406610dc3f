// Package topic holds topic names, topic filters and the two trees that match them.
//
//	Filter ─► Tree.Add ─┐
//	                    ├─► Walk.Next: who subscribed to this name
//	Name ───────────────┘
//	Name ─► Names.Set ──► Names.Match(filter): which stored names does this filter select
//
// It is pure: no goroutine, no lock. Whoever owns a tree guards it; Match may run in many goroutines at once as long
// as nobody changes the tree. Names and filters are compared byte by byte, never normalised [MQTT-4.7.3-4].
//
// The rule that must not break: Walk and Names.Match find exactly what Match finds filter by filter. A name or a
// filter goes into a tree only after its Validate said so; its limit of levels bounds the depth of the trees.
//
// Sources: MQTT 3.1.1 and 5.0, section 4.7; shared subscriptions: 5.0, section 4.8.2.
package topic
