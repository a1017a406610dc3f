// Package historian keeps every sample: the newest in memory, the rest in one bbolt file a day, and answers over both.
//
//	journal ─► followLoop ─► head ─┬─► window ends ─► chunk.Encode ─► part/2026-03-10.db ─► catalog.db ─► checkpoint
//	                               │                                        │
//	                               │                 hour ends ─► rows of minutes and hours, in the day and in trend/2026-03.db
//	                               │                                        │
//	                               └──► Read, Charts, Aggregates, Latest, Events, Backlog ◄─┘
//
// The journal makes samples durable; this package makes them small and keeps them. It is a cursor on the journal: it reads
// what is durable, gathers it in the head by group of series and window of time, and when a window ends writes one block for
// each group, all of a day in one transaction. A day file holds, in that same transaction, how far it has read the journal
// (position.go), so that after a crash nothing is lost and nothing is there twice. The catalog comes last, then the journal
// is told that it may recycle.
//
// Late samples (their window was written before) are few: each flush puts them behind one another in the bucket "late";
// a backlog that fills windows becomes blocks like any other, and a day that has many is written anew once it is over (rewrite.go).
// Retention removes the oldest samples first, whose day is written anew without them, then days, then months (retention.go); that a node
// died, and what a silent metric said last, it does not forget (state.go, keep.go). It
// goes by a time that a leaping clock does not move, and the devices' stamps have a say in whether it leapt (clock.go), and by what the disk has left (space.go); when that is nothing, a file
// of ballast is removed (ballast.go).
//
// When an hour is over, flushLoop rolls it up (roll.go): what each metric comes to over its minutes and the hour, what it held
// at the beginning included. Late samples and events mark the hours that they change, in the transaction that writes them;
// until those are rolled up again, which is when no more has come for an hour (mark.go), a query asks the samples.
//
// Goroutines, ended by Run's ctx and awaited by Run: followLoop (journal to head; small commits are taken by the journal's own, which waits
// for nothing here), flushLoop (head to files, rollups,
// retention), and lookUpAll, which finds the last values and ends. Backup has one for each file, writeLoop, ended and awaited when
// the file is read. Queries run on their callers'; of one about many metrics helpers take a part, at most as
// many as processors but one for all queries, ended and awaited by it (share.go). Lock order: Store.following, Store.mu, then catalog.mu or a fileSet's. A storeFile's mu is taken
// alone. No lock but a storeFile's is held while a file is read or written, and that one only keeps it open.
//
// A question about numbers reads blocks as columns, each block once for all metrics that are asked (scan.go); memory first, then
// the files, so that what moves meanwhile is seen twice and not never. It goes forward through time, fills the intervals it was
// divided into (intervals.go), and takes statistics or rollups in place of samples where they say the same (plan.go). A read
// transaction ends after a million samples or a day, and nobody is waited for in it: a commit waits for no question, and a
// file grows on account of one by no more than what is written in some tens of milliseconds, one flush.
//
// The rule that must not break: what was durable in the journal is answered until retention removes it, once.
//
// Damaged bytes never stop the start and never panic: bbolt's panics and faults become a *CorruptError. A damaged day goes back by one
// transaction if the log has what came later, else what can be read of it is saved into a new file (mend.go); a month's hours are made again
// of the days that are there (mendmonth.go); the wreck
// stays in the quarantine, what is lost is a gap. A block with a wrong checksum is a gap in the answer. Rows that damage hides are missed too: a
// bucket has a sum of its rows, which who first reads it checks (sums.go). A file that is older than it was, or gone, is missed by what the others
// know of it (ledger.go); one of another day or store is not taken for what its name says (whose.go). All files are read again and again, slowly, for damage that nobody
// asked for (scrub.go); a catalog that shows some is made anew of what is in memory (catalogmend.go).
//
// What a node said at its birth is kept as it came, as long as the event is (births.go).
//
// not done: events of days that left retention.minute, but births, deaths and gaps.
//
// Sources: OPC UA Part 13 (aggregates, stepped interpolation), Sparkplug 3.0 chapters 5 and 6 (births, deaths, quality).
package historian
