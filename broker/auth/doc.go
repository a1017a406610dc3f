// Package auth says who may connect, publish and subscribe.
//
//	users.yaml ─┐
//	            ├─► Load ─► Policy ─┬─ Connect(CONNECT's fields) ─► Identity
//	acl.yaml ───┘      Reload ◄─────┤
//	                                └─ MayPublish, MaySubscribe(Identity, topic)
//
// A Policy is immutable; broker/server holds the one in force in an atomic pointer and swaps it for what Reload
// returns. Rights are asked of the policy in force, never kept in an Identity, so a right that is taken away ends with
// the reload. Package auth starts no goroutine. Connect may take some 50 ms to check a password and waits for its turn, two
// checks at a time; the other calls do not wait.
//
// The rule that must not break: what is not allowed is refused. A file that is missing allows nothing; one that is
// empty, cut off, unreadable or wrong in any line is an error, and the policy in force stays.
//
// Sources: MQTT 5.0 sections 3.1.4, 3.3.2.1, 5.4; Sparkplug 3.0 chapter 4; RFC 9106 and the PHC string format.
package auth
