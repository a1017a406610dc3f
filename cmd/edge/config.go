package main

import (
	"time"

	"edge/broker/server"
)

// Config is the whole configuration, as INTERFACE names it. Sources, weakest first: defaults, the file,
// the environment (EDGE_A_B for a.b), flags. Every field has a default; a limit of 0 means none.
type Config struct {
	Data      string          `mapstructure:"data"`
	Log       LogConfig       `mapstructure:"log"`
	Broker    BrokerConfig    `mapstructure:"broker"`
	Sparkplug SparkplugConfig `mapstructure:"sparkplug"`
	Historian HistorianConfig `mapstructure:"historian"`
	Uplinks   []UplinkConfig  `mapstructure:"uplinks"`
	HTTP      HTTPConfig      `mapstructure:"http"`

	dir string // the folder of the configuration file: relative file names start here
}

// Duration is a time.Duration written as Go writes it, or with days: "250ms", "36h", "30d".
type Duration time.Duration

// Size is a number of bytes, written as an integer or with KiB, MiB or GiB.
type Size int64

// LogConfig says how the appliance logs to standard error.
type LogConfig struct {
	Level  string `mapstructure:"level"`  // debug, info, warn, error; reloaded on SIGHUP
	Format string `mapstructure:"format"` // text, json
}

// BrokerConfig is the plant's broker.
type BrokerConfig struct {
	Listeners      []ListenerConfig `mapstructure:"listeners"`
	Limits         LimitsConfig     `mapstructure:"limits"`
	Durability     string           `mapstructure:"durability"` // safe, fast
	CommitInterval Duration         `mapstructure:"commit_interval"`
	Users          string           `mapstructure:"users"`
	ACL            string           `mapstructure:"acl"`
	SysInterval    Duration         `mapstructure:"sys_interval"`    // how often $SYS is published; 0: never
	ResponsePrefix string           `mapstructure:"response_prefix"` // of the Response Information that 5.0 clients may ask for; empty: none
	EventLoops     int              `mapstructure:"event_loops"`     // for plain TCP and unix sockets, on Linux; 0: none, every connection has goroutines
}

// ListenerConfig is one address the broker listens on.
type ListenerConfig struct {
	Name      string    `mapstructure:"name"`
	Address   string    `mapstructure:"address"`   // host:port; unix: the path of the socket, relative to data
	Transport string    `mapstructure:"transport"` // tcp, ws, unix
	Path      string    `mapstructure:"path"`      // ws only
	Origins   []string  `mapstructure:"origins"`   // ws only: pages that may connect, beside those of the same host and port
	Mode      string    `mapstructure:"mode"`      // unix only, octal
	Anonymous bool      `mapstructure:"anonymous"` // only on loopback and unix sockets
	TLS       TLSConfig `mapstructure:"tls"`
}

// TLSConfig names certificate files; empty means no TLS.
type TLSConfig struct {
	Cert       string `mapstructure:"cert"`
	Key        string `mapstructure:"key"`
	ClientCA   string `mapstructure:"client_ca"`
	ClientAuth string `mapstructure:"client_auth"` // none, request, require
}

func (c TLSConfig) enabled() bool { return c.Cert != "" || c.Key != "" }

// LimitsConfig bounds what clients may take. Zero means no limit.
type LimitsConfig struct {
	Clients               int      `mapstructure:"clients"`
	PacketBytes           Size     `mapstructure:"packet_bytes"`
	ConnectPacketBytes    Size     `mapstructure:"connect_packet_bytes"`
	ConnectTimeout        Duration `mapstructure:"connect_timeout"`
	KeepAliveMax          Duration `mapstructure:"keep_alive_max"`
	KeepAliveStrict       bool     `mapstructure:"keep_alive_strict"`
	Inflight              int      `mapstructure:"inflight"`
	QueueMessages         int      `mapstructure:"queue_messages"`
	QueueBytes            Size     `mapstructure:"queue_bytes"`
	SessionExpiryMax      Duration `mapstructure:"session_expiry_max"`
	RetainedMessages      int      `mapstructure:"retained_messages"`
	RetainedBytes         Size     `mapstructure:"retained_bytes"`
	Subscriptions         int      `mapstructure:"subscriptions"`
	TopicLevels           int      `mapstructure:"topic_levels"`
	TopicAlias            int      `mapstructure:"topic_alias"`
	AcceptsPerSecond      int      `mapstructure:"accepts_per_second"`
	ConnectionsPerAddress int      `mapstructure:"connections_per_address"`
	LoginFailures         int      `mapstructure:"login_failures"` // in a minute, of one user at one address
}

// SparkplugConfig is the host application towards the plant.
type SparkplugConfig struct {
	HostID         string   `mapstructure:"host_id"`
	ExtraHostIDs   []string `mapstructure:"extra_host_ids"`
	LegacyState    bool     `mapstructure:"legacy_state"` // STATE/<id> too, as Sparkplug 2.2 had it
	ReorderTimeout Duration `mapstructure:"reorder_timeout"`
	Aware          bool     `mapstructure:"aware"`

	Firewall FirewallConfig `mapstructure:"firewall"`
}

// FirewallConfig binds MQTT identities to the Sparkplug names they may speak for.
type FirewallConfig struct {
	Mode   string               `mapstructure:"mode"`  // off, observe, enforce
	Pins   bool                 `mapstructure:"pins"`  // who has no rule is bound to the first node or host it is
	Rules  []FirewallRuleConfig `mapstructure:"rules"` // the first that fits counts
	Limits FirewallLimitsConfig `mapstructure:"limits"`
}

// FirewallRuleConfig is who an identity is. In the names * stands for any text; %u in group and node for the user, %c for the client identifier.
type FirewallRuleConfig struct {
	User     string   `mapstructure:"user"`
	Cert     string   `mapstructure:"cert"` // subject of the client certificate
	Client   string   `mapstructure:"client"`
	Group    string   `mapstructure:"group"`
	Node     string   `mapstructure:"node"`
	Host     string   `mapstructure:"host"`
	Commands bool     `mapstructure:"commands"`
	Groups   []string `mapstructure:"groups"` // of commands; empty: all
}

// FirewallLimitsConfig bounds what a client that is who it says it is may do.
type FirewallLimitsConfig struct {
	RebirthsPerMinute int  `mapstructure:"rebirths_per_minute"` // asked by one identity of one node
	BirthsPerMinute   int  `mapstructure:"births_per_minute"`   // of one node
	BirthBytes        Size `mapstructure:"birth_bytes"`
	Metrics           int  `mapstructure:"metrics"` // and aliases of one birth
	Devices           int  `mapstructure:"devices"` // of one node
	Bindings          int  `mapstructure:"bindings"`
	Violations        int  `mapstructure:"violations"` // that are listed
}

// HistorianConfig is what is kept and for how long.
type HistorianConfig struct {
	Retention      RetentionConfig `mapstructure:"retention"`
	CommitInterval Duration        `mapstructure:"commit_interval"`
	ValueBytes     Size            `mapstructure:"value_bytes"` // the largest file, text, bytes, array or structure that is recorded; 0: as large as can be
}

// RetentionConfig bounds the historian by age and by bytes.
type RetentionConfig struct {
	Raw    Duration `mapstructure:"raw"`
	Minute Duration `mapstructure:"minute"`
	Hour   Duration `mapstructure:"hour"`
	Bytes  Size     `mapstructure:"bytes"`
}

// UplinkConfig is one enterprise broker, or several to fail over between.
type UplinkConfig struct {
	Name         string         `mapstructure:"name"`
	Kind         string         `mapstructure:"kind"` // sparkplug, mqtt
	Servers      []ServerConfig `mapstructure:"servers"`
	PrimaryHost  string         `mapstructure:"primary_host"`
	Profile      string         `mapstructure:"profile"`        // generic, ignition, canary, tahu
	UInt32AsLong bool           `mapstructure:"uint32_as_long"` // for hosts that do not read it in int_value, as the specification has it
	Flush        FlushConfig    `mapstructure:"flush"`
	Queue        QueueConfig    `mapstructure:"queue"`
	Commands     CommandsConfig `mapstructure:"commands"`
	Topics       []TopicConfig  `mapstructure:"topics"` // kind mqtt
}

// ServerConfig is one server of an uplink. The password stands in a file of its own, never here.
type ServerConfig struct {
	URL          string `mapstructure:"url"` // mqtt://, mqtts://
	Username     string `mapstructure:"username"`
	PasswordFile string `mapstructure:"password_file"`
	CA           string `mapstructure:"ca"`
	Cert         string `mapstructure:"cert"`
	Key          string `mapstructure:"key"`
}

// FlushConfig says how a backlog goes out.
type FlushConfig struct {
	Mode             string `mapstructure:"mode"` // concurrent, in_order, closing_rebirth, history_elsewhere
	SamplesPerSecond int    `mapstructure:"samples_per_second"`
	BitsPerSecond    int    `mapstructure:"bits_per_second"`
}

// QueueConfig bounds what is owed.
type QueueConfig struct {
	Bytes Size     `mapstructure:"bytes"`
	Age   Duration `mapstructure:"age"`
	Full  string   `mapstructure:"full"` // decimate, drop_oldest, drop_newest
}

// CommandsConfig says which commands from this uplink reach the plant.
type CommandsConfig struct {
	Mode  string        `mapstructure:"mode"` // deny, allow
	Allow []CommandRule `mapstructure:"allow"`
}

// CommandRule allows writes to one metric.
type CommandRule struct {
	Metric    string   `mapstructure:"metric"`
	Min       *float64 `mapstructure:"min"`
	Max       *float64 `mapstructure:"max"`
	PerMinute int      `mapstructure:"per_minute"`
}

// TopicConfig is one rule of a plain topic uplink.
type TopicConfig struct {
	Filter       string `mapstructure:"filter"`
	RemotePrefix string `mapstructure:"remote_prefix"`
	Direction    string `mapstructure:"direction"`
	QoS          int    `mapstructure:"qos"`
}

// HTTPConfig is the page and the API.
type HTTPConfig struct {
	Address string    `mapstructure:"address"`
	TLS     TLSConfig `mapstructure:"tls"`
}

// maxValueBytes is the largest value that the history can keep.
const maxValueBytes = 16 << 20

// mostBytes is the largest value that is recorded.
func (h *HistorianConfig) mostBytes() int {
	if h.ValueBytes == 0 {
		return maxValueBytes
	}
	return int(h.ValueBytes)
}

const day = 24 * time.Hour

// defaultConfig is the configuration of an empty file.
func defaultConfig() Config {
	return Config{
		Data: "/var/lib/edge",
		Log:  LogConfig{Level: "info", Format: "text"},
		Broker: BrokerConfig{
			Listeners: []ListenerConfig{{Name: "plant", Address: "127.0.0.1:1883", Transport: "tcp", Anonymous: true}},
			Limits: LimitsConfig{
				Clients: 1000, PacketBytes: 1 << 20, ConnectPacketBytes: 64 << 10, ConnectTimeout: Duration(5 * time.Second),
				KeepAliveMax: Duration(300 * time.Second), Inflight: 100, QueueMessages: 10000, QueueBytes: 16 << 20,
				SessionExpiryMax: Duration(day), RetainedMessages: 10000, RetainedBytes: 64 << 20, Subscriptions: 200,
				TopicLevels: 16, TopicAlias: 64, AcceptsPerSecond: 200, ConnectionsPerAddress: 100, LoginFailures: 10,
			},
			Durability: "safe", CommitInterval: Duration(10 * time.Millisecond), Users: "users.yaml", ACL: "acl.yaml",
			SysInterval: Duration(10 * time.Second),
			EventLoops:  server.DefaultLoops(), ResponsePrefix: "response/",
		},
		Sparkplug: SparkplugConfig{HostID: "edge", ExtraHostIDs: []string{}, ReorderTimeout: Duration(5 * time.Second), Aware: true,
			Firewall: FirewallConfig{Mode: "off", Pins: true, Rules: []FirewallRuleConfig{}, Limits: FirewallLimitsConfig{
				RebirthsPerMinute: 12, BirthsPerMinute: 30, BirthBytes: 1 << 20, Metrics: 50_000, Devices: 1000, Bindings: 10_000, Violations: 1000,
			}}},
		Historian: HistorianConfig{
			Retention:      RetentionConfig{Raw: Duration(30 * day), Minute: Duration(365 * day), Hour: Duration(3650 * day), Bytes: 20 << 30},
			CommitInterval: Duration(250 * time.Millisecond), ValueBytes: 1 << 20,
		},
		Uplinks: []UplinkConfig{},
		HTTP:    HTTPConfig{Address: "127.0.0.1:8080"},
	}
}

// defaultListener and defaultUplink are what an entry of a list starts from.
func defaultListener(transport string) ListenerConfig {
	switch transport {
	case "ws":
		return ListenerConfig{Transport: "ws", Path: "/mqtt"}
	case "unix":
		return ListenerConfig{Transport: "unix", Mode: "0660"}
	}
	return ListenerConfig{Transport: "tcp"}
}

// A tahu host takes history for live values, so it is given a rebirth when the history is through.
func defaultUplink(profile string) UplinkConfig {
	mode := "concurrent"
	if profile == "tahu" {
		mode = "closing_rebirth"
	}
	return UplinkConfig{
		Kind: "sparkplug", Profile: "generic",
		Flush:    FlushConfig{Mode: mode, SamplesPerSecond: 5000, BitsPerSecond: 2_000_000},
		Queue:    QueueConfig{Bytes: 4 << 30, Age: Duration(72 * time.Hour), Full: "drop_oldest"},
		Commands: CommandsConfig{Mode: "deny"},
	}
}
