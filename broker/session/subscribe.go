package session

import (
	"maps"
	"slices"

	"edge/broker/topic"
)

// Subscribe adds sub or puts it in the place of the one with the same filter [MQTT-3.8.4-3]; isNew tells which.
func (s *Session) Subscribe(sub Subscription, o *Output) (isNew bool) {
	_, had := s.subscriptions[sub.Filter]
	s.setSubscription(sub)
	s.saveState(o, Change{Kind: Subscribed, Subscription: &sub})
	return !had
}

// filtersReserve is what the subscriptions of a session may cost even when those of all together cost as much as they may.
const filtersReserve = 4 << 10

// HasRoomFor tells whether a subscription to f may be added.
func (s *Session) HasRoomFor(f topic.Filter) bool {
	cost := FilterCost(f)
	return s.limits.Filters.Room(cost) || s.filterBytes+cost <= filtersReserve
}

// Unsubscribe removes the subscription with exactly this filter [MQTT-3.10.4-1]; false if there is none.
func (s *Session) Unsubscribe(f topic.Filter, o *Output) bool {
	if _, had := s.subscriptions[f]; !had {
		return false
	}
	delete(s.subscriptions, f)
	s.replays = deleteReplay(s.replays, f)
	s.countFilters(-FilterCost(f))
	s.saveState(o, Change{Kind: Unsubscribed, Filter: f})
	return true
}

// Subscription returns the subscription with exactly this filter.
func (s *Session) Subscription(f topic.Filter) (sub Subscription, ok bool) {
	sub, ok = s.subscriptions[f]
	return sub, ok
}

// Subscriptions returns all subscriptions in order of filter.
func (s *Session) Subscriptions() []Subscription {
	subs := make([]Subscription, 0, len(s.subscriptions))
	for _, f := range slices.Sorted(maps.Keys(s.subscriptions)) {
		subs = append(subs, s.subscriptions[f])
	}
	return subs
}

// SubscriptionCount returns how many there are.
func (s *Session) SubscriptionCount() int { return len(s.subscriptions) }

func (s *Session) setSubscription(sub Subscription) {
	if s.subscriptions == nil {
		s.subscriptions = make(map[topic.Filter]Subscription)
	}
	if _, had := s.subscriptions[sub.Filter]; !had {
		s.countFilters(FilterCost(sub.Filter))
	}
	s.subscriptions[sub.Filter] = sub
}

func (s *Session) countFilters(cost int64) {
	s.filterBytes += cost
	s.limits.Filters.add(cost)
}
