package server

import (
	"strings"

	"edge/broker"
	"edge/broker/packets"
	"edge/broker/session"
	"edge/broker/topic"
)

// handleSubscribe takes each filter as if it came alone [MQTT-3.8.4-5] and answers with one code for each [MQTT-3.8.4-6].
func (c *conn) handleSubscribe(p *packets.Subscribe) error {
	codes := make([]packets.ReasonCode, len(p.Filters))
	suback := &packets.Suback{PacketID: p.PacketID, Codes: codes}
	if !c.fits(suback) {
		return errAnswerTooLarge
	}
	var needs broker.Index
	done := 0
	return c.inPortions(func() (bool, error) {
		from := done
		index, err := c.step(func(cl *client) {
			for end := min(len(codes), from+filtersAtOnce); done < end; done++ {
				codes[done] = c.subscribeLocked(cl, &p.Filters[done], p.SubscriptionID)
			}
			cl.replayAt = never // until the index of the SUBACK is known
		})
		needs = max(needs, index)
		c.offerShares(p.Filters[from:done], codes[from:done])
		if err != nil || done < len(codes) {
			return false, err
		}
		return true, c.subscribed(p, suback, needs)
	})
}

// filtersAtOnce is how many filters of a packet are handled before other connections have their turn.
const filtersAtOnce = 32

// inPortions carries r out. The first portion, which mostly is all, is done now, the others when it is the connection's turn again.
func (c *conn) inPortions(r rest) error {
	done, err := r()
	if err == nil && !done {
		c.rest = r
	}
	return err
}

// subscribed answers a SUBSCRIBE, which needs index to be durable, and begins what follows it.
func (c *conn) subscribed(p *packets.Subscribe, suback *packets.Suback, index broker.Index) error {
	codes := suback.Codes
	c.refusedFilters(p, codes)
	c.ack(ack{kind: packets.TypeSuback, index: index, packet: suback})
	_, err := c.step(func(cl *client) { cl.replayAt = index })
	return err
}

// offerShares has handed over what members that are away hold of the shared subscriptions that were just made.
func (c *conn) offerShares(filters []packets.Subscription, codes []packets.ReasonCode) {
	for i, f := range filters {
		if !codes[i].Failed() && strings.HasPrefix(f.Filter, "$share/") {
			c.server.offerTo([]topic.Filter{topic.Filter(f.Filter)})
		}
	}
}

// errAnswerTooLarge ends the connection of a client that asks for more answers at once than it takes: it would wait for them.
var errAnswerTooLarge = &packets.Error{Code: packets.PacketTooLarge, Section: "3.1.2.11.4", Detail: "the client's Maximum Packet Size is too small for the answer"}

// subscribeLocked adds one subscription, or says why not.
func (c *conn) subscribeLocked(cl *client, f *packets.Subscription, id uint32) packets.ReasonCode {
	sub := session.Subscription{
		Filter: topic.Filter(f.Filter), QoS: f.QoS, NoLocal: f.NoLocal, RetainAsPublished: f.RetainAsPublished,
		RetainHandling: f.RetainHandling, ID: id,
	}
	share, inner := "", sub.Filter
	if c.version == packets.V5 {
		var err error
		if share, inner, err = topic.ParseShare(sub.Filter); err != nil { // [MQTT-4.8.2-1] [MQTT-4.8.2-2]
			return packets.TopicFilterInvalid
		}
	}
	if inner.Validate(c.server.limits.TopicLevels) != nil {
		return packets.TopicFilterInvalid
	}
	if !c.server.rules().MaySubscribe(c.identity, inner) || c.guarded(inner) {
		return packets.NotAuthorized
	}
	_, had := cl.session.Subscription(sub.Filter)
	if limit := c.server.limits.Subscriptions; !had && limit > 0 && cl.session.SubscriptionCount() >= limit {
		return packets.QuotaExceeded
	}
	if !had && !cl.session.HasRoomFor(sub.Filter) {
		return packets.QuotaExceeded
	}
	isNew := cl.session.Subscribe(sub, &cl.out)
	c.server.router.Subscribe(cl.routerSubscription(sub, byte(c.version)))
	if share == "" && (sub.RetainHandling == 0 || sub.RetainHandling == 1 && isNew) { // [MQTT-3.3.1-9] and following
		cl.addReplayLocked(&sub)
	}
	return packets.ReasonCode(sub.QoS)
}

// handleUnsubscribe removes what is named byte by byte and answers in any case [MQTT-3.10.4-5].
func (c *conn) handleUnsubscribe(p *packets.Unsubscribe) error {
	codes := make([]packets.ReasonCode, len(p.Filters))
	unsuback := &packets.Unsuback{PacketID: p.PacketID, Codes: codes}
	if !c.fits(unsuback) {
		return errAnswerTooLarge
	}
	var needs broker.Index
	done := 0
	return c.inPortions(func() (bool, error) {
		index, err := c.step(func(cl *client) {
			for end := min(len(codes), done+filtersAtOnce); done < end; done++ {
				if !cl.unsubscribeLocked(topic.Filter(p.Filters[done])) {
					codes[done] = packets.NoSubscriptionExisted
				}
			}
		})
		needs = max(needs, index)
		if err != nil || done < len(codes) {
			return false, err
		}
		c.ack(ack{kind: packets.TypeUnsuback, index: needs, packet: unsuback})
		return true, nil
	})
}

func (c *client) unsubscribeLocked(f topic.Filter) bool {
	if !c.session.Unsubscribe(f, &c.out) {
		return false
	}
	share, inner := splitShare(f, c.session.Protocol())
	c.server.router.Unsubscribe(c.self, share, inner)
	return true
}

// recheckSubscriptions ends the subscriptions that the rules do not allow any more.
func (c *client) recheckSubscriptions(a Auth) {
	var t turn
	c.mu.Lock()
	if c.session != nil {
		c.out.Reset()
		for _, sub := range c.session.Subscriptions() {
			if _, inner := splitShare(sub.Filter, c.session.Protocol()); !a.MaySubscribe(c.identity, inner) || c.conn != nil && c.conn.guarded(inner) {
				c.unsubscribeLocked(sub.Filter)
			}
		}
		c.carryLocked(c.server.now(), &t)
	}
	c.mu.Unlock()
	t.flush()
}
