package main

import (
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
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
	asks := t.ClientAuth == "request" || t.ClientAuth == "require"
	v.must(!asks || t.ClientCA != "", key+".client_ca", "is needed by client_auth: %s; without it any public authority could name our clients", t.ClientAuth)
	v.must(t.ClientCA == "" || t.ClientAuth != "", key+".client_auth", "is missing beside client_ca; write require, request or none")
	v.must(t.enabled() || t == TLSConfig{}, key, "wants cert and key")
	before := len(v.problems)
	v.file(key+".cert", t.Cert)
	v.file(key+".key", t.Key)
	v.file(key+".client_ca", t.ClientCA)
	if t.Cert != "" && t.Key != "" && len(v.problems) == before {
		_, err := newServerTLS(v.cfg, t)
		v.must(err == nil, key, "%v", err)
	}
}

func (v *validator) broker(b *BrokerConfig) {
	v.must(len(b.Listeners) > 0, "broker.listeners", "is empty; the broker needs an address to listen on")
	seen := map[string]bool{}
	for i, l := range b.Listeners {
		key := fmt.Sprintf("broker.listeners[%d]", i)
		v.must(l.Name != "" && !seen[l.Name], key+".name", "%q: each listener needs a name of its own", l.Name)
		seen[l.Name] = true
		v.listener(key, &l)
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
	v.must(!strings.ContainsAny(b.ResponsePrefix, "+#") && !strings.HasPrefix(b.ResponsePrefix, "$"),
		"broker.response_prefix", "is not the beginning of a topic that clients may use: it has a wildcard, or begins with $")
	v.must(b.EventLoops >= 0 && b.EventLoops <= 64, "broker.event_loops", "is not between 0 and 64; one for two processors is best")
	l := b.Limits
	v.must(l.PacketBytes <= 268435460, "broker.limits.packet_bytes", "is above what MQTT can carry, 256 MiB")
	v.must(l.Inflight >= 0 && l.Inflight <= 65535, "broker.limits.inflight", "is above MQTT's Receive Maximum, 65535")
	v.must(l.TopicAlias <= 65535, "broker.limits.topic_alias", "is above MQTT's Topic Alias Maximum, 65535")
	v.must(time.Duration(l.KeepAliveMax) <= 65535*time.Second, "broker.limits.keep_alive_max", "is above MQTT's 65535s")
}

func (v *validator) listener(key string, l *ListenerConfig) {
	v.oneOf(key+".transport", l.Transport, "tcp", "ws", "unix")
	v.must(l.Transport == "ws" || l.Path == "", key+".path", "belongs to transport: ws")
	v.must(l.Transport == "ws" || len(l.Origins) == 0, key+".origins", "belongs to transport: ws")
	v.must(l.Transport == "unix" || l.Mode == "", key+".mode", "belongs to transport: unix")
	if l.Transport == "unix" {
		v.socket(key, l)
	} else {
		v.address(key+".address", l.Address)
	}
	if l.Transport == "ws" {
		v.webSocket(key, l)
	}
	v.tls(key+".tls", l.TLS)
	v.must(!l.Anonymous || l.local(), key+".anonymous",
		"true on %s, which others can reach; anonymous clients are for loopback only: set anonymous: false and add clients with `edge user add`", l.Address)
	if !l.TLS.enabled() && !l.local() {
		v.warn(key+".tls", "passwords cross the network in clear; set cert and key")
	}
}

// maxSocketPath is what the kernel takes, in bytes.
const maxSocketPath = 107

func (v *validator) socket(key string, l *ListenerConfig) {
	path := v.cfg.socket(l.Address)
	v.must(l.Address != "" && len(path) <= maxSocketPath, key+".address", "%q is not the path of a socket, of at most %d bytes", path, maxSocketPath)
	mode, err := strconv.ParseUint(l.Mode, 8, 32)
	v.must(err == nil && mode&^0o777 == 0, key+".mode", "%q is not a file mode; write \"0660\", for the owner and its group", l.Mode)
	v.must(!l.TLS.enabled(), key+".tls", "belongs to transport: tcp or ws; nobody listens in on a socket of this machine")
}

func (v *validator) webSocket(key string, l *ListenerConfig) {
	v.must(strings.HasPrefix(l.Path, "/") && !strings.ContainsAny(l.Path, "?# %"), key+".path", "%q is not a path; write /mqtt", l.Path)
	for i, origin := range l.Origins {
		u, err := url.Parse(origin)
		ok := err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != "" && origin == u.Scheme+"://"+u.Host
		v.must(ok, fmt.Sprintf("%s.origins[%d]", key, i), "%q is not an origin; write https://scada.example, with a port if the page has one", origin)
	}
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
	v.firewall(&s.Firewall)
}

func (v *validator) firewall(c *FirewallConfig) {
	v.oneOf("sparkplug.firewall.mode", c.Mode, "off", "observe", "enforce")
	for i, r := range c.Rules {
		key := fmt.Sprintf("sparkplug.firewall.rules[%d]", i)
		v.must(r.User+r.Cert+r.Client != "", key, "says of nobody who it is; name user, cert or client, with * for any text")
		v.must((r.Group == "") == (r.Node == ""), key, "wants both group and node, or neither")
		v.must(r.Node != "" || r.Host != "" || r.Commands, key, "lets nobody be anything; name group and node, host, or commands: true")
		v.must(r.Commands || len(r.Groups) == 0, key+".groups", "belongs to commands: true")
		for name, text := range map[string]string{"group": r.Group, "node": r.Node, "host": r.Host} {
			v.must(!strings.ContainsAny(text, "+#/"), key+"."+name, "%q is not a Sparkplug id; it has no + # /, and * for any text", text)
		}
	}
	if c.Mode == "enforce" && !slices.ContainsFunc(c.Rules, func(r FirewallRuleConfig) bool { return r.Commands }) {
		v.warn("sparkplug.firewall.rules", "no rule has commands: true, so only the appliance itself can send commands")
	}
	if c.Mode == "enforce" && !c.Pins && len(c.Rules) == 0 {
		v.warn("sparkplug.firewall.rules", "are empty and pins is false: no client can be a node or a host")
	}
	v.must(c.Limits.Bindings > 0, "sparkplug.firewall.limits.bindings", "is 0; each name takes memory and disk, so there must be a limit")
	v.must(c.Limits.Violations > 0, "sparkplug.firewall.limits.violations", "is 0; each entry takes memory, so there must be a limit")
}

func (v *validator) historian(h *HistorianConfig) {
	v.within("historian.commit_interval", h.CommitInterval, 10*time.Millisecond, 5*time.Second)
	v.must(h.ValueBytes == 0 || h.ValueBytes >= 4<<10 && h.ValueBytes <= maxValueBytes, "historian.value_bytes", "%s is not between 4KiB and 16MiB", h.ValueBytes)
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
