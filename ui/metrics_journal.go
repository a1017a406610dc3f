package ui

// The figures of journal.Stats.
var (
	descJournalBytes    = describe("journal_bytes", "Bytes of the journal's segments, spares not counted.")
	descJournalSegments = describe("journal_segments", "Segments of the journal.")
	descJournalSpares   = describe("journal_spare_segments", "Files that are ready to become a segment.")
	descJournalPending  = describe("journal_pending_bytes", "Bytes that wait for a commit.")
	descJournalLag      = describe("journal_lag_seconds", "Age of the oldest record that is not yet durable; 0 when all are.")
	descJournalWritable = describe("journal_writable", "1 while the disk takes the journal's writes.")
	descCommits         = describe("journal_commits_total", "Group commits.")
	descSyncs           = describe("journal_syncs_total", "fdatasync calls of commits.")
	descCommitBytes     = describe("journal_written_bytes_total", "Bytes written by commits, padding included.")
	descPayloadBytes    = describe("journal_payload_bytes_total", "Bytes of records committed.")
	descDamaged         = describe("journal_damaged_commits_total", "Commits that could not be read back.")
	descJournalRefused  = describe("journal_refused_appends_total", "Records refused because the disk or the waiting room was full.")
	descCommitSeconds   = describe("journal_commit_seconds", "A commit: write and flush.")
	descDurableSeconds  = describe("journal_durable_seconds", "Each commit's oldest record, from its append until it was durable: what an acknowledgement waits for.")
)

func (c statsCollector) journal(s sender) {
	if c.u.opt.Journal == nil {
		return
	}
	j := c.u.opt.Journal.Stats()
	s.gauge(descJournalBytes, float64(j.Bytes))
	s.gauge(descJournalSegments, float64(j.Segments))
	s.gauge(descJournalSpares, float64(j.Spares))
	s.gauge(descJournalPending, float64(j.PendingBytes))
	s.gauge(descJournalLag, j.Lag.Seconds())
	s.gauge(descJournalWritable, oneIf(j.Err == nil))
	s.counter(descCommits, j.Commits)
	s.counter(descSyncs, j.Syncs)
	s.counter(descCommitBytes, j.CommitBytes)
	s.counter(descPayloadBytes, j.PayloadBytes)
	s.counter(descDamaged, j.Damaged)
	s.counter(descJournalRefused, j.Refused)
	s.histogram(descCommitSeconds, &j.CommitTimes)
	s.histogram(descDurableSeconds, &j.DurableTimes)
}
