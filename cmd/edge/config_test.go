package main

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func writeFile(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestConfigProblems holds each bad file against the key, the line and a word of the advice.
func TestConfigProblems(t *testing.T) {
	tests := []struct{ name, file, key, says string }{
		{"unknown key", "log: {levle: info}", "log.levle", "known here are level, format"},
		{"unknown key in a list", "broker:\n  listeners:\n    - {name: a, addr: x}", "broker.listeners[0].addr", "unknown key"},
		{"wrong case", "Data: /x", "Data", "unknown key"},
		{"dotted key", "log.level: info", "log.level", "unknown key"},
		{"twice", "data: /a\ndata: /b", "data", "remove one"},
		{"number as text", "data: 5", "data", "quotes"},
		{"text as number", "broker: {limits: {clients: many}}", "broker.limits.clients", "whole number"},
		{"negative", "broker: {limits: {clients: -1}}", "broker.limits.clients", "whole number"},
		{"duration without unit", "sparkplug: {reorder_timeout: 5}", "sparkplug.reorder_timeout", "duration"},
		{"size with a wrong unit", "broker: {limits: {packet_bytes: 5MB}}", "broker.limits.packet_bytes", "size"},
		{"list for a scalar", "data: [a]", "data", "wants text"},
		{"scalar for a block", "log: info", "log", "block of keys"},
		{"empty", "data:", "data", "has no value"},
		{"anonymous on the network", "broker:\n  listeners: [{name: a, address: \":1883\", anonymous: true}]", "broker.listeners[0].anonymous", "loopback only"},
		{"anonymous WebSocket on the network", "broker:\n  listeners: [{name: a, address: \":8083\", transport: ws, anonymous: true}]", "broker.listeners[0].anonymous", "loopback only"},
		{"unknown transport", "broker:\n  listeners: [{name: a, address: \":1\", transport: quic}]", "broker.listeners[0].transport", "tcp, ws, unix"},
		{"path of TCP", "broker:\n  listeners: [{name: a, address: \":1\", path: /mqtt}]", "broker.listeners[0].path", "transport: ws"},
		{"path without a slash", "broker:\n  listeners: [{name: a, address: \":1\", transport: ws, path: mqtt}]", "broker.listeners[0].path", "write /mqtt"},
		{"origin with a path", "broker:\n  listeners: [{name: a, address: \":1\", transport: ws, origins: [\"https://a/b\"]}]", "broker.listeners[0].origins[0]", "not an origin"},
		{"origin without a scheme", "broker:\n  listeners: [{name: a, address: \":1\", transport: ws, origins: [a.example]}]", "broker.listeners[0].origins[0]", "not an origin"},
		{"origins of TCP", "broker:\n  listeners: [{name: a, address: \":1\", origins: [\"https://a\"]}]", "broker.listeners[0].origins", "transport: ws"},
		{"mode of TCP", "broker:\n  listeners: [{name: a, address: \":1\", mode: \"0660\"}]", "broker.listeners[0].mode", "transport: unix"},
		{"bad mode", "broker:\n  listeners: [{name: a, address: s, transport: unix, mode: \"0999\"}]", "broker.listeners[0].mode", "file mode"},
		{"mode as a number", "broker:\n  listeners: [{name: a, address: s, transport: unix, mode: 0660}]", "broker.listeners[0].mode", "quotes"},
		{"no socket", "broker:\n  listeners: [{name: a, transport: unix}]", "broker.listeners[0].address", "path of a socket"},
		{"long socket", "broker:\n  listeners: [{name: a, transport: unix, address: /" + strings.Repeat("x", 107) + "}]", "broker.listeners[0].address", "107 bytes"},
		{"TLS on a socket", "broker:\n  listeners: [{name: a, transport: unix, address: s, tls: {cert: c, key: k}}]", "broker.listeners[0].tls", "tcp or ws"},
		{"TLS without a certificate", "broker:\n  listeners: [{name: a, address: \":1\", tls: {client_auth: none}}]", "broker.listeners[0].tls", "wants cert and key"},
		{"authority nobody asks", "http: {tls: {client_ca: x}}", "http.tls.client_auth", "is missing"},
		{"clients of any authority", "http: {tls: {client_auth: request}}", "http.tls.client_ca", "public authority"},
		{"firewall mode", "sparkplug: {firewall: {mode: strict}}", "sparkplug.firewall.mode", "off, observe, enforce"},
		{"firewall key", "sparkplug: {firewall: {rules: [{usr: a}]}}", "sparkplug.firewall.rules[0].usr", "unknown key"},
		{"rule for nobody", "sparkplug: {firewall: {rules: [{group: G, node: N}]}}", "sparkplug.firewall.rules[0]", "name user, cert or client"},
		{"rule for nothing", "sparkplug: {firewall: {rules: [{user: a}]}}", "sparkplug.firewall.rules[0]", "nobody be anything"},
		{"rule with half a node", "sparkplug: {firewall: {rules: [{user: a, node: N}]}}", "sparkplug.firewall.rules[0]", "both group and node"},
		{"rule with a filter", "sparkplug: {firewall: {rules: [{user: a, group: \"+\", node: N}]}}", "sparkplug.firewall.rules[0].group", "* for any text"},
		{"groups without commands", "sparkplug: {firewall: {rules: [{user: a, host: h, groups: [G]}]}}", "sparkplug.firewall.rules[0].groups", "commands: true"},
		{"firewall without a bound", "sparkplug: {firewall: {limits: {bindings: 0}}}", "sparkplug.firewall.limits.bindings", "must be a limit"},
		{"two listeners, one name", "broker:\n  listeners:\n    - {name: a, address: \"127.0.0.1:1\"}\n    - {name: a, address: \"127.0.0.1:2\"}", "broker.listeners[1].name", "of its own"},
		{"missing certificate", "http: {tls: {cert: nowhere.pem, key: nowhere.key}}", "http.tls.cert", "no such file"},
		{"cert without key", "http: {tls: {cert: x}}", "http.tls", "both"},
		{"page on the network", "http: {address: \":8080\"}", "http.address", "no login"},
		{"bad host id", "sparkplug: {host_id: a/b}", "sparkplug.host_id", "topic level"},
		{"uplink without a server", "uplinks: [{name: e}]", "uplinks[0].servers", "at least one"},
		{"uplink with a password in the URL", "uplinks: [{name: e, servers: [{url: \"mqtt://u:p@h:1883\"}]}]", "uplinks[0].servers[0].url", "password_file"},
		{"uplink that this release has not", "uplinks: [{name: e, kind: mqtt, servers: [{url: \"mqtt://h:1\"}]}]", "uplinks[0].kind", "not in this release"},
		{"not YAML", "a: [", "yaml", "line 1"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := loadConfig(writeFile(t, "edge.yaml", tt.file), nil, nil)
			var refused *ConfigError
			if !errors.As(err, &refused) {
				t.Fatalf("loadConfig = %v, want a ConfigError", err)
			}
			for _, p := range refused.Problems {
				if p.Key == tt.key && strings.Contains(p.Message, tt.says) {
					if p.Line == 0 && p.Key != "yaml" {
						t.Errorf("%v: no line", p)
					}
					return
				}
			}
			t.Errorf("problems:\n%v\nwant %s: …%s…", err, tt.key, tt.says)
		})
	}
}

func TestConfigReportsEveryProblem(t *testing.T) {
	_, err := loadConfig(writeFile(t, "edge.yaml", "log: {levle: info, level: loud}\nsparkplug: {host_id: \"+\"}\nhttp: {address: nowhere}"), nil, nil)
	var refused *ConfigError
	if !errors.As(err, &refused) || len(refused.Problems) < 4 {
		t.Fatalf("loadConfig = %v, want four problems at least, one unknown key among them", err)
	}
}

// TestConfigReportsCausesOnly: what is wrong below an ill-formed block is not reported beside it.
func TestConfigReportsCausesOnly(t *testing.T) {
	_, err := loadConfig(writeFile(t, "edge.yaml", "log: info\nhistorian: {commit_interval: 5}"), nil, nil)
	var refused *ConfigError
	if !errors.As(err, &refused) || len(refused.Problems) != 2 || refused.Problems[0].Key != "log" || refused.Problems[1].Key != "historian.commit_interval" {
		t.Fatalf("loadConfig = %v, want log and historian.commit_interval alone", err)
	}
}

// TestConfigPrecedence: flags win over environment, environment over file, file over defaults.
func TestConfigPrecedence(t *testing.T) {
	path := writeFile(t, "edge.yaml", "data: /file\nlog: {level: warn}\nbroker: {limits: {clients: 7}}\nhistorian: {retention: {raw: 2d}}")
	environ := []string{"EDGE_LOG_LEVEL=error", "EDGE_BROKER_LIMITS_CLIENTS=8", "EDGE_HISTORIAN_RETENTION_RAW=3d", "EDGE_UNKNOWN=x", "PATH=/bin"}
	l, err := loadConfig(path, environ, []override{{"broker.limits.clients", "9", "flag"}, {mqttFlagKey, "127.0.0.1:9", "flag --mqtt"}})
	if err != nil {
		t.Fatal(err)
	}
	c := l.Config
	if c.Data != "/file" || c.Log.Level != "error" || c.Broker.Limits.Clients != 9 || c.Historian.Retention.Raw != Duration(72*time.Hour) {
		t.Errorf("data %s, level %s, clients %d, raw %s", c.Data, c.Log.Level, c.Broker.Limits.Clients, c.Historian.Retention.Raw)
	}
	if a := c.Broker.Listeners[0]; a.Address != "127.0.0.1:9" || !a.Anonymous || a.Name != "plant" {
		t.Errorf("first listener %+v, want the default one at the flag's address", a)
	}
	for key, want := range map[string]string{"data": "file", "log.level": "environment EDGE_LOG_LEVEL", "log.format": "default", "broker.limits.clients": "flag"} {
		if l.Sources[key] != want {
			t.Errorf("source of %s: %q, want %q", key, l.Sources[key], want)
		}
	}
}

func TestConfigListEntriesGetDefaults(t *testing.T) {
	l, err := loadConfig(writeFile(t, "edge.yaml", `
uplinks:
  - {name: e, servers: [{url: "mqtt://127.0.0.1:1"}], flush: {samples_per_second: 0}}`), nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	want := defaultUplink("")
	want.Name, want.Servers, want.Flush.SamplesPerSecond = "e", []ServerConfig{{URL: "mqtt://127.0.0.1:1"}}, 0
	if diff := cmp.Diff(want, l.Config.Uplinks[0], cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("uplink (-want +got):\n%s", diff)
	}
}

// TestConfigPrintRoundTrip: what `edge config` prints loads to the same configuration.
func TestConfigPrintRoundTrip(t *testing.T) {
	first, err := loadConfig(writeFile(t, "edge.yaml", `
data: /x
uplinks:
  - {name: e, servers: [{url: "mqtt://127.0.0.1:1", username: u}], commands: {mode: allow, allow: [{metric: "Oven/Zone 2/Setpoint", min: 0, max: 250.5, per_minute: 6}]}}`), nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	var printed strings.Builder
	printConfig(&printed, first)
	second, err := loadConfig(writeFile(t, "edge.yaml", printed.String()), nil, nil)
	if err != nil {
		t.Fatalf("%v\n%s", err, printed.String())
	}
	if diff := cmp.Diff(first.Config, second.Config, cmpopts.EquateEmpty(), cmpopts.IgnoreUnexported(Config{})); diff != "" {
		t.Errorf("printed:\n%s\nloads to another (-first +second):\n%s", printed.String(), diff)
	}
}

// TestConfigTransports: what a listener says only if it wants something else.
func TestConfigTransports(t *testing.T) {
	l, err := loadConfig(writeFile(t, "edge.yaml", `
data: /var/lib/edge
broker:
  listeners:
    - {name: six, address: "[::1]:1883", anonymous: true}
    - {name: zone, address: "[fe80::1%eth0]:1883"}
    - {name: web, address: "127.0.0.1:8083", transport: ws, anonymous: true, origins: ["https://scada.example:8443"]}
    - {name: local, address: mqtt.sock, transport: unix, anonymous: true}
    - {name: other, address: /run/edge/mqtt.sock, transport: unix, mode: "0600"}`), nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	want := []ListenerConfig{
		{Name: "six", Address: "[::1]:1883", Transport: "tcp", Anonymous: true},
		{Name: "zone", Address: "[fe80::1%eth0]:1883", Transport: "tcp"},
		{Name: "web", Address: "127.0.0.1:8083", Transport: "ws", Path: "/mqtt", Origins: []string{"https://scada.example:8443"}, Anonymous: true},
		{Name: "local", Address: "mqtt.sock", Transport: "unix", Mode: "0660", Anonymous: true},
		{Name: "other", Address: "/run/edge/mqtt.sock", Transport: "unix", Mode: "0600"},
	}
	if diff := cmp.Diff(want, l.Config.Broker.Listeners, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("listeners (-want +got):\n%s", diff)
	}
	if got := l.Config.socket("mqtt.sock"); got != "/var/lib/edge/mqtt.sock" {
		t.Errorf("the socket is at %s", got)
	}
	if len(l.Warnings) != 1 || l.Warnings[0].Key != "broker.listeners[1].tls" {
		t.Errorf("warnings %v, want one, of the listener that others can reach", l.Warnings)
	}
	var printed strings.Builder
	printConfig(&printed, l)
	again, err := loadConfig(writeFile(t, "edge.yaml", printed.String()), nil, nil)
	if err != nil {
		t.Fatalf("%v\n%s", err, printed.String())
	}
	if diff := cmp.Diff(want, again.Config.Broker.Listeners, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("printed and loaded (-want +got):\n%s", diff)
	}
}

// TestEveryKeyHasADefault: a field without a default would not be seen in the environment.
func TestEveryKeyHasADefault(t *testing.T) {
	eachLeaf("", reflect.ValueOf(Config{}), func(key string, leaf reflect.Value) {
		if leaf.Kind() == reflect.Slice {
			return
		}
		name := "EDGE_" + strings.ToUpper(strings.ReplaceAll(key, ".", "_"))
		sources := map[string]string{key: "default"}
		if got := environmentOverrides([]string{name + "=1"}, sources); len(got) != 1 || got[0].key != key {
			t.Errorf("%s does not reach %s", name, key)
		}
	})
}

func TestUnits(t *testing.T) {
	durations := map[string]time.Duration{"250ms": 250 * time.Millisecond, "30d": 720 * time.Hour, "1d12h": 36 * time.Hour, "0s": 0, "1.5d": 36 * time.Hour}
	for text, want := range durations {
		if d, err := parseDuration(text); err != nil || time.Duration(d) != want {
			t.Errorf("parseDuration(%q) = %v, %v, want %v", text, d, err, want)
		}
	}
	for _, text := range []string{"", "d", "5", "-1s", "-1d", "1w", "NaNd", "99999999d"} {
		if d, err := parseDuration(text); err == nil {
			t.Errorf("parseDuration(%q) = %v, want an error", text, d)
		}
	}
	sizes := map[string]Size{"0": 0, "5": 5, "64KiB": 64 << 10, "16 MiB": 16 << 20, "4GiB": 4 << 30}
	for text, want := range sizes {
		if z, err := parseSize(text); err != nil || z != want {
			t.Errorf("parseSize(%q) = %v, %v, want %v", text, z, err, want)
		}
	}
	for _, text := range []string{"", "5MB", "-1", "1.5GiB", "9999999999GiB"} {
		if z, err := parseSize(text); err == nil {
			t.Errorf("parseSize(%q) = %v, want an error", text, z)
		}
	}
}
