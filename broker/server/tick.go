package server

import (
	"container/heap"
	"sync"
	"time"

	"edge/broker/session"
)

// Start publishes the wills that became due while the broker was away, and those that become due from now on. It is called before
// Serve, with Options.StartLater once all that has to see a will is there; else New does.
func (s *Server) Start() {
	s.starting.Do(func() {
		s.tick(s.now())
		go s.tickLoop() // Shutdown waits for it
	})
}

// tickLoop publishes delayed wills and ends sessions when they are due, and clears away expired retained messages.
func (s *Server) tickLoop() {
	defer close(s.ticked)
	timer := time.NewTimer(expireEvery)
	defer timer.Stop()
	for looked := s.now(); ; {
		timer.Reset(max(0, min(s.nextDue(), expireEvery-s.now().Sub(looked), expireEvery)))
		select {
		case <-s.stop:
			return
		case <-s.nudge:
			s.takeOffers()
			continue
		case <-timer.C:
		}
		s.takeOffers()
		now := s.now()
		s.tick(now)
		if d := now.Sub(looked); d < 0 || d >= expireEvery {
			looked = now
			s.scheduleAll()
			s.router.Expire(now)
		}
	}
}

// wakeTicks has tickLoop look what is to be done now.
func (s *Server) wakeTicks() {
	select {
	case s.nudge <- struct{}{}:
	default:
	}
}

// expireEvery is how often expired retained messages are cleared away, which are not sent anyway; and how often all sessions are asked when
// they are due, which changes when somebody sets the clock: that of a session from before a restart is the clock's.
const expireEvery = time.Minute

// dues are the clients with a session that is due some time, each once. A client that has come back may still be in there.
type dues struct {
	mu   sync.Mutex
	list dueList
}

// due is when the session of a client is due.
type due struct {
	client *client
	at     time.Duration // since Server.started
}

// dueList is a heap, the earliest first; each client knows its place in it.
type dueList []due

func (l dueList) Len() int           { return len(l) }
func (l dueList) Less(i, j int) bool { return l[i].at < l[j].at }
func (l dueList) Swap(i, j int) {
	l[i], l[j] = l[j], l[i]
	l[i].client.duePlace, l[j].client.duePlace = i+1, j+1
}
func (l *dueList) Push(x any) {
	*l = append(*l, x.(due))
	(*l)[len(*l)-1].client.duePlace = len(*l)
}
func (l *dueList) Pop() any {
	last := (*l)[len(*l)-1]
	last.client.duePlace = 0
	(*l)[len(*l)-1] = due{}
	*l = (*l)[:len(*l)-1]
	return last
}

// set says when c is due. It tells whether that is before all others.
func (d *dues) set(c *client, at time.Duration) (first bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if i := c.duePlace - 1; i >= 0 {
		d.list[i].at = at
		heap.Fix(&d.list, i)
	} else {
		heap.Push(&d.list, due{c, at})
	}
	return c.duePlace == 1
}

// remove forgets c.
func (d *dues) remove(c *client) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if c.duePlace > 0 {
		heap.Remove(&d.list, c.duePlace-1)
	}
}

// first returns when the first is due.
func (d *dues) first() (at time.Duration, ok bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.list) == 0 {
		return 0, false
	}
	return d.list[0].at, true
}

// take returns, and forgets, one that is due by now; nil: there is none.
func (d *dues) take(now time.Duration) *client {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.list) == 0 || d.list[0].at > now {
		return nil
	}
	return heap.Pop(&d.list).(due).client
}

// schedule has c ticked when its session is due, or after least if it is already. Whatever changes that calls it.
func (s *Server) schedule(c *client, least time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	at, ok := c.dueLocked()
	if !ok {
		s.dues.remove(c)
		return
	}
	now := s.now()
	wait := at.Sub(now)
	if wait <= 0 {
		wait = least
	}
	if s.dues.set(c, now.Sub(s.started)+wait) {
		s.wakeTicks()
	}
}

func (s *Server) scheduleAll() {
	for _, c := range s.allClients() {
		s.schedule(c, 0)
	}
}

// nextDue returns how long it is to the first session that is due; expireEvery is long.
func (s *Server) nextDue() time.Duration {
	at, ok := s.dues.first()
	if !ok {
		return expireEvery
	}
	return at - s.now().Sub(s.started)
}

func (c *client) dueLocked() (due time.Time, ok bool) {
	if c.session == nil || c.conn != nil {
		return due, false
	}
	due = c.session.Due()
	return due, !due.IsZero()
}

func (c *client) isDue(now time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	at, ok := c.dueLocked()
	return ok && !now.Before(at)
}

// tick steps the sessions that are due.
func (s *Server) tick(now time.Time) {
	for c := s.dues.take(now.Sub(s.started)); c != nil; c = s.dues.take(now.Sub(s.started)) {
		if c.isDue(now) {
			s.tickClient(c)
		}
		s.schedule(c, tickAgain)
	}
}

// tickAgain is when a session is looked at again to which someone was beginning a connection.
const tickAgain = time.Second

// tickClient steps one session unless someone is beginning a connection to it: then that is the next thing it gets.
func (s *Server) tickClient(c *client) {
	s.mu.Lock()
	c.refs++
	s.mu.Unlock()
	defer s.letGo(c)
	select {
	case c.turn <- struct{}{}:
	default:
		return
	}
	defer func() { <-c.turn }()
	if c.endsNow() {
		s.handOver(c, true)
	}
	c.mutate(func(now time.Time, o *session.Output) {
		if c.conn == nil {
			c.session.Tick(now, o)
		}
		if o.Ended {
			c.server.counters.expired.Add(1)
		}
	})
}

// endsNow tells whether the session's time is over.
func (c *client) endsNow() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.conn == nil && c.session != nil && c.session.EndsBy(c.server.now())
}
