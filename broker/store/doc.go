// Package store keeps what the broker promised over a restart: sessions, their queues, and retained messages.
//
//	session.Change ─► SaveSession ─┐                                   ┌─► journal index: acknowledged when durable
//	retained       ─► SaveRetained ┴─► one journal record (due: 10 ms) ┤
//	                                                                   └─► Checkpoint: a cursor on the journal ─► broker.db
//	start: Load = broker.db, then the journal above its checkpoint
//
// The journal is the store; broker.db is a checkpoint of it, so that the journal may be recycled. A checkpoint reads the
// session records since the last one, applies them with session.Snapshot.Apply, and writes what changed in
// one transaction together with the index it reached. A message that was queued and acknowledged between two checkpoints
// never reaches broker.db, and nothing is held in memory twice.
//
// A record that nobody was promised (a message was sent, or is done) waits for the next commit up to 250 ms; it is due sooner when
// the server awaits it. After a crash in between a QoS 1 message comes again, with DUP where it was known to be sent.
//
// What must not break: each record counts exactly once, whatever was killed when. So the index stands in the transaction, and
// the journal keeps what is above the checkpoint before, because a damaged broker.db may fall back by one transaction.
//
// A broker.db that does not read is moved aside and the broker starts with what the journal still has. bbolt panics
// in a goroutine of its own on some damaged files, which no recover reaches: verify walks every page before bbolt sees the
// file, and each value carries a checksum.
//
// Goroutines: Run (one, run by its caller) writes the checkpoints: when the journal asks, each Options.Every, and at its end.
//
// Locks: checkpointing, one at a time; no other. Save methods only append to the journal.
//
// Sources: MQTT 5.0 section 4.1 (what a session is), 3.3.1.3 (retained messages). The bytes are drawn in FORMAT.md.
package store
