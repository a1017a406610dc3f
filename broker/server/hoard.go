package server

import (
	"net/netip"

	"edge/broker/packets"
)

// owner is whose sessions are counted together: a user's, or those that came from one address without a user name.
type owner struct {
	user string
	addr netip.Addr // as countedAddr; zero for a user, and for sessions of before the last start
}

func (c *conn) owner() owner {
	if c.identity.User != "" {
		return owner{user: c.identity.User}
	}
	return owner{addr: c.addr}
}

// hoardShare is what part of all sessions one owner may have when there is no room for another's.
const hoardShare = 4

// hoardLooks is how many sessions are looked at to find one that gives way: of an owner that has its share or more, one of so
// many is found, but for one time in a hundred million.
const hoardLooks = 64

// makeRoom ends a session of an owner that has more than its share, for one of who has not: who hoards sessions does not lock the others
// out. Of those that are looked at it is the emptiest, and then the one whose client has been away for longest. What waited in it is
// lost, and counted. False: there is none.
func (s *Server) makeRoom(who owner) bool {
	victim := s.hoarded(who)
	if victim == nil {
		return false
	}
	defer s.letGo(victim)
	select {
	case victim.turn <- struct{}{}:
	default:
		return false // its client is coming
	}
	defer func() { <-victim.turn }()
	if victim.present() {
		return false
	}
	victim.discard()
	s.refused(RefuseHoard, victim.id, "", "", errHoard)
	return true
}

var errHoard = &packets.Error{Code: packets.QuotaExceeded, Section: "4.1", Detail: "its owner has more than a share of all sessions, and another needs one"}

func (c *client) present() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.conn != nil
}

// hoarded chooses the session that gives way and holds it, until letGo. A map begins to be walked anywhere.
func (s *Server) hoarded(who owner) (victim *client) {
	s.mu.Lock()
	defer s.mu.Unlock()
	share := s.limits.Sessions / hoardShare
	if s.owners[who] >= share {
		return nil
	}
	looks := 0
	for _, c := range s.clients {
		if looks++; looks > hoardLooks {
			break
		}
		if s.owners[c.owner] > share && c.refs == 0 && (victim == nil || c.emptierThan(victim)) {
			victim = c
		}
	}
	if victim != nil {
		victim.refs++
	}
	return victim
}

func (c *client) emptierThan(other *client) bool {
	bytes, at := c.held()
	others, otherAt := other.held()
	return bytes < others || bytes == others && at < otherAt
}

// held is how many bytes wait in the session, and when its client went, in Unix nanoseconds.
func (c *client) held() (bytes, since int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.session == nil {
		return 0, 0
	}
	return c.session.QueuedBytes(), c.session.EndedAt().UnixNano()
}
