package sparkplug

import (
	"strings"
	"time"
)

// Reason is one line of why something is as it is. In a chain the first line is the operator's answer, and each line is
// explained by the one behind it: metric, device, node, session, client. It is made when it is asked for: nothing of it is kept
// for a metric, and one short chain for a node or device that is down.
type Reason struct {
	Kind  Cause
	At    time.Time // when it happened, or since when it is so; zero: not known
	Text  string    // plain words, without the time
	Lasts bool      // it is so since At
	Also  bool      // it does not explain the line before, it is true beside it

	whose bool // Text begins with "its": the node's
}

// Cause is the kind of a Reason: a word for programs, stable.
type Cause string

// What ends an MQTT connection.
const (
	CauseKeepAlive   Cause = "keep_alive_timeout"
	CauseLost        Cause = "connection_lost"
	CauseClean       Cause = "clean_disconnect"
	CauseWithWill    Cause = "disconnect_with_will"
	CauseTakenOver   Cause = "taken_over"
	CauseProtocol    Cause = "protocol_error"
	CauseSlow        Cause = "slow_consumer"
	CauseAdmin       Cause = "administrator"
	CauseShutdown    Cause = "shutdown"
	CauseAuth        Cause = "reauthentication_failed"
	CauseQuota       Cause = "quota"
	CauseStore       Cause = "store_failed"
	CauseEnded       Cause = "connection_ended" // for a reason this package does not know
	CauseConnected   Cause = "connected"        // of a note in the list of sessions
	CauseRefused     Cause = "refused"          // the broker or its firewall did not take a CONNECT or a message
	CauseNoBirth     Cause = "no_birth"         // a client is connected for the node and has sent no NBIRTH
	CauseTwoClients  Cause = "two_clients"
	CauseFlapping    Cause = "flapping"
	CauseHostOffline Cause = "host_offline" // our own STATE, for which a node may wait
)

// What ends a node's or a device's session, or keeps it from being known.
const (
	CauseWill         Cause = "will"                // published by the broker for the node's client
	CauseDeath        Cause = "ndeath"              // published by the node's client itself
	CauseForeignDeath Cause = "foreign_ndeath"      // published by, or for, a client that is not the node's
	CauseSomeDeath    Cause = "ndeath_received"     // nobody knows by whom
	CauseNoDeath      Cause = "no_ndeath"           // the client left cleanly without one
	CauseNoWill       Cause = "no_will"             // the client is gone, and its will did not come
	CauseNewSession   Cause = "new_session"         // born anew, without a death
	CauseServerLost   Cause = "server_lost"         // the host's own connection
	CauseNotHeard     Cause = "not_heard"           // since the start
	CauseUnborn       Cause = "heard_without_birth" // only data
	CauseDeviceDeath  Cause = "ddeath"
	CauseNotReborn    Cause = "not_reborn" // the node was born again, the device not
	CauseUnknown      Cause = "unknown"    // the host has never heard of it
	CauseDown         Cause = "down"       // first line: a node or device is dead or unknown
)

// What keeps a live node's value from being good, or makes it doubtful.
const (
	CauseGap         Cause = "sequence_gap"
	CauseUndecodable Cause = "undecodable"
	CauseUnanswered  Cause = "rebirth_unanswered"
	CauseNoLive      Cause = "no_live_value" // its birth brought none that counts
	CauseNoValue     Cause = "birth_without_value"
	CauseTooLarge    Cause = "too_large"
	CauseNull        Cause = "null"
	CauseBad         Cause = "quality_bad"
	CauseStale       Cause = "quality_stale"
	CauseQuality     Cause = "quality_unknown"
	CauseType        Cause = "datatype" // a value that its metric's datatype cannot hold was refused
	CauseAlias       Cause = "alias_shared"
	CauseForeign     Cause = "foreign_value" // published by a client that is not the node's
	CauseFuture      Cause = "future_time"
	CauseClock       Cause = "clock_skew"
	CauseLimit       Cause = "limit" // more metrics or devices than the host takes
	CauseNotInBirth  Cause = "not_in_birth"
	CauseNotRecorded Cause = "not_recorded" // the journal takes nothing
)

// StampLayout is how a time stands in a chain's text: UTC, so that it means the same everywhere. Who shows the text to a person may
// put the person's own time in its place.
const StampLayout = "2006-01-02T15:04:05Z"

// sameMoment is how far apart two lines' times may be for the second not to be said.
const sameMoment = 3 * time.Second

// Explain joins a chain to one text: "device D1 dead since 2026-08-06T14:02:11Z: node N's will fired: keep-alive timeout of
// client C at 10.0.0.7". A line's time is said when it is not that of a line before it. Empty for an empty chain.
func Explain(chain []Reason) string {
	var b strings.Builder
	var said time.Time
	for i := range chain {
		r := &chain[i]
		switch {
		case i > 0 && r.Also:
			b.WriteString("; ")
		case i > 0:
			b.WriteString(": ")
		}
		b.WriteString(r.Text)
		if !r.At.IsZero() && r.At.Sub(said).Abs() >= sameMoment {
			b.WriteString(r.when())
			said = r.At
		}
	}
	return b.String()
}

// Line is one line of a chain by itself, with its time.
func (r *Reason) Line() string {
	if r.At.IsZero() {
		return r.Text
	}
	return r.Text + r.when()
}

func (r *Reason) when() string {
	word := " at "
	if r.Lasts {
		word = " since "
	}
	return word + r.At.UTC().Format(StampLayout)
}

// sentence joins a chain without times, as the reason that stands beside a state and its time.
func sentence(chain []Reason) string {
	var b strings.Builder
	for i := range chain {
		if i > 0 {
			b.WriteString(": ")
		}
		b.WriteString(chain[i].Text)
	}
	return b.String()
}
