package session

// Puback takes the client's answer to a QoS 1 message; with an error code the message counts as
// delivered too [MQTT-4.4.0-2]. An identifier that is not in use changes nothing.
func (s *Session) Puback(id uint16, o *Output) (known bool) {
	i := s.find(id)
	if i < 0 || s.inflight[i].QoS != 1 {
		return false
	}
	s.done(i, o)
	return true
}

// Pubrec takes the client's first answer to a QoS 2 message: PUBREL follows [MQTT-4.3.3-4], or nothing if
// the client refused it (code of 0x80 or more), which frees the identifier. For an unknown identifier known is
// false and the caller answers PUBREL 0x92.
func (s *Session) Pubrec(id uint16, refused bool, o *Output) (known bool) {
	i := s.find(id)
	if i < 0 || s.inflight[i].QoS != 2 {
		return false
	}
	if refused {
		s.done(i, o)
		return true
	}
	e := &s.inflight[i]
	if e.State != Released {
		s.forget(e)
		e.State, e.Message, e.IDs, e.Shared, e.cost = Released, nil, nil, "", 0 // no PUBLISH again [MQTT-4.3.3-6]
		s.saveState(o, Change{Kind: EntryReleased, PacketID: id})
	}
	o.Send = append(o.Send, Send{Kind: Pubrel, PacketID: id})
	return true
}

// Pubcomp takes the client's last answer to a QoS 2 message.
func (s *Session) Pubcomp(id uint16, o *Output) (known bool) {
	i := s.find(id)
	if i < 0 || s.inflight[i].State != Released {
		return false
	}
	s.done(i, o)
	return true
}

// TooLarge takes back a message that Send named and that is above the client's Maximum Packet Size:
// it counts as delivered [MQTT-3.1.2-25].
func (s *Session) TooLarge(id uint16, o *Output) {
	if i := s.find(id); i >= 0 {
		s.done(i, o)
		s.drop(o, DropTooLarge, 1)
	}
}

// find returns the place of id in the window, -1 if it is not in use on this connection.
func (s *Session) find(id uint16) int {
	for i := range s.inflight {
		if s.inflight[i].PacketID == id && (i < len(s.inflight)-s.resend || s.inflight[i].early) {
			return i
		}
	}
	return -1
}

func (s *Session) done(i int, o *Output) {
	id := s.inflight[i].PacketID
	s.forget(&s.inflight[i])
	if i >= len(s.inflight)-s.resend {
		s.resend--
	}
	s.removeSent(i)
	s.saveState(o, Change{Kind: EntryDone, PacketID: id})
}

// Receive takes over a QoS 2 message from the client; again is true if it was taken over before and its PUBREL did
// not come yet: then it is answered, and not routed a second time [MQTT-4.3.3-10]. The caller routes
// the message with the Save as one record, or calls Refuse.
func (s *Session) Receive(id uint16, o *Output) (again bool) {
	if s.received.has(id) {
		return true
	}
	s.received.add(id)
	s.saveState(o, Change{Kind: Received, PacketID: id})
	return false
}

// Refuse undoes Receive when the message could not be taken; its identifier is free again [MQTT-4.3.3-9].
func (s *Session) Refuse(id uint16) { s.received.remove(id) }

// Complete takes the PUBREL of a received message; the identifier is free again [MQTT-4.3.3-12].
// For an unknown identifier known is false and the caller answers PUBCOMP 0x92.
func (s *Session) Complete(id uint16, o *Output) (known bool) {
	if !s.received.remove(id) {
		return false
	}
	s.saveState(o, Change{Kind: Completed, PacketID: id})
	return true
}

// Receiving returns how many QoS 2 messages were taken over and are not completed.
func (s *Session) Receiving() int { return s.received.n }

// identifiers gives out packet identifiers 1 to 65535 in rising order, leaving out those in use [MQTT-2.2.1-4].
type identifiers struct {
	last uint16
	free int // so many identifiers after last are known not to be in use
}

func (d *identifiers) next(inflight []entry) uint16 {
	for d.free == 0 {
		d.free = d.gap(inflight)
		if d.free == 0 {
			d.step()
		}
	}
	d.free--
	d.step()
	return d.last
}

func (d *identifiers) step() {
	d.last++
	if d.last == 0 {
		d.last = 1
	}
}

// gap returns how many identifiers after last come before the first in use.
func (d *identifiers) gap(inflight []entry) int {
	gap := 65535
	for i := range inflight {
		ahead := int(inflight[i].PacketID) - int(d.last)
		if ahead <= 0 {
			ahead += 65535
		}
		gap = min(gap, ahead-1)
	}
	return gap
}
