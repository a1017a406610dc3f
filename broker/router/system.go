package router

import (
	"strings"

	"edge/broker"
	"edge/broker/topic"
)

// systemPrefix begins the topics on which the broker tells of itself. Their last values are kept in memory only: they change
// all the time and mean nothing after a restart. So they are not stored, and count neither for the limits of retained
// messages nor in their figures. Only our own publishers use them, a fixed set of names.
const systemPrefix = "$SYS/"

// retainedFor returns where a message on n is retained.
func (r *Router) retainedFor(n topic.Name) *topic.Names[*broker.Message] {
	if strings.HasPrefix(string(n), systemPrefix) {
		return &r.system
	}
	return &r.retained
}

// retainedBy returns what f can select: no filter selects names of both [MQTT-4.7.2-1].
func (r *Router) retainedBy(f topic.Filter) *topic.Names[*broker.Message] {
	if strings.HasPrefix(string(f), systemPrefix) {
		return &r.system
	}
	return &r.retained
}

func (r *Router) retainSystem(m *broker.Message) {
	if len(m.Payload) == 0 {
		r.system.Delete(m.Topic)
		return
	}
	r.system.Set(m.Topic, m)
}
