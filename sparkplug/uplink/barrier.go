package uplink

import (
	"time"

	"edge/historian/journal"
)

// A group is what was written between two PINGREQs.
type group struct {
	spans   []span
	msgs    int
	samples uint64 // in spans
	waived  uint64 // of them, given up
	outage  uint64 // of them, owed when the session began
	owaived uint64 // of those, given up
	given   []Gap  // of waived: what and why
	again   uint64 // written, but sent once more later: not in spans
	at      time.Time
	reached journal.Millis // arrival of the last sample in it, of the oldest lane that is sending
}

// barrierSamples is after how many samples a PINGREQ is sent even if they are few messages: it bounds what a loss may
// duplicate, in samples.
const barrierSamples = 1000

// A barrier is the proof of delivery for QoS 0: the PINGRESP on the same connection says that the server has read every
// byte before the PINGREQ. One group at most waits for it while the next one fills, so that what a loss may duplicate
// is bounded by two groups.
type barrier struct {
	open    group
	waiting []group // PINGREQ written, PINGRESP outstanding: at most one with messages
	pongs   uint64  // PINGRESPs taken
	last    time.Time
}

// wrote counts one message.
func (b *barrier) wrote(now time.Time) {
	if b.open.msgs == 0 {
		b.open.at = now
	}
	b.open.msgs++
	b.last = now
}

// covers adds what the messages written since the last PINGREQ delivered.
func (b *barrier) covers(s span) {
	b.open.spans = append(b.open.spans, s)
	b.open.samples += s.N
}

// pinged ends the open group.
func (b *barrier) pinged(now time.Time) {
	b.open.at = now
	b.waiting = append(b.waiting, b.open)
	b.open = group{}
	b.last = now
}

// due tells whether a PINGREQ is due: the group is full or old enough, and no other is outstanding.
func (b *barrier) due(now time.Time, most int, every time.Duration) bool {
	return len(b.waiting) == 0 && b.open.msgs > 0 &&
		(b.open.msgs >= most || b.open.samples >= barrierSamples || now.Sub(b.open.at) >= every)
}

// room tells whether more may be written.
func (b *barrier) room(most int) bool {
	return b.open.msgs < most && (b.open.samples < barrierSamples || len(b.waiting) == 0)
}

// taken returns the groups that pongs PINGRESPs confirm.
func (b *barrier) taken(pongs uint64) []group {
	n := min(int(pongs-b.pongs), len(b.waiting))
	g := b.waiting[:n:n]
	b.waiting = b.waiting[n:]
	b.pongs = pongs
	return g
}

// unconfirmed is how many samples were written that no PINGRESP has confirmed, or that will be sent once more.
func (b *barrier) unconfirmed() (samples uint64) {
	for _, g := range append(b.waiting, b.open) {
		samples += g.samples - g.waived + g.again
	}
	return samples
}

// msgs is how many messages the open group has.
func (b *barrier) msgs() int { return b.open.msgs }
