package uplink

import (
	"strings"
	"testing"
	"time"
)

func TestValidate(t *testing.T) {
	good := func() Options { return Options{Name: "up", Servers: []Server{{URL: "mqtt://broker:1883"}}} }
	low, high := 5.0, 1.0
	for _, tc := range []struct {
		name   string
		change func(*Options)
		want   string // a part of the error; empty: none
	}{
		{"the least", func(*Options) {}, ""},
		{"no name", func(o *Options) { o.Name = "" }, "name"},
		{"name with a slash", func(o *Options) { o.Name = "a/b" }, "name"},
		{"no server", func(o *Options) { o.Servers = nil }, "servers"},
		{"no scheme", func(o *Options) { o.Servers[0].URL = "broker:1883" }, "mqtt://host:port"},
		{"password in the url is not shown", func(o *Options) { o.Servers[0].URL = "http://u:secret@broker" }, `"http://broker"`},
		{"profile", func(o *Options) { o.Profile = "scada" }, "profile"},
		{"flush mode", func(o *Options) { o.FlushMode = "fast" }, "flush mode"},
		{"queue", func(o *Options) { o.Queue.Full = "decimate" }, "drop_oldest"},
		{"keep alive", func(o *Options) { o.KeepAlive = time.Millisecond }, "keep alive"},
		{"primary host", func(o *Options) { o.PrimaryHost = "#" }, "primary_host"},
		{"rule without a metric", func(o *Options) { o.Commands = []CommandRule{{}} }, "needs a metric"},
		{"rule with an empty range", func(o *Options) { o.Commands = []CommandRule{{Metric: "m", Min: &low, Max: &high}} }, "min is above max"},
		{"negative limit", func(o *Options) { o.LiveSamples = -1 }, "negative"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			o := good()
			tc.change(&o)
			err := o.withDefaults().validate()
			if (err == nil) != (tc.want == "") || err != nil && !strings.Contains(err.Error(), tc.want) {
				t.Errorf("err %v, want %q", err, tc.want)
			}
			if err != nil && strings.Contains(err.Error(), "secret") {
				t.Error("the error shows a password")
			}
		})
	}
}

func TestServerAddress(t *testing.T) {
	for _, tc := range []struct {
		url, address string
		secure       bool
	}{
		{"mqtt://broker", "broker:1883", false},
		{"tcp://10.0.0.1:2000", "10.0.0.1:2000", false},
		{"mqtts://broker", "broker:8883", true},
		{"ssl://[::1]:9", "[::1]:9", true},
	} {
		address, secure, err := Server{URL: tc.url}.address()
		if err != nil || address != tc.address || secure != tc.secure {
			t.Errorf("%s: %s, %v, %v", tc.url, address, secure, err)
		}
	}
}
