package session

import (
	"cmp"
	"slices"
	"time"
)

// Snapshot is the durable state of one session: what a checkpoint holds and a restart begins with.
type Snapshot struct {
	ClientID       string
	User           string // who owns it; another user may not take it over
	Protocol       byte
	Expiry         time.Duration // Never, or how long it outlives its connection
	Connected      bool          // had a connection when the snapshot was made
	DisconnectedAt time.Time     // zero while Connected
	Will           *Will
	Subscriptions  []Subscription // in order of filter
	Entries        []Entry        // Sent and Released in the order sent, then Queued in the order received
	Received       []uint16       // packet identifiers of QoS 2 messages taken over, rising
	Replays        []Replay       // retained messages still to be sent
	LastSeq        uint64
	LastPacketID   uint16
}

// Apply changes the snapshot as the session was changed. A store begins with a zero Snapshot at Created and
// forgets it at Ended. A change that does not fit (its record's other half was lost) changes nothing.
func (s *Snapshot) Apply(c *Change) {
	switch c.Kind {
	case Created:
		*s = Snapshot{ClientID: c.ClientID, User: c.User, Protocol: c.Protocol, Expiry: c.Expiry, Connected: true}
	case Connected:
		s.User, s.Protocol, s.Expiry, s.Connected, s.DisconnectedAt = c.User, c.Protocol, c.Expiry, true, time.Time{}
		if c.Expiry == 0 { // from now on nothing of it is saved but the will
			s.Subscriptions, s.Entries, s.Received, s.Replays, s.LastSeq, s.LastPacketID = nil, nil, nil, nil, 0, 0
		}
	case Disconnected:
		s.Expiry, s.Connected, s.DisconnectedAt = c.Expiry, false, c.At
	case Ended:
		*s = Snapshot{ClientID: c.ClientID}
	case WillSet:
		s.Will = c.Will
	case WillCleared:
		s.Will = nil
	case Subscribed:
		s.subscribe(*c.Subscription)
	case Unsubscribed:
		s.Subscriptions = slices.DeleteFunc(s.Subscriptions, func(x Subscription) bool { return x.Filter == c.Filter })
		s.Replays = deleteReplay(s.Replays, c.Filter)
	case Enqueued, EntrySent, EntryReleased, EntryDone, EntryDropped:
		s.applyEntry(c)
	case Received:
		if i, found := slices.BinarySearch(s.Received, c.PacketID); !found {
			s.Received = slices.Insert(s.Received, i, c.PacketID)
		}
	case Completed:
		if i, found := slices.BinarySearch(s.Received, c.PacketID); found {
			s.Received = slices.Delete(s.Received, i, i+1)
		}
	case Replaying:
		s.Replays = putReplay(s.Replays, Replay{Filter: c.Filter, After: c.Topic})
	case Replayed:
		s.Replays = deleteReplay(s.Replays, c.Filter)
	}
}

func (s *Snapshot) subscribe(sub Subscription) {
	i, found := slices.BinarySearchFunc(s.Subscriptions, sub, func(a, b Subscription) int { return cmp.Compare(a.Filter, b.Filter) })
	if found {
		s.Subscriptions[i] = sub
		return
	}
	s.Subscriptions = slices.Insert(s.Subscriptions, i, sub)
}

func (s *Snapshot) applyEntry(c *Change) {
	switch c.Kind {
	case Enqueued:
		s.LastSeq = max(s.LastSeq, c.Entry.Seq)
		if c.Entry.State == Queued {
			s.Entries = append(s.Entries, *c.Entry)
		} else {
			s.insertSent(*c.Entry)
		}
	case EntrySent:
		if i := s.indexOfSeq(c.Seq); i >= 0 && s.Entries[i].State == Queued {
			s.send(i, c.PacketID)
		}
	case EntryReleased:
		if i := s.indexOfPacket(c.PacketID); i >= 0 {
			s.Entries[i].State, s.Entries[i].Message, s.Entries[i].IDs, s.Entries[i].Shared = Released, nil, nil, ""
		}
	case EntryDone:
		if i := s.indexOfPacket(c.PacketID); i >= 0 {
			s.remove(i)
		}
	case EntryDropped:
		if i := s.indexOfSeq(c.Seq); i >= 0 {
			s.remove(i)
		}
	}
}

// remove takes entry i out. What is before it moves: it is near the front, where at most Inflight entries were sent,
// while tens of thousands may be queued behind.
func (s *Snapshot) remove(i int) {
	copy(s.Entries[1:], s.Entries[:i])
	s.Entries[0] = Entry{}
	s.Entries = s.Entries[1:]
}

// send moves queued entry i behind the last one that was sent.
func (s *Snapshot) send(i int, id uint16) {
	e, sent := s.Entries[i], s.sent()
	e.State, e.PacketID, s.LastPacketID = Sent, id, id
	copy(s.Entries[sent+1:i+1], s.Entries[sent:i])
	s.Entries[sent] = e
}

// insertSent puts e behind the last entry that was sent and before the first that was not.
func (s *Snapshot) insertSent(e Entry) {
	s.Entries = slices.Insert(s.Entries, s.sent(), e)
	s.LastPacketID = e.PacketID
}

// sent counts the entries that were sent: they stand in front, and are at most Inflight.
func (s *Snapshot) sent() (n int) {
	for n < len(s.Entries) && s.Entries[n].State != Queued {
		n++
	}
	return n
}

func (s *Snapshot) indexOfPacket(id uint16) int {
	return slices.IndexFunc(s.Entries, func(e Entry) bool { return e.PacketID == id && e.State != Queued })
}

func (s *Snapshot) indexOfSeq(seq uint64) int {
	return slices.IndexFunc(s.Entries, func(e Entry) bool { return e.Seq == seq })
}
