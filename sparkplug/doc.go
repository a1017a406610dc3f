// Package sparkplug holds topics, the payload codec, values, and the Host: the state of every edge node and device
// from birth to death.
//
//	bytes ─► Decode ─► Payload ─► Encode ─► bytes
//
//	message, session event, loss, tick ─► Host.Step ─► Output{Records, Changed, Nodes, Publish}
//	                                          │
//	                                          └─► Nodes, Metrics: copies for whoever shows them
//
// Pure: values and a time in, values out; no goroutine, socket, file or clock. The pipeline steps a Host under its
// own lock, in the order in which the broker routed the messages, and carries the Output out.
// A metric's current value is true only between its birth and its death: nothing is shown as good that a live node
// did not say in its present session, and no death of an older session ends a newer one.
//
// A Host may be on several servers: a node is on the one of its newest NBIRTH, and Lost makes stale only who is on that one. In
// the broker's own process there is one server, and it cannot be lost: it ends with the program, after every will.
//
// An instance of a template is shown and recorded whole, as its birth, its definition and later DATA together say; a
// historical one as it came, since what it was part of is not known. What the templates of one message stand for has a bound,
// for some bytes can stand for gigabytes; beyond it they are shown as they come. A file in parts is a value once it is whole.
//
// Why something is not well is a chain of reasons (why.go), made when it is asked for from what a node and its devices keep:
// metric, device, node, session, client. Host.Why gives it, Explain its text.
//
// Where to start reading: topic.go, payload.go, wire.go, decode.go; template_merge.go and files.go for what takes more than
// one message; then host_api.go, host.go, node.go.
//
// Sources: Sparkplug 3.0 (ISO/IEC 20237), chapters 4 to 6 and 10; assertions by their tck-id.
package sparkplug
