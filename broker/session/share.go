package session

import (
	"cmp"
	"slices"
	"strings"

	"edge/broker/topic"
)

// SharedCount returns how many messages wait here, sent or not, that came by a shared subscription.
func (s *Session) SharedCount() int { return s.shared }

// SharedFilters returns the filters of its shared subscriptions, if the protocol has them.
func (s *Session) SharedFilters() (list []topic.Filter) {
	for f := range s.subscriptions {
		if strings.HasPrefix(string(f), "$share/") {
			list = append(list, f)
		}
	}
	return list
}

// Movable returns the messages that came by a shared subscription and may go to another member of it, in their order: those that
// were not sent, and those of QoS 1 that were and are not acknowledged. A QoS 2 message that was begun stays [MQTT-4.8.2-4] [MQTT-4.8.2-5].
func (s *Session) Movable() (list []Entry) {
	if s.shared == 0 {
		return nil
	}
	for i := range s.inflight {
		if s.inflight[i].movable() {
			list = append(list, s.inflight[i].Entry)
		}
	}
	for i := range s.queue.len() {
		if e := s.queue.at(i); e.movable() {
			list = append(list, e.Entry)
		}
	}
	return list
}

func (e *Entry) movable() bool { return e.Shared != "" && (e.State == Queued || e.QoS == 1) }

// Giving puts into o what is to be saved if another session takes a message that Movable returned; it goes into the record of that
// session's Deliver, and Give follows. False: the message is not here any more.
func (s *Session) Giving(seq uint64, o *Output) bool {
	if _, _, ok := s.findMovable(seq); !ok {
		return false
	}
	s.saveState(o, Change{Kind: EntryDropped, Seq: seq})
	return true
}

// Give forgets a message that another session has taken.
func (s *Session) Give(seq uint64) {
	i, sent, ok := s.findMovable(seq)
	switch {
	case !ok:
	case sent:
		s.forget(&s.inflight[i])
		if i >= len(s.inflight)-s.resend { // it was still to be sent again
			s.resend--
		}
		s.removeSent(i)
	default:
		s.forget(s.queue.at(i))
		s.queue.remove(i)
	}
}

// findMovable returns the place of a message in the window, or in the queue.
func (s *Session) findMovable(seq uint64) (i int, sent, ok bool) {
	i = slices.IndexFunc(s.inflight, func(e entry) bool { return e.Seq == seq })
	if i >= 0 {
		return i, true, s.inflight[i].movable()
	}
	waiting := s.queue.items[s.queue.head:]
	i, ok = slices.BinarySearchFunc(waiting, seq, func(e entry, seq uint64) int { return cmp.Compare(e.Seq, seq) })
	return i, false, ok && waiting[i].movable()
}

// forget gives back what an entry that is about to go holds.
func (s *Session) forget(e *entry) {
	s.bytes -= e.cost
	s.limits.Total.giveMessage(e.Message, e.cost)
	if e.Shared != "" {
		s.shared--
	}
}
