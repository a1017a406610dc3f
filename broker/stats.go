package broker

// Stats are the broker's counters since start and its present sizes.
type Stats struct {
	Clients       int // network connections with a session now
	ClientsMax    int // the most there were at one time
	Slow          int // clients that read more slowly than they are sent to
	Connections   int // network connections now, those that have not logged in included
	Sessions      int // sessions now, connected or not
	Persistent    int // those of them that outlive their connection
	Subscriptions int
	Shared        int // those of them that are shared
	Retained      int // $SYS not counted
	RetainedBytes int64
	Inflight      int   // QoS 1 and 2 messages sent and not acknowledged, of all sessions
	Queued        int   // the same waiting to be sent
	QueuedBytes   int64 // of both
	OutboxBytes   int64 // packets waiting for their connections to take them

	ReceivedTotal uint64            // PUBLISH packets from clients
	SentTotal     uint64            // PUBLISH packets to clients
	Received      Traffic           // from clients, refused ones too
	Sent          Traffic           // to clients
	Dropped       map[string]uint64 // messages not delivered, by reason; the reasons are constants in router and session

	Accepted        uint64            // network connections accepted
	Logins          uint64            // CONNECTs accepted
	Refused         map[string]uint64 // connections refused or ended, by reason; the reasons are constants in server
	AuthFailures    uint64            // CONNECTs that authentication refused
	SessionsExpired uint64            // sessions ended by their expiry interval
	StoreErrors     uint64            // session changes that could not be stored
}

// Traffic is what passed in one direction.
type Traffic struct {
	Messages     [3]uint64 // PUBLISH packets by QoS
	Packets      uint64    // packets of all types
	Bytes        uint64    // of all packets, without the transport's own
	PayloadBytes uint64    // of application messages
}

// Publishes is the number of PUBLISH packets.
func (t *Traffic) Publishes() uint64 { return t.Messages[0] + t.Messages[1] + t.Messages[2] }

// Add adds o.
func (t *Traffic) Add(o Traffic) {
	for qos := range t.Messages {
		t.Messages[qos] += o.Messages[qos]
	}
	t.Packets += o.Packets
	t.Bytes += o.Bytes
	t.PayloadBytes += o.PayloadBytes
}
