package ui

import "strconv"

// The figures of broker.Stats.
var (
	descClients       = describe("broker_clients", "MQTT clients connected.")
	descClientsMax    = describe("broker_clients_max", "The most MQTT clients connected at one time since start.")
	descSlow          = describe("broker_slow_clients", "MQTT clients that read more slowly than they are sent to.")
	descConnections   = describe("broker_connections", "Network connections, those that have not logged in included.")
	descSessions      = describe("broker_sessions", "MQTT sessions, connected or not.")
	descPersistent    = describe("broker_persistent_sessions", "Sessions that outlive their connection.")
	descSubscriptions = describe("broker_subscriptions", "Subscriptions of all sessions, shared ones included.")
	descShared        = describe("broker_shared_subscriptions", "Shared subscriptions of all sessions.")
	descRetained      = describe("broker_retained_messages", "Retained messages, $SYS not counted.")
	descRetainedBytes = describe("broker_retained_bytes", "Bytes of retained messages.")
	descInflight      = describe("broker_inflight_messages", "QoS 1 and 2 messages sent to clients and not acknowledged.")
	descQueued        = describe("broker_queued_messages", "QoS 1 and 2 messages that wait to be sent.")
	descQueuedBytes   = describe("broker_queued_bytes", "Bytes of messages that wait to be sent or acknowledged.")
	descOutbox        = describe("broker_outbox_bytes", "Bytes of packets that wait for their connections to take them.")

	descReceived        = describe("broker_messages_received_total", "PUBLISH packets from clients.", "qos")
	descSent            = describe("broker_messages_sent_total", "PUBLISH packets to clients.", "qos")
	descReceivedPackets = describe("broker_packets_received_total", "Packets of all types from clients.")
	descSentPackets     = describe("broker_packets_sent_total", "Packets of all types to clients.")
	descReceivedBytes   = describe("broker_received_bytes_total", "Bytes of MQTT packets from clients.")
	descSentBytes       = describe("broker_sent_bytes_total", "Bytes of MQTT packets to clients.")
	descReceivedPayload = describe("broker_received_payload_bytes_total", "Bytes of payloads from clients.")
	descSentPayload     = describe("broker_sent_payload_bytes_total", "Bytes of payloads to clients.")
	descDropped         = describe("broker_messages_dropped_total", "Messages not delivered.", "reason")

	descAccepted     = describe("broker_connections_accepted_total", "Network connections accepted.")
	descRefused      = describe("broker_refusals_total", "Connections, logins and subscriptions refused, and connections ended for what they did.", "reason")
	descLogins       = describe("broker_logins_total", "CONNECT packets accepted.")
	descAuthFailures = describe("broker_authentication_failures_total", "CONNECT packets that authentication refused.")
	descExpired      = describe("broker_sessions_expired_total", "Sessions ended by their expiry interval.")
	descStoreErrors  = describe("broker_store_errors_total", "Changes of sessions that could not be stored.")
)

func (c statsCollector) broker(s sender) {
	if c.u.opt.Broker == nil {
		return
	}
	b := c.u.opt.Broker.Stats()
	s.gauge(descClients, float64(b.Clients))
	s.gauge(descClientsMax, float64(b.ClientsMax))
	s.gauge(descSlow, float64(b.Slow))
	s.gauge(descConnections, float64(b.Connections))
	s.gauge(descSessions, float64(b.Sessions))
	s.gauge(descPersistent, float64(b.Persistent))
	s.gauge(descSubscriptions, float64(b.Subscriptions))
	s.gauge(descShared, float64(b.Shared))
	s.gauge(descRetained, float64(b.Retained))
	s.gauge(descRetainedBytes, float64(b.RetainedBytes))
	s.gauge(descInflight, float64(b.Inflight))
	s.gauge(descQueued, float64(b.Queued))
	s.gauge(descQueuedBytes, float64(b.QueuedBytes))
	s.gauge(descOutbox, float64(b.OutboxBytes))
	for qos := range b.Received.Messages {
		s.counter(descReceived, b.Received.Messages[qos], strconv.Itoa(qos))
		s.counter(descSent, b.Sent.Messages[qos], strconv.Itoa(qos))
	}
	s.counter(descReceivedPackets, b.Received.Packets)
	s.counter(descSentPackets, b.Sent.Packets)
	s.counter(descReceivedBytes, b.Received.Bytes)
	s.counter(descSentBytes, b.Sent.Bytes)
	s.counter(descReceivedPayload, b.Received.PayloadBytes)
	s.counter(descSentPayload, b.Sent.PayloadBytes)
	for reason, n := range b.Dropped {
		s.counter(descDropped, n, reason)
	}
	s.counter(descAccepted, b.Accepted)
	for reason, n := range b.Refused {
		s.counter(descRefused, n, reason)
	}
	s.counter(descLogins, b.Logins)
	s.counter(descAuthFailures, b.AuthFailures)
	s.counter(descExpired, b.SessionsExpired)
	s.counter(descStoreErrors, b.StoreErrors)
}
