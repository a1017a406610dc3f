// Package broker holds the broker's words: the message, who may publish, who looks on.
//
//	session ─► Gate ─► router ─┬─► session
//	                           └─► Tap
//
// It has types only: no goroutine, no lock, no file. Session and router share a Message
// through it without knowing each other.
//
// The rule that must not break: a Message is made once, where it enters (a session, or a
// publisher of ours); after that nobody writes to it.
package broker
