package uplink

import (
	"context"

	"edge/historian/journal"
)

// Journal is the log that an uplink follows; *journal.Journal is one.
type Journal interface {
	Append(recs ...journal.Record) (journal.Index, error)
	Durable() journal.Index
	Oldest() journal.Index
}

// State keeps small durable values; *journal.State is one.
type StateStore interface {
	Get(key string) ([]byte, bool)
	Put(key string, data []byte) error
	PutSync(ctx context.Context, key string, data []byte) error
	Keys(prefix string) []string
}

// Backlog reads one node's samples with from <= Index < to in index order, at most max, when the journal no longer
// holds them. The index that it returns is where to go on: everything below it was read.
type Backlog interface {
	Backlog(ctx context.Context, group, node string, from, to journal.Index, max int) ([]journal.Sample, journal.Index, error)
}

// Commands takes an allowed command to the plant: an NCMD or DCMD, QoS 0, not retained. It refuses one whose node is
// not online.
type Commands interface {
	Command(ctx context.Context, topic string, payload []byte) error
}

// Deps are the parts an uplink stands on.
type Deps struct {
	Journal  Journal
	Series   func(journal.SeriesID) (journal.SeriesKey, bool)
	Backlog  Backlog // nil: nothing is older than the journal
	State    StateStore
	Commands Commands // nil: every command is refused
}

// Uplink carries every plant node to one enterprise broker.
type Uplink struct {
	o Options
	d Deps
}

// New returns an Uplink that continues where the last one of its name ended; Run starts it.
func New(o Options, d Deps) (*Uplink, error) {
	o = o.withDefaults()
	if err := o.validate(); err != nil {
		return nil, err
	}
	return &Uplink{o: o, d: d}, nil
}

// Run carries until ctx ends; then every node's session is closed with its NDEATH.
func (u *Uplink) Run(ctx context.Context) error {
	<-ctx.Done()
	return nil
}

// Status returns a copy of the uplink's state.
func (u *Uplink) Status() Status { return Status{Name: u.o.Name, State: Idle} }

// Outages returns the reports of the last interruptions, newest first.
func (u *Uplink) Outages() []Outage { return nil }

// OwedFrom returns the lowest index that is still owed: retention must keep it and what follows.
func (u *Uplink) OwedFrom() journal.Index { return u.d.Journal.Durable() + 1 }

// Kick cuts every back-off short; call it when the network has come up.
func (u *Uplink) Kick() {}
