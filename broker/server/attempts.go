package server

import (
	"hash/maphash"
	"maps"
	"net/netip"
	"sync"
	"time"

	"edge/broker/packets"
)

// attempts counts failed logins, so that passwords are not guessed from one place as fast as the line allows: who
// has failed limit times within a minute waits a minute. It counts each user name of an address, so that one device with
// a wrong password does not shut out the others behind the same router, and all of an address together, with ten
// times the limit. Loopback, and what has no address, is not counted.
type attempts struct {
	limit int // 0: none

	mu    sync.Mutex
	seed  maphash.Seed // makes user names into numbers that nobody outside can aim at
	by    map[attempt]failures
	swept time.Time // when room was made last
}

// attempt is whose failures are counted: user is a hash of the user name, 0 for all of the address.
type attempt struct {
	addr netip.Addr
	user uint64
}

type failures struct {
	since time.Time // of the first that counts
	count int
}

// maxAttempts bounds the table. When it is full, what is over is forgotten, or else anyone.
const maxAttempts, attemptWindow = 4096, time.Minute

func newAttempts(limit int) *attempts {
	return &attempts{limit: limit, seed: maphash.MakeSeed(), by: make(map[attempt]failures)}
}

// waits tells whether a login from addr is to be refused unseen.
func (a *attempts) waits(addr netip.Addr, user string, now time.Time) bool {
	if a.limit <= 0 || !addr.IsValid() {
		return false
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.fullLocked(attempt{addr, 0}, 10*a.limit, now) || user != "" && a.fullLocked(a.keyLocked(addr, user), a.limit, now)
}

func (a *attempts) keyLocked(addr netip.Addr, user string) attempt {
	return attempt{addr, maphash.String(a.seed, user) | 1}
}

func (a *attempts) fullLocked(key attempt, limit int, now time.Time) bool {
	f, found := a.by[key]
	return found && f.count >= limit && now.Sub(f.since) < attemptWindow
}

// failed counts a failure. The one that reaches the limit begins the wait.
func (a *attempts) failed(addr netip.Addr, user string, now time.Time) {
	if a.limit <= 0 || !addr.IsValid() {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if user != "" {
		a.countLocked(a.keyLocked(addr, user), a.limit, now)
	}
	a.countLocked(attempt{addr, 0}, 10*a.limit, now)
}

func (a *attempts) countLocked(key attempt, limit int, now time.Time) {
	f, found := a.by[key]
	if !found {
		a.makeRoomLocked(now)
	}
	if now.Sub(f.since) >= attemptWindow {
		f = failures{since: now}
	}
	if f.count++; f.count >= limit {
		f.since = now
	}
	a.by[key] = f
}

func (a *attempts) makeRoomLocked(now time.Time) {
	if len(a.by) < maxAttempts {
		return
	}
	if now.Sub(a.swept) >= time.Second { // or each failure of a storm would cost a look at all
		a.swept = now
		maps.DeleteFunc(a.by, func(_ attempt, f failures) bool { return now.Sub(f.since) >= attemptWindow })
	}
	for key := range a.by {
		if len(a.by) < maxAttempts {
			return
		}
		delete(a.by, key)
	}
}

// forget is for a user name that has got in.
func (a *attempts) forget(addr netip.Addr, user string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if user != "" {
		delete(a.by, a.keyLocked(addr, user))
	}
}

// countAttempt counts how a login ended: wrong credentials count, nothing else does.
func (s *Server) countAttempt(addr netip.Addr, user string, err error) {
	switch {
	case err == nil:
		s.attempts.forget(addr, user)
	case asRefused(err).code == packets.BadUserNameOrPassword:
		s.attempts.failed(addr, user, s.now())
	}
}
