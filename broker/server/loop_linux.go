package server

import (
	"cmp"
	"fmt"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"edge/broker/packets"
)

// loop is an event loop: one goroutine that waits for many descriptors at once, reads what has come, handles it, and
// writes what that caused, with one write per connection and turn. A connection costs it no goroutine, and no
// buffer while it is quiet.
//
// A device's message comes singly, so the wait is most of what it costs. While traffic flows the loop waits in a
// system call that the Go scheduler is not told of: no hand-over of the processor, no wake-up, no monitor thread. A
// garbage collection that wants the loop to stop interrupts that call by its signal (it takes 0.05 ms in the median and 0.16 at the
// 99th percentile to stop all, where it takes 0.03 and 0.12 without). A quiet loop waits as any goroutine does.
type loop struct {
	// Set by newLoop, never changed.
	server *Server
	epoll  int
	event  int // eventfd: something was posted
	ended  chan struct{}

	// Owned by the loop.
	delivering delivering
	buf        []byte // what a read brought, handled before the next read
	events     []unix.EpollEvent
	sources    []source // by descriptor
	generation int32
	conns      map[*looped]struct{} // logged in, or about to
	leaving    map[*looped]struct{} // to be closed once what is left has been written
	acceptors  []*acceptor
	now        time.Time
	looked     time.Time     // when deadlines were looked at last
	unseen     int           // connections that may have sent something before deadlines were due, and that were not read since
	quiet      int           // waits in a row that brought nothing
	slice      time.Duration // how long one connection may keep the loop in this turn
	share      int           // how many writes it may cause in it
	behind     []*looped     // have more left to be done; each once
	rests      []*looped     // have a packet that takes long; the first is gone on with
	restBytes  int64         // of the messages that these bring
	turns      uint64        // taken for a reason: a wait that ended at its time with nothing is none, unless something was posted then
	idle       bool          // the wait ended so
	left       time.Time     // when those that are leaving were looked at last
	wrote      atomic.Int64  // bytes, in this turn and by whoever wrote to the loop's connections

	spare []*looped // memory of the next posts

	mu     sync.Mutex
	posts  []*looped
	calls  []func()
	stop   bool
	asleep atomic.Bool // the loop waits: who posts must wake it
}

// source is what a descriptor's events go to. A descriptor that was closed and opened again within a turn has another generation.
type source struct {
	ready      func(events uint32)
	generation int32
}

const (
	readBuffer    = 64 << 10
	eventsPerTurn = 128
	rawWait       = 10 * time.Millisecond  // longest wait that the scheduler does not know of
	rawWaits      = 20                     // so many in a row bring nothing, and the loop is quiet
	deadlineEvery = time.Second            // how exactly keep alive and the like are kept
	turnTime      = 300 * time.Microsecond // about how long a turn lasts, when some connections bring much
	leastSlice    = 20 * time.Microsecond  // how long each of them may keep the loop, however many there are
	leavingEvery  = 100 * time.Millisecond // the same for connections that are being closed
)

// theLoops returns the event loops and starts them the first time; Shutdown ends them.
func (s *Server) theLoops() ([]*loop, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.loops) < cmp.Or(s.opt.Loops, DefaultLoops()) {
		l, err := newLoop(s)
		if err != nil {
			return nil, err
		}
		s.loops = append(s.loops, l)
		go l.run()
	}
	return s.loops, nil
}

func newLoop(s *Server) (*loop, error) {
	epoll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("epoll: %w", err)
	}
	event, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		unix.Close(epoll)
		return nil, fmt.Errorf("eventfd: %w", err)
	}
	l := &loop{
		server: s, epoll: epoll, event: event, ended: make(chan struct{}), delivering: delivering{server: s, topics: packets.Topics{Max: 8192}},
		buf: make([]byte, readBuffer), events: make([]unix.EpollEvent, eventsPerTurn),
		conns: make(map[*looped]struct{}), leaving: make(map[*looped]struct{}), now: s.now(), looked: s.now(),
	}
	if _, err := l.add(event, unix.EPOLLIN, l.woken); err != nil {
		l.close()
		return nil, err
	}
	return l, nil
}

// run is the loop's goroutine: it takes turns until it is stopped.
func (l *loop) run() {
	defer close(l.ended)
	defer l.close()
	defer l.takePosts() // a connection that was handed over too late is closed
	for !l.stopped() {
		n := l.wait()
		l.now = l.server.now()
		l.delivering.now = l.now
		l.wrote.Store(0)
		l.slice, l.share = sliceOf(n), shareOf(n)
		for i := range n {
			e := &l.events[i]
			if s := &l.sources[e.Fd]; s.generation == e.Pad && s.ready != nil {
				s.ready(e.Events)
			}
			if l.delivering.turn.large { // what lies in the processor's memory is written fastest
				l.delivering.turn.flush()
			}
		}
		l.takePosts()
		if !l.onlyOne(n) {
			l.delivering.turn.flush()
		}
		if l.busy() {
			l.goOn()
		}
		l.lookAtDeadlines(n)
	}
}

// wait waits for events and returns how many there are in l.events.
func (l *loop) wait() int {
	timeout := l.timeout()
	l.asleep.Store(true)
	if l.busy() || l.posted() {
		timeout = 0
	}
	var n int
	if timeout == 0 || l.quiet < rawWaits && l.server.opt.KeepProcessor {
		n = epollWaitRaw(l.epoll, l.events, min(timeout, rawWait))
	} else {
		n, _ = unix.EpollWait(l.epoll, l.events, milliseconds(timeout)) // an error is an interrupted wait
	}
	l.asleep.Store(false)
	l.idle = n <= 0 && timeout > 0
	switch {
	case n > 0:
		l.quiet = 0
	case l.idle:
		l.quiet++
	}
	return n
}

// timeout is how long the loop may sleep, if nothing happens.
func (l *loop) timeout() time.Duration {
	timeout := time.Hour
	switch {
	case len(l.leaving) > 0:
		timeout = leavingEvery
	case len(l.conns) > 0:
		timeout = deadlineEvery
	}
	for _, a := range l.acceptors {
		if !a.resume.IsZero() {
			timeout = min(timeout, max(a.resume.Sub(l.now), time.Millisecond))
		}
	}
	return timeout
}

func milliseconds(d time.Duration) int { return int((d + time.Millisecond - 1) / time.Millisecond) }

// epollWaitRaw is epoll_wait without a word to the scheduler. It is for short waits.
func epollWaitRaw(epoll int, events []unix.EpollEvent, timeout time.Duration) int {
	n, _, errno := syscall.RawSyscall6(unix.SYS_EPOLL_PWAIT, uintptr(epoll), uintptr(unsafe.Pointer(&events[0])),
		uintptr(len(events)), uintptr(milliseconds(timeout)), 0, 0)
	if errno != 0 {
		return 0
	}
	return int(n)
}

// add has events of a descriptor given to ready, on the loop.
func (l *loop) add(fd int, events uint32, ready func(uint32)) (generation int32, err error) {
	if grow := fd + 1 - len(l.sources); grow > 0 {
		l.sources = append(l.sources, make([]source, grow)...)
	}
	l.generation++
	l.sources[fd] = source{ready, l.generation}
	if err := l.control(unix.EPOLL_CTL_ADD, fd, events, l.generation); err != nil {
		l.sources[fd] = source{}
		return 0, err
	}
	return l.generation, nil
}

// control may be called on any goroutine.
func (l *loop) control(op, fd int, events uint32, generation int32) error {
	if err := unix.EpollCtl(l.epoll, op, fd, &unix.EpollEvent{Events: events, Fd: int32(fd), Pad: generation}); err != nil {
		return fmt.Errorf("epoll: %w", err)
	}
	return nil
}

// remove forgets a descriptor and closes it.
func (l *loop) remove(fd int) {
	l.sources[fd] = source{}
	unix.Close(fd)
}

// woken empties the eventfd.
func (l *loop) woken(uint32) {
	var b [8]byte
	unix.Read(l.event, b[:])
}

// wake ends the loop's wait, if it waits.
func (l *loop) wake() {
	if l.asleep.Swap(false) {
		unix.Write(l.event, []byte{1, 0, 0, 0, 0, 0, 0, 0})
	}
}

// call has f called on the loop; it is for what is rare.
func (l *loop) call(f func()) {
	l.mu.Lock()
	l.calls = append(l.calls, f)
	l.mu.Unlock()
	l.wake()
}

func (l *loop) posted() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.posts)+len(l.calls) > 0 || l.stop
}

// takePosts does what was posted before; what that posts again comes with the next turn.
func (l *loop) takePosts() {
	l.mu.Lock()
	posts, calls := l.posts, l.calls
	l.posts, l.calls = l.spare, nil
	l.mu.Unlock()
	if !l.idle || len(posts)+len(calls) > 0 {
		l.turns++
	}
	for _, f := range calls {
		f()
	}
	l.slice, l.share = sliceOf(len(posts)), shareOf(len(posts))
	for _, w := range posts {
		w.takePost()
	}
	clear(posts)
	l.spare = posts[:0]
}

// sliceOf is how long each of n connections may keep the loop.
func sliceOf(n int) time.Duration { return max(turnTime/time.Duration(max(1, n)), leastSlice) }

// lookAtDeadlines ends what has taken too long, at the end of a turn that had n events. A loop that was held up for long first
// reads what has come meanwhile: silent is who has sent nothing.
func (l *loop) lookAtDeadlines(n int) {
	if len(l.leaving) > 0 && time.Since(l.left) >= leavingEvery/10 { // their time is the machine's
		l.left = time.Now()
		for w := range l.leaving {
			w.leave()
		}
	}
	for _, a := range l.acceptors {
		a.resumeAt(l.now)
	}
	if l.now.Sub(l.looked) < deadlineEvery && !l.now.Before(l.looked) {
		l.unseen = len(l.conns)
		return
	}
	if l.unseen -= n; n == len(l.events) && l.unseen > 0 {
		return
	}
	l.looked = l.now
	for w := range l.conns {
		w.lookAtDeadlines()
	}
	l.delivering.turn.flush()
}

func (l *loop) stopped() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.stop
}

// end ends the loop when all of its connections are closed, and waits for it.
func (l *loop) end() {
	l.mu.Lock()
	l.stop = true
	l.mu.Unlock()
	l.wake()
	<-l.ended
}

func (l *loop) close() {
	unix.Close(l.event)
	unix.Close(l.epoll)
}
