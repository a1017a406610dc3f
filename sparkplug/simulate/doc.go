// Package simulate runs edge nodes that look like a plant and misbehave on request,
// as real MQTT clients over TCP.
//
//	NodeSpec ─► Fleet.Run ─► node (one goroutine each) ─► link ─► TCP ─► any broker
//	                            │   ▲                       │
//	             model (time, seed ─► Value)      NCMD, DCMD, STATE
//
// A node is what a Sparkplug 3.0 edge node should be: Will with bdSeq, commands subscribed before the
// birth, births before data, one seq for node and devices, report by exception, setpoints that can be
// written and are read back. Each Fault breaks exactly one of these habits.
//
// The value of a signal is a pure function of time, seed and the writes to its device's setpoints (model.go).
// History and live data come from that one function, so a trend has no step where they meet.
// The rule that must not break: a healthy node conforms; an observer has nothing to report.
//
// Goroutines: Fleet.Run starts one nodeLoop per node, which ends with the context, and waits for all. A connected
// node adds those of its MQTT library, which end with the socket; connection waits for the library's word that they did.
// link5.whileUp watches the connection during a SUBSCRIBE and is awaited by it.
// Fleet's methods may be called from any goroutine. No two locks nest.
//
// Sources: Sparkplug 3.0 chapters 5 (operational behaviour) and 6 (payloads).
package simulate
