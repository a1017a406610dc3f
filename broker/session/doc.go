// Package session holds what the broker remembers about one client identifier,
// from its first CONNECT until the session expires.
//
//	packet, delivery, tick ─► a step ─► Output{Save, Route, Send}
//	                                      │
//	                                      └─► Snapshot.Apply: the same state again, after a restart
//
// A Session has no goroutine, socket, file or clock: every step is told the time. broker/server
// takes each step under the session's lock and carries the Output out in the order written.
// That order is the promise of QoS 1 and 2: nothing is sent that is not saved.
//
// QoS 0 messages are not session state: the connection takes them or they are dropped
// (MQTT 5.0, section 4.1, leaves it to the server), so they do not come here.
//
// The rule that must not break: applying the Changes of Output.Save to a Snapshot, in order,
// gives the Snapshot of the Session that made them.
//
// Sources: MQTT 3.1.1 and 5.0, sections 3.1.2.4, 3.1.2.5, 4.1, 4.3, 4.4, 4.6, 4.9.
package session
