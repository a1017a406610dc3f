package broker

// Stats are the broker's counters since start and its present sizes.
type Stats struct {
	Clients       int // network connections with a session now
	Sessions      int // sessions now, connected or not
	Subscriptions int
	Retained      int
	RetainedBytes int64
	ReceivedTotal uint64            // PUBLISH packets from clients
	SentTotal     uint64            // PUBLISH packets to clients
	Dropped       map[string]uint64 // messages not delivered, by reason; the reasons are constants in router and session
}
