// Package export writes samples and gaps of the historian as CSV and as Parquet.
//
//	historian.Rows ─► piece ─► Encoder ─► bytes ─► writer (a file, an HTTP answer)
//
// Copy does one piece at a time: while a writer blocks, nothing of the store is held, and what is in memory does not depend on
// the span. A copy shares the processor: after each short stretch of work it lets others run.
//
// The package has no goroutine, and no file but its writer. What must not break: a row says what Store.Read says, bit by bit,
// gaps included; a file that is not whole does not look whole (Copy's error, Parquet's missing foot).
//
// Sources: RFC 4180 (CSV), the Apache Parquet format 2.11 (logical types, encodings).
package export
