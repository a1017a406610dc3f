package sparkplug

import (
	"fmt"
	"time"
)

// skew measures how far a node's clock is ahead of ours. A message takes time on its way, so that its time stamp less its
// arrival is the clocks' difference less that time: the largest of many is nearest to the truth. Two windows follow
// each other, so that a clock that was set back is believed after one or two of them.
type skew struct {
	now, before time.Duration // the largest difference in the present window and in the one before
	seen        int           // messages in the present window
	since       time.Time     // when it began; zero: nothing was measured yet
	settled     bool          // before is valid
}

const (
	skewWindow = 30 * time.Second // and at least
	skewSeen   = 8                // messages make a window
	skewStep   = 5 * time.Second  // a larger change from window to window is a step
)

// value is the best estimate.
func (k *skew) value() time.Duration {
	if k.settled && (k.seen == 0 || k.before > k.now) {
		return k.before
	}
	return k.now
}

// add takes the difference of one message. When a window ends, it returns by how much the clock was stepped in it.
func (k *skew) add(d time.Duration, at time.Time) (stepped time.Duration) {
	if k.since.IsZero() {
		k.since = at
	}
	if k.seen == 0 || d > k.now {
		k.now = d
	}
	k.seen++
	if k.seen < skewSeen || at.Sub(k.since) < skewWindow {
		return 0
	}
	if change := k.now - k.before; k.settled && change.Abs() >= skewStep {
		stepped = change
	}
	k.before, k.settled, k.seen, k.since = k.now, true, 0, at
	return stepped
}

// skewed takes the time stamp of a message. Messages with history do not count: their senders are busy with old times.
func (s *step) skewed(n *node, p *Payload) {
	for i := range p.Metrics {
		if p.Metrics[i].Historical {
			return
		}
	}
	const most = 100 * 365 * 24 * time.Hour // differences of differences must not overflow
	d := min(max(time.UnixMilli(int64(p.Timestamp)).Sub(s.now), -most), most).Round(time.Millisecond)
	if stepped := n.skew.add(d, s.now); stepped != 0 {
		reason := fmt.Sprintf("the node's clock was set %s by %s; it is now %s", direction(stepped), stepped.Abs(), aheadOrBehind(n.skew.value()))
		s.event(Event{Kind: ClockStepped, At: s.now, Group: n.ref.Group, Node: n.ref.Node, Reason: reason, BdSeq: -1})
		s.touch(n)
	}
	switch at := n.skew.value(); {
	case at > s.h.o.FutureStamp:
		s.warn(n, "time stamps from the future: the node's clock is ahead")
	case at < -s.h.o.FutureStamp && n.skew.settled:
		s.warn(n, "time stamps from the past: the node's clock is behind")
	}
}

func direction(d time.Duration) string {
	if d < 0 {
		return "back"
	}
	return "forward"
}

func aheadOrBehind(d time.Duration) string {
	if d < 0 {
		return d.Abs().String() + " behind"
	}
	return d.String() + " ahead"
}
