package server

import (
	"net/netip"
	"time"
)

// faults slows down who does nothing but send what is malformed: once an address has had many such connections within a minute, the place
// of each among the connections of that address is free a second after its end only. So their number in a second is bounded by
// Limits.ConnectionsPerAddress, and they do not use up what a listener accepts for all.
type faults struct {
	counted *attempts
	late    []latePlace // the earliest first; guarded by Server.mu
}

type latePlace struct {
	addr netip.Addr
	free time.Time
}

const (
	manyFaults = 3 // times ten, of one address within a minute
	faultTime  = time.Second
	maxLate    = 4096 // places; of more, the first are free at once
)

// atFault notes that the connection ends by what its client sent.
func (c *conn) atFault() {
	c.faulty = true
	if c.addr.IsValid() {
		c.server.faults.counted.failed(c.addr, "", c.server.now())
	}
}

// leaveLocked gives the place of c back, now or later.
func (f *faults) leaveLocked(s *Server, c *conn) {
	now := s.now()
	if !c.faulty || !f.counted.waits(c.addr, "", now) {
		s.freePlaceLocked(c.addr)
		return
	}
	if len(f.late) >= maxLate {
		s.freePlaceLocked(f.late[0].addr)
		f.late = f.late[1:]
	}
	f.late = append(f.late, latePlace{c.addr, now.Add(faultTime)})
}

// passLocked gives the places back whose time is over.
func (f *faults) passLocked(s *Server, now time.Time) {
	n := 0
	for n < len(f.late) && !now.Before(f.late[n].free) {
		s.freePlaceLocked(f.late[n].addr)
		n++
	}
	if f.late = f.late[n:]; len(f.late) == 0 {
		f.late = nil
	}
}

func (s *Server) freePlaceLocked(addr netip.Addr) {
	if s.addresses[addr]--; s.addresses[addr] == 0 {
		delete(s.addresses, addr)
	}
}
