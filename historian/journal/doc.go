// Package journal is the appliance's one append-only log: samples, events, durable session
// state and small durable state share its group commit.
//
//	             Append                 Run: commit loop                   OnDurable, Wait
//	Record ────► encode ──► buffer A ═► one durable write ────────► Durable ───────────────► acknowledgements
//	              (mu)      buffer B                │                    │
//	                                        segments 00000017.seg …     tail in memory
//	                                                └─────── Reader ─────┘──► historian, uplinks, stores
//
// Append encodes into the buffer that is not being written, so it never waits for the disk. A commit
// happens when the earliest waiting record is due, when 256 KiB wait, or when someone awaits as many of the waiting records
// as fill a page of flash (Await): then waiting longer would save no write. Someone who knows that waiting gathers nothing more may
// have it at once; commits of that kind that write little are bounded in the long run.
//
// What must not break: Durable is a prefix. Everything at or below it is on disk, whatever the disk
// answered in between: a commit whose write or flush failed is written again, whole, to a new segment
// through a new file descriptor, and until that succeeded nothing behind it is durable and Append answers with
// a *DiskError. A page that holds durable records is never written again, so a torn write cannot hurt them.
//
// Goroutines: Run is the commit loop, run by its caller; it starts housekeep (one: spare segments,
// recycling, requests for checkpoints), ends it and waits for it. A Reader and an Owner have none.
//
// Locks: State.writing (one checkpoint at a time, held while its file is written), State.mu, Journal.mu, in this order. The
// latter two are never held during a write, a flush or a callback.
//
// The bytes are drawn in FORMAT.md.
package journal
