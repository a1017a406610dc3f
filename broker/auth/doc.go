// Package auth says who may connect, publish and subscribe.
//
//	users.yaml ─┐
//	            ├─► Load ─► Policy ─┬─ Connect(CONNECT's fields) ─► Identity
//	            │                   ├─ Begin(method) ─► Exchange.Step(data) ─► … ─► Identity
//	acl.yaml ───┘      Reload ◄─────┤
//	                                └─ MayPublish, MaySubscribe(Identity, topic)
//
// A Policy is immutable; broker/server holds the one in force in an atomic pointer and swaps it for what Reload
// returns. Rights are asked of the policy in force, never kept in an Identity, so a right that is taken away ends with
// the reload. Package auth starts no goroutine. Connect may take some 50 ms to check a password and waits for its turn: half of
// the processors check, two at most. The other calls do not wait; a step of an Exchange takes some 10 µs.
//
// users.yaml holds an argon2id hash for clients that send their password, and a SCRAM-SHA-256 verifier for those that prove
// that they know it (MQTT 5.0). "edge user" writes both. Neither can be made of the other: a user of before SCRAM sets the
// password again. A verifier falls to guessing sooner than the hash does, its iterations are what protects it; --iterations 0
// leaves it out, and an entry without a hash logs in by SCRAM only.
//
// not done: SCRAM-SHA-256-PLUS, which binds the login to its TLS connection; a client that insists on it (p=) is refused.
//
// The rule that must not break: what is not allowed is refused. A file that is missing allows nothing; one that is
// empty, cut off, unreadable or wrong in any line is an error, and the policy in force stays.
//
// Sources: MQTT 5.0 sections 3.1.4, 3.3.2.1, 4.12, 5.4; Sparkplug 3.0 chapter 4; RFC 9106 and the PHC string format; RFC 5802 and
// 7677 (SCRAM), 4013 and 3454 (SASLprep), 5803 (how a verifier is written).
package auth
