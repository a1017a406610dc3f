// Package server accepts MQTT connections, reads, steps sessions, writes, and ends them.
//
//	accept ─► login ─► read ─► handle ─┬─► session step ─► Save, Send
//	                                   └─► router.Route ─► Deliver ─► outbox of each subscriber ─► write
//	journal's commit ─► onDurable ─► acknowledgements ─► outbox of the publisher ─► write
//
// What reads and writes is a wire, and there are two. Plain TCP and unix sockets on Linux are descriptors of an event loop
// (loop_linux.go; looped_*.go are its connections): one goroutine waits for all of them, handles what has come, and writes what that caused, one
// write per connection and turn. A loop never waits for anything else: a login that must (for a password to be checked, an earlier
// connection to end, the journal) and the end of a connection in a Shutdown, or whose will may be for many, get a goroutine of their own, which tells the loop.
// All others are a stream (stream.go): TLS, WebSocket, pipes, other systems. It has a goroutine for each direction.
// Everything above the wire is shared, and nearly every test runs over both; the others say why not.
//
// Goroutines: one run per event loop (the first Serve of a plain listener starts them, Shutdown ends them), startLogin and startEnd as
// said; one readLoop per stream (Serve starts it, Shutdown waits for it; ServeConn runs it on the caller's), one writeLoop per stream that has
// logged in (its reader starts it and waits for it); and one tickLoop (New starts it, Shutdown waits for it).
//
// Who reads handles all packets that one read brought, and then sees to what it has given to others: a turn. On a loop the turn
// writes, whatever loop the connection belongs to, as far as the kernel takes it; epoll says when it takes more. A stream's writer is
// woken, and writes all that has gathered. A client that does not take its answers is not read from; of its deadlines only that for
// writing runs on meanwhile.
//
// What an acknowledgement promises, when there is a journal to wait for: PUBACK and PUBREC, that the message is on disk in the queue
// of every session on disk that it matched and that had room, and retained if it asked for that; PUBCOMP, that its identifier is free
// on disk too; SUBACK and UNSUBACK, that a session on disk has the subscription, or has it no more. A session whose queue is full, by messages, by
// bytes or by the bytes of all sessions, does not get the message, which is counted by that reason and for its client: else one client
// that stays away could stop a plant. CONNACK promises nothing: a session and its will are on disk when the commit interval has passed.
// With durability fast everything is promised from memory, and written behind; who sends more than the disk takes is read from more slowly.
//
// The journal is told what is awaited. A commit comes after its interval, when enough acknowledgements wait for it to fill a page of flash, or
// when all clients that send as soon as they are answered are waiting (hurry.go).
//
// Locks, in the order they nest: a client's turn (a token: who has it may begin a connection), client.mu (its session and
// which connection it has; several at once only in rising ordinal), then one of router, outbox.mu, the store. Server.mu is
// taken before a client.mu or alone, the lock of dues within either, kickMu and offerMu alone, the lock of attempts within it, waitMu and a loop's mu within an outbox.mu, a trace's lock last. Taps, gates and
// Route are called with none of them held.
//
// Figures: each connection counts what it carries (count.go); Stats adds up. Sys publishes them on $SYS, on the goroutine of its
// caller. trace_conn.go records one client's packets; while nobody asks for that it is one look at a pointer.
//
// Logins: a CONNECT that names an authentication method is a conversation, which whoever reads carries on packet by packet
// (exchange.go). Wrong passwords make their user wait, at that address (attempts.go). Who only sends what is malformed has fewer
// connections in a second (faults.go). Who may what is asked of Auth.
//
// Bounds: beside what each connection may hold there is what all may, for packets that are not whole and for output (memory.go), and
// for messages, wills and filters (session.Budget); when there is no room for another session, who has more than a share of them gives one
// up (hoard.go). Who holds longest or most gives way. A refusal is counted always and logged
// once for each client and reason (refusals.go). On an event loop each connection has a slice of the turn; a packet that takes long, and what is
// to be written or delivered to many, are done in portions, over turns (loop_fair_linux.go, router.Begin).
//
// Ends: when a connection ends, taps get Disconnected with its reason, then its will is routed, then the session is free
// for the connection that takes it over, which is told to the taps as Connected before its first message is routed.
// In a Shutdown every will is routed while everyone is still connected; then all are disconnected.
// A will that was in force when the program died is published by New.
//
// A shared subscription gives a message to the member whose turn it is, passing over those that are away, have their window full, or no
// room; what a member leaves unfinished goes to another (share.go, handover.go; tickLoop does it).
//
// The rule that must not break: a QoS 1 or 2 message is acknowledged when the journal index that Route named is
// durable, in the order of arrival; a QoS 2 packet that would be wrong after a crash waits for its own. On a new connection
// both wait for what the last one saved as well, and CONNACK of a Clean Start for the end of the session before it.
// What could not be saved is saved before anything else of that session.
//
// A 5.0 publisher of QoS 1 or 2 is told 0x10 when nobody has the message (no subscriber matched, no tap wants it, it is not retained),
// and 0x97 when nobody has it because the queues of those that matched are full, or when it could not be retained. When anyone has it the
// answer is success. Reason Strings say why, but nothing that helps to guess names or passwords.
//
// not done: checking that a payload marked as UTF-8 is, which section 3.3.2.3.2 leaves open.
//
// Transports: a Listener is any net.Listener. What it accepts is counted by the limits before a byte of it is read; a TLS
// handshake (tls.Listener) and an upgrade (WebSocketListener) happen on the connection's own goroutine, within the time
// that CONNECT has. A further transport is a net.Listener too.
//
// Sources: MQTT 3.1.1 and 5.0, chapters 3, 4 and 6; RFC 6455; CVE-2020-13849 (SlowITe) for the deadlines.
package server
