package main

import (
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// validate returns every problem of the configuration as a whole; the shape of each value is known to be right.
func (c *Config) validate() []Problem {
	v := validator{cfg: c}
	v.oneOf("log.level", c.Log.Level, "debug", "info", "warn", "error")
	v.oneOf("log.format", c.Log.Format, "text", "json")
	v.must(c.Data != "", "data", "is empty; name the folder that holds all state")
	v.broker(&c.Broker)
	v.sparkplug(&c.Sparkplug)
	v.historian(&c.Historian)
	names := map[string]bool{}
	for i := range c.Uplinks {
		key := fmt.Sprintf("uplinks[%d]", i)
		v.must(!names[c.Uplinks[i].Name], key+".name", "%q is used twice", c.Uplinks[i].Name)
		names[c.Uplinks[i].Name] = true
		v.uplink(key, &c.Uplinks[i])
	}
	v.address("http.address", c.HTTP.Address)
	v.tls("http.tls", c.HTTP.TLS)
	v.must(isLoopback(c.HTTP.Address), "http.address",
		"%s is not a loopback address, and this release has no login for the page; use 127.0.0.1 and a reverse proxy that asks for one", c.HTTP.Address)
	return v.problems
}

// validator gathers problems.
type validator struct {
	cfg      *Config
	problems []Problem
}

func (v *validator) must(ok bool, key, format string, args ...any) {
	if !ok {
		v.problems = append(v.problems, Problem{Key: key, Message: fmt.Sprintf(format, args...)})
	}
}

func (v *validator) warn(key, format string, args ...any) {
	v.problems = append(v.problems, Problem{Key: key, Message: fmt.Sprintf(format, args...), Warning: true})
}

func (v *validator) oneOf(key, value string, allowed ...string) {
	v.must(slices.Contains(allowed, value), key, "%q is not one of %s", value, strings.Join(allowed, ", "))
}

func (v *validator) address(key, address string) {
	_, port, err := net.SplitHostPort(address)
	if err == nil {
		_, err = net.LookupPort("tcp", port)
	}
	v.must(err == nil, key, "%q is not an address; write 127.0.0.1:1883 or :8883", address)
}

func (v *validator) file(key, name string) {
	if name == "" {
		return
	}
	_, err := os.Stat(v.cfg.path(name))
	v.must(err == nil, key, "%v", err)
}

func (v *validator) tls(key string, t TLSConfig) {
	v.must((t.Cert == "") == (t.Key == ""), key, "wants both cert and key, or neither")
	if t.ClientAuth != "" {
		v.oneOf(key+".client_auth", t.ClientAuth, "none", "request", "require")
	}
	v.must(t.ClientAuth != "require" || t.ClientCA != "", key+".client_ca", "is needed by client_auth: require")
	v.file(key+".cert", t.Cert)
	v.file(key+".key", t.Key)
	v.file(key+".client_ca", t.ClientCA)
}

func (v *validator) broker(b *BrokerConfig) {
	v.must(len(b.Listeners) > 0, "broker.listeners", "is empty; the broker needs an address to listen on")
	seen := map[string]bool{}
	for i, l := range b.Listeners {
		key := fmt.Sprintf("broker.listeners[%d]", i)
		v.must(l.Name != "" && !seen[l.Name], key+".name", "%q: each listener needs a name of its own", l.Name)
		seen[l.Name] = true
		v.address(key+".address", l.Address)
		v.oneOf(key+".transport", l.Transport, "tcp", "ws")
		v.must(l.Transport != "ws", key+".transport", "ws is not in this release; use tcp")
		v.tls(key+".tls", l.TLS)
		v.must(!l.Anonymous || isLoopback(l.Address), key+".anonymous",
			"true on %s, which others can reach; anonymous clients are for loopback only: set anonymous: false and add clients with `edge user add`", l.Address)
		if !l.TLS.enabled() && !isLoopback(l.Address) {
			v.warn(key+".tls", "passwords cross the network in clear; set cert and key")
		}
	}
	if _, err := os.Stat(v.cfg.path(b.Users)); err != nil && !slices.ContainsFunc(b.Listeners, func(l ListenerConfig) bool { return l.Anonymous }) {
		v.warn("broker.users", "%s does not exist and no listener is anonymous: nobody can log in; add clients with `edge user add NAME --file %s`", b.Users, b.Users)
	}
	v.oneOf("broker.durability", b.Durability, "safe", "fast")
	if b.Durability == "fast" {
		v.warn("broker.durability", "fast acknowledges messages before they are on disk; a power cut may lose them")
	}
	v.within("broker.commit_interval", b.CommitInterval, time.Millisecond, time.Second)
	if b.SysInterval != 0 {
		v.within("broker.sys_interval", b.SysInterval, time.Second, time.Hour)
	}
	l := b.Limits
	v.must(l.PacketBytes <= 268435460, "broker.limits.packet_bytes", "is above what MQTT can carry, 256 MiB")
	v.must(l.Inflight >= 0 && l.Inflight <= 65535, "broker.limits.inflight", "is above MQTT's Receive Maximum, 65535")
	v.must(l.TopicAlias <= 65535, "broker.limits.topic_alias", "is above MQTT's Topic Alias Maximum, 65535")
	v.must(time.Duration(l.KeepAliveMax) <= 65535*time.Second, "broker.limits.keep_alive_max", "is above MQTT's 65535s")
}

func (v *validator) within(key string, d Duration, low, high time.Duration) {
	v.must(time.Duration(d) >= low && time.Duration(d) <= high, key, "%s is not between %s and %s", d, low, high)
}

func (v *validator) sparkplug(s *SparkplugConfig) {
	for i, id := range append([]string{s.HostID}, s.ExtraHostIDs...) {
		key := "sparkplug.host_id"
		if i > 0 {
			key = fmt.Sprintf("sparkplug.extra_host_ids[%d]", i-1)
		}
		v.must(id != "" && !strings.ContainsAny(id, "+#/\x00"), key, "%q is not a Sparkplug id; it is a topic level without + # /", id)
	}
}

func (v *validator) historian(h *HistorianConfig) {
	v.within("historian.commit_interval", h.CommitInterval, 10*time.Millisecond, 5*time.Second)
	v.must(h.Retention.Raw == 0 || time.Duration(h.Retention.Raw) >= day, "historian.retention.raw", "%s is below a day; days are removed whole", h.Retention.Raw)
}

func (v *validator) uplink(key string, u *UplinkConfig) {
	v.must(u.Name != "", key+".name", "is empty; each uplink needs a name")
	v.oneOf(key+".kind", u.Kind, "sparkplug", "mqtt")
	v.must(u.Kind != "mqtt", key+".kind", "mqtt (plain topics) is not in this release; remove this uplink, or use kind: sparkplug for Sparkplug nodes")
	v.must(u.Kind == "mqtt" || len(u.Topics) == 0, key+".topics", "belongs to kind: mqtt; a Sparkplug uplink carries every node")
	v.oneOf(key+".profile", u.Profile, "generic", "ignition", "canary", "tahu")
	v.oneOf(key+".flush.mode", u.Flush.Mode, "concurrent", "in_order", "closing_rebirth", "history_elsewhere")
	v.oneOf(key+".queue.full", u.Queue.Full, "decimate", "drop_oldest", "drop_newest")
	if u.Queue.Full == "decimate" {
		v.warn(key+".queue.full", "decimate is not in this release; a full queue drops its oldest samples, with a gap in the report")
	}
	v.oneOf(key+".commands.mode", u.Commands.Mode, "deny", "allow")
	v.must(len(u.Servers) > 0, key+".servers", "is empty; name at least one server")
	for i := range u.Servers {
		v.server(fmt.Sprintf("%s.servers[%d]", key, i), &u.Servers[i])
	}
	for i, r := range u.Commands.Allow {
		v.must(r.Metric != "", fmt.Sprintf("%s.commands.allow[%d].metric", key, i), "is empty")
		v.must(r.Min == nil || r.Max == nil || *r.Min <= *r.Max, fmt.Sprintf("%s.commands.allow[%d].min", key, i), "is above max")
	}
}

func (v *validator) server(key string, s *ServerConfig) {
	u, err := url.Parse(s.URL)
	ok := err == nil && u.Host != "" && slices.Contains([]string{"mqtt", "mqtts", "tcp", "ssl", "tls"}, u.Scheme)
	v.must(ok, key+".url", "%q is not a server; write mqtt://host:1883 or mqtts://host:8883", s.URL)
	v.must(!ok || u.User == nil, key+".url", "holds a user or password; use username and password_file")
	v.must((s.Cert == "") == (s.Key == ""), key, "wants both cert and key, or neither")
	v.file(key+".password_file", s.PasswordFile)
	v.file(key+".ca", s.CA)
	v.file(key+".cert", s.Cert)
	v.file(key+".key", s.Key)
}

// path makes a file name of the configuration absolute: relative names start at the configuration file's folder.
func (c *Config) path(name string) string {
	if name == "" || filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(c.dir, name)
}

// isLoopback tells whether only this machine can reach the address.
func isLoopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	if host == "localhost" {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.IsLoopback()
}
