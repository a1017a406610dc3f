package server

import (
	"net"
	"sync"
	"time"

	"edge/broker/packets"
)

// refusals says each refusal once: for one client, or one address before it has said who it is, each reason is a line in the
// log, and another one only when the last is sayAgain old. All are counted. A flood of names costs a bounded memory and a
// bounded log: when maxSaid are known the others are counted only, which is said once as well.
type refusals struct {
	mu   sync.Mutex
	said map[saying]time.Time
	full time.Time // when it was said that not all are said
}

type saying struct{ reason, who string }

const (
	maxSaid  = 1024
	sayAgain = 10 * time.Minute
)

// say tells whether the refusal is to be logged, and whether it is the one to say that others will not be.
func (r *refusals) say(reason, who string, now time.Time) (yes, last bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	key := saying{reason, who}
	if at, known := r.said[key]; known && now.Sub(at) < sayAgain {
		return false, false
	}
	if len(r.said) >= maxSaid {
		r.forget(now)
	}
	if _, known := r.said[key]; !known && len(r.said) >= maxSaid {
		if now.Sub(r.full) < sayAgain {
			return false, false
		}
		r.full = now
		return true, true
	}
	if r.said == nil {
		r.said = make(map[saying]time.Time)
	}
	r.said[key] = now
	return true, false
}

// forget makes room by what may be said again.
func (r *refusals) forget(now time.Time) {
	if now.Sub(r.full) < sayAgain {
		return // looked not long ago
	}
	for key, at := range r.said {
		if now.Sub(at) >= sayAgain {
			delete(r.said, key)
		}
	}
}

// refused counts a refusal and logs it if it is new. who is the client identifier, or the remote address of who gave none.
func (s *Server) refused(reason, who, remote, listener string, err error) {
	s.counters.refused(reason)
	s.sayRefused(reason, who, remote, listener, err)
}

func (s *Server) sayRefused(reason, who, remote, listener string, err error) {
	yes, last := s.refusals.say(reason, who, s.now())
	if !yes {
		return
	}
	s.log.Warn("refused", "part", "broker", "client", who, "remote", remote, "listener", listener, "reason", reason, "err", err)
	if last {
		s.log.Warn("more refusals of as many clients are counted and not logged", "part", "broker", "clients", maxSaid)
	}
}

// refused counts and logs a refusal on this connection.
func (c *conn) refused(reason string, err error) {
	who := hostOf(c.remote)
	if c.client != nil {
		who = c.client.id
	}
	c.server.refused(reason, who, c.remote, c.listener.Name, err)
}

// refusedMessage logs what the client may not publish; it is counted among the messages dropped.
func (c *conn) refusedMessage(err error) {
	c.traceNotTaken(err)
	c.server.sayRefused("message refused", c.client.id, c.remote, c.listener.Name, err)
}

// hostOf is a remote address without its port, which is another one each time.
func hostOf(remote string) string {
	if host, _, err := net.SplitHostPort(remote); err == nil {
		return host
	}
	return remote
}

// refusedFilters counts and logs what a SUBSCRIBE asked for and did not get, the first of it by name.
func (c *conn) refusedFilters(p *packets.Subscribe, codes []packets.ReasonCode) {
	for i, code := range codes {
		if code.Failed() {
			c.refused(RefuseSubscription, &packets.Error{Code: code, Section: "3.9.3", Detail: "filter " + shorten(p.Filters[i].Filter)})
			return
		}
	}
}

// shorten makes a text from outside fit into a line.
func shorten(s string) string {
	if len(s) > 100 {
		return s[:100] + "…"
	}
	return s
}

// comings bounds the lines about connections that begin and end, which a storm of them would fill the disk with.
type comings struct {
	mu     sync.Mutex
	second int64
	lines  int
	left   int // out of the log since the last line
}

const comingsPerSecond = 100

// log says what, unless this second has had enough lines; the next line tells how many were left out.
func (k *comings) log(s *Server, what string, args ...any) {
	if ok, left := k.next(s.now().Unix()); ok {
		args = append([]any{"part", "broker"}, args...)
		if left > 0 {
			args = append(args, "left_out", left)
		}
		s.log.Info(what, args...)
	}
}

func (k *comings) next(second int64) (ok bool, left int) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if second != k.second {
		k.second, k.lines = second, 0
	}
	if k.lines++; k.lines > comingsPerSecond {
		k.left++
		return false, 0
	}
	left, k.left = k.left, 0
	return true, left
}
