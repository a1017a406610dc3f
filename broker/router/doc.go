// Package router decides who gets a message: taps, subscribers now, and subscribers to come.
//
//	                  ┌─► taps
//	Message ─► gates ─┼─► retained messages ─► Subscribe: the replay
//	                  └─► topic tree ─► Deliverer (the sessions, in broker/server)
//
// It has no goroutine. Route runs on the goroutine of whoever publishes, never waits, and returns
// the journal index that the message needs to be durable: the highest of taps, retained store and sessions.
//
// Locks: mu guards the tree and the retained messages. It is held while a message is retained and
// matched, so that a subscription is wholly before or wholly after it, or for a portion of that when many subscriptions
// match (Begin), and so many that the message is delivered in portions, too; it is not held when gates, taps and the Deliverer are called. A session's lock may be held when Subscribe, Unsubscribe
// or Retained is called (order: session, then router); Route must be called with none.
//
// The rule that must not break: the messages of one publisher reach taps and sessions in the order routed.
//
// Sources: MQTT 5.0, sections 3.3.1.3, 3.8.4, 4.5, 4.6, 4.7; 3.1.1 likewise.
package router
