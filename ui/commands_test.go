package ui

import (
	"encoding/json"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"edge/sparkplug"
)

func prepare(t *testing.T, u *UI) string {
	t.Helper()
	w := request(u, "POST", "/api/v1/write", `{"id":"`+setpointID+`","value":170.5,"reason":"trial run"}`)
	var p struct{ Token string }
	if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil || w.Code != 200 || len(p.Token) < 40 {
		t.Fatalf("prepare: %d %s", w.Code, w.Body)
	}
	return p.Token
}

func TestWriteTakesTwoSteps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newParts(time.Now, nil)
		token := prepare(t, p.ui)
		if asked := p.commands.list(); len(asked) != 0 {
			t.Fatalf("preparing sent %q", asked)
		}
		for i, want := range []int{202, 410} { // a token works once
			if w := request(p.ui, "POST", "/api/v1/write/"+token, "{}"); w.Code != want {
				t.Errorf("confirmation %d: %d %s", i+1, w.Code, w.Body)
			}
		}
		if asked := p.commands.list(); !slices.Equal(asked, []string{"write Zone 1/Setpoint 170.5 because trial run by page at 192.0.2.1"}) {
			t.Errorf("commands %q", asked)
		}
	})
}

func TestWriteTokenEnds(t *testing.T) {
	for _, c := range []struct {
		name   string
		before func(*testParts)
		status int
	}{
		{"at once", func(*testParts) {}, 202},
		{"after 29 s", func(*testParts) { <-time.After(29 * time.Second) }, 202},
		{"after 30 s", func(*testParts) { <-time.After(30 * time.Second) }, 410},
		{"when the node died", func(p *testParts) { p.plant.kill("oven", time.Now()) }, 409},
	} {
		synctest.Test(t, func(t *testing.T) {
			p := newParts(time.Now, nil)
			token := prepare(t, p.ui)
			c.before(p)
			if w := request(p.ui, "POST", "/api/v1/write/"+token, "{}"); w.Code != c.status {
				t.Errorf("%s: %d %s", c.name, w.Code, w.Body)
			}
			if sent := len(p.commands.list()) > 0; sent != (c.status == 202) {
				t.Errorf("%s: sent %v", c.name, sent)
			}
		})
	}
}

func TestWriteToADeadNodeIsRefused(t *testing.T) {
	p := newParts(time.Now, nil)
	p.plant.kill("oven", time.Now())
	if w := request(p.ui, "POST", "/api/v1/write", `{"id":"`+setpointID+`","value":170.5,"reason":"trial run"}`); w.Code != 409 {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

func TestPreparedWritesAreLimited(t *testing.T) {
	var ts tokens
	now := time.UnixMilli(0)
	for i := range maxTokens {
		if _, ok := ts.add(Write{}, now, now.Add(tokenLife)); !ok {
			t.Fatalf("token %d refused", i)
		}
	}
	if _, ok := ts.add(Write{}, now, now.Add(tokenLife)); ok {
		t.Error("one more was taken")
	}
	if _, ok := ts.add(Write{}, now.Add(tokenLife), now.Add(2*tokenLife)); !ok || len(ts.waiting) != 1 {
		t.Errorf("after 30 s: taken %v, %d wait", ok, len(ts.waiting))
	}
}

func TestCommandsSwitchedOff(t *testing.T) {
	p := newParts(time.Now, func(o *Options) { o.Commands = nil })
	for _, path := range []string{"/api/v1/nodes/plant/press/rebirth", "/api/v1/write", "/api/v1/write/x"} {
		if w := request(p.ui, "POST", path, "{}"); w.Code != 403 {
			t.Errorf("%s: %d %s", path, w.Code, w.Body)
		}
	}
}

func FuzzParseValue(f *testing.F) {
	f.Add(uint8(sparkplug.Double), []byte(`170.5`))
	f.Add(uint8(sparkplug.Int64), []byte(`"9223372036854775807"`))
	f.Add(uint8(sparkplug.Float), []byte(`"Infinity"`))
	f.Add(uint8(sparkplug.Boolean), []byte(`true`))
	f.Add(uint8(sparkplug.StringArray), []byte(`["a",null]`))
	f.Fuzz(func(t *testing.T, kind uint8, raw []byte) {
		v, err := parseValue(sparkplug.DataType(kind), raw)
		if err != nil {
			return
		}
		// What can be written is shown, and what is shown can be written again.
		shown, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		if again, err := parseValue(v.Type, shown); err != nil || again.Num != v.Num || string(again.Bytes) != string(v.Bytes) {
			t.Errorf("%s as %s is %v %v, then %v", raw, v.Type, v, err, again)
		}
	})
}
