// Package journal is the appliance's one append-only log: samples, events, durable session
// state and small durable state share its group commit.
//
//	Append ─► buffer ─► commit loop (pad, write, fdatasync) ─► Durable ─► cursors (Read)
package journal
