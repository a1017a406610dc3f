package simulate

// State is where a node is in its life.
type State string

// The states of a node.
const (
	Starting   State = "starting"   // not yet run
	Connecting State = "connecting" // dialling, CONNECT, SUBSCRIBE
	Waiting    State = "waiting"    // for its primary host
	Online     State = "online"     // born
	Retrying   State = "retrying"   // lost its connection, pauses before the next
	Killed     State = "killed"     // by Kill: the socket was cut, the Will fires
	Stopped    State = "stopped"    // by Stop, or the fleet ended: NDEATH and DISCONNECT were sent
)

// Status is a copy of what a node is and has done since the fleet was made.
type Status struct {
	Group, Node string
	Protocol    Protocol
	Faults      []Fault
	State       State
	Reason      string // why it is in that state; empty when there is nothing to say
	LastError   string // why the last connection failed or ended; empty before
	BdSeq       int    // of the current or last session; -1 before the first
	Seq         int    // of the last message with one; -1 before the first
	Births      int    // NBIRTHs sent
	Rebirths    int    // of these, asked for by a host
	Connects    int    // CONNECT attempts
	Messages    int    // births, deaths and data sent
	Samples     int    // live values in data messages
	HistorySent int    // historical values sent
	HistoryDone bool   // all of Options.History is sent, or there is none
	Commands    int    // writes accepted
	Refused     int    // writes to unknown, read-only or wrongly typed metrics
}
