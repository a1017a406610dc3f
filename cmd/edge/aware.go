package main

import (
	"log/slog"
	"sync/atomic"
	"time"

	"edge/broker"
	"edge/broker/packets"
	"edge/broker/router"
	"edge/broker/topic"
	"edge/sparkplug"
)

// awareName is the publisher name of birth certificates.
const awareName = "$aware"

// aware makes the broker a Sparkplug Aware server: as a gate it gives NDEATHs their time, as a tap it publishes the certificate
// of every birth that was routed, whoever published it, host and payload unseen. It stands behind the other taps: a birth
// that they refuse has no certificate.
//
// Accepting a birth means its certificate has been published: retained as its predecessor was, within the limits of retained
// messages. One that finds no room, or no disk, is told and counted; the birth goes on.
type aware struct {
	// Set before the first message, never changed.
	router *router.Router
	log    *slog.Logger
	now    func() time.Time

	notKept atomic.Uint64
	told    atomic.Int64 // Unix seconds of the last line in the log
}

// Pass implements broker.Gate: an NDEATH, a will or not, gets the time at which it is delivered, every other byte as it was. What
// is no Sparkplug payload passes as it is, and so does the empty one, which would else be retained instead of removing what was.
// [tck-id-conformance-mqtt-aware-ndeath-timestamp]
func (a *aware) Pass(m *broker.Message) (*broker.Message, error) {
	if len(m.Payload) == 0 || !sparkplug.IsNodeDeath(string(m.Topic)) {
		return m, nil
	}
	payload, ok := sparkplug.StampDeath(m.Payload, a.now())
	if !ok {
		return m, nil
	}
	stamped := *m
	stamped.Payload = payload
	return &stamped, nil
}

// Wants implements broker.Chooser.
func (a *aware) Wants(name topic.Name) bool { return sparkplug.IsBirth(string(name)) }

// Session implements broker.Tap.
func (a *aware) Session(broker.SessionEvent) {}

// Message implements broker.Tap. An empty payload is no birth; as a certificate it would remove the one that is there.
// [tck-id-conformance-mqtt-aware-store] [tck-id-conformance-mqtt-aware-nbirth-mqtt-retain] [tck-id-conformance-mqtt-aware-dbirth-mqtt-retain]
func (a *aware) Message(m *broker.Message) (broker.Index, error) {
	name, ok := sparkplug.CertificateTopic(string(m.Topic))
	if !ok || len(m.Payload) == 0 {
		return 0, nil
	}
	c := &broker.Message{
		Topic: topic.Name(name), Payload: m.Payload, QoS: 1, Retain: true, RetainLive: true, Properties: certificateProperties(m.Properties),
		From: awareName, Received: m.Received,
	}
	index, err := a.router.Publish(c)
	if err != nil || a.router.Retained(c.Topic, c.Received) == nil {
		a.tell(m.Topic, err)
	}
	return index, nil
}

// certificateProperties are those that belong to the payload: whom to answer, and until when, was said of the message only.
func certificateProperties(p *packets.PublishProperties) *packets.PublishProperties {
	if p == nil {
		return nil
	}
	return &packets.PublishProperties{
		PayloadFormat: p.PayloadFormat, ContentType: p.ContentType, User: p.User,
		ZeroPayloadFormat: p.ZeroPayloadFormat, EmptyContentType: p.EmptyContentType,
	}
}

// tell counts a certificate that is not kept, and logs one of them a minute.
func (a *aware) tell(birth topic.Name, err error) {
	n, now, last := a.notKept.Add(1), a.now().Unix(), a.told.Load()
	if now-last < 60 || !a.told.CompareAndSwap(last, now) {
		return
	}
	a.log.Warn("a birth has no certificate: raise broker.limits.retained_messages and retained_bytes, or see whether the disk is full",
		"topic", string(birth), "not_kept", n, "err", err)
}

// withoutCertificates returns the retained messages without those of an aware server that this one no longer is: what it does not renew would
// be an old birth for ever.
func withoutCertificates(retained []*broker.Message, from router.Store) ([]*broker.Message, error) {
	kept := retained[:0]
	for _, m := range retained {
		if _, ok := sparkplug.CertifiedTopic(string(m.Topic)); !ok {
			kept = append(kept, m)
			continue
		}
		empty := *m
		empty.Payload = nil
		if _, err := from.SaveRetained(&empty); err != nil {
			return nil, err
		}
	}
	return kept, nil
}
