package main

import (
	"cmp"
	"fmt"
	"math"
	"time"

	"edge/broker/server"
	"edge/historian/journal"
	"edge/sparkplug/uplink"
)

// unlimited maps the file's 0, no limit, to the parts' -1; their 0 means the default.
func unlimited[T int | int64 | time.Duration](n T) T {
	if n == 0 {
		return -1
	}
	return n
}

// brokerLimits maps broker.limits to the server's.
func brokerLimits(l LimitsConfig) server.Limits {
	bytes := func(z Size) int { return unlimited(int(min(z, math.MaxInt32))) }
	return server.Limits{
		Clients: unlimited(l.Clients), PacketBytes: bytes(l.PacketBytes), ConnectPacketBytes: bytes(l.ConnectPacketBytes),
		ConnectTimeout: unlimited(time.Duration(l.ConnectTimeout)), KeepAliveMax: unlimited(time.Duration(l.KeepAliveMax)),
		KeepAliveStrict: l.KeepAliveStrict, Inflight: unlimited(l.Inflight),
		QueueMessages: unlimited(l.QueueMessages), QueueBytes: unlimited(int64(l.QueueBytes)),
		SessionExpiryMax: unlimited(time.Duration(l.SessionExpiryMax)), Subscriptions: unlimited(l.Subscriptions),
		TopicLevels: unlimited(l.TopicLevels), TopicAlias: unlimited(l.TopicAlias),
		AcceptsPerSecond: unlimited(l.AcceptsPerSecond), ConnectionsPerAddress: unlimited(l.ConnectionsPerAddress),
		LoginFailures: unlimited(l.LoginFailures),
	}
}

// What a record holds beside its packet or value; journal.Options.MaxBuffered by default.
const besides, bufferedByDefault = 1 << 20, 8 << 20

// journalOptions are the journal's own, unless packets or values may be larger than it takes by default: a message to be kept is one record, and
// one more if it is retained, which must find room in one commit. Without a limit of packets the default stays, and a larger one that would
// have to be kept is refused.
func journalOptions(packetBytes int) (o journal.Options) {
	if most := 2 * (packetBytes + besides); packetBytes > 0 && most > bufferedByDefault {
		o.MaxBuffered, o.SegmentBytes, o.Spares = most, 2*most, 1
		o.MaxBytes = 4 * int64(o.SegmentBytes)
	}
	return o
}

// mostValue is the largest value that such a journal takes for certain.
func mostValue(packetBytes int) int { return max(packetBytes, bufferedByDefault/2-besides) }

// uplinkOptions maps one entry of uplinks and reads its secrets and certificates.
func uplinkOptions(cfg *Config, u *UplinkConfig) (uplink.Options, error) {
	o := uplink.Options{
		Name: u.Name, PrimaryHost: u.PrimaryHost, Profile: u.Profile, UInt32AsLong: u.UInt32AsLong, FlushMode: u.Flush.Mode,
		FlushSamplesPerSecond: cmp.Or(u.Flush.SamplesPerSecond, math.MaxInt32), FlushBitsPerSecond: unlimited(u.Flush.BitsPerSecond),
		Queue: uplink.Queue{Bytes: uint64(u.Queue.Bytes), Age: time.Duration(u.Queue.Age), Full: u.Queue.Full},
	}
	if u.Queue.Full == "decimate" {
		o.Queue.Full = "drop_oldest" // validate warned of it
	}
	if u.Commands.Mode == "allow" {
		for _, r := range u.Commands.Allow {
			o.Commands = append(o.Commands, uplink.CommandRule{Metric: r.Metric, Min: r.Min, Max: r.Max, PerMinute: r.PerMinute})
		}
	}
	for i, s := range u.Servers {
		password, err := readSecret(cfg.path(s.PasswordFile))
		if err != nil {
			return o, fmt.Errorf("uplink %s, server %d: %w", u.Name, i, err)
		}
		tls, err := clientTLS(cfg, s)
		if err != nil {
			return o, fmt.Errorf("uplink %s, server %d: %w", u.Name, i, err)
		}
		o.Servers = append(o.Servers, uplink.Server{URL: s.URL, Username: s.Username, Password: password, TLS: tls})
	}
	return o, nil
}
