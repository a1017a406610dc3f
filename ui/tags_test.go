package ui

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"edge/sparkplug"
)

type tagsAnswer struct {
	Metrics []tagSeen
	Next    *string
}

type tagSeen struct {
	ID, Group, Node, Device, Name, Datatype, Unit, Quality, Cause string
	Value                                                         any
}

func tagsAt(t *testing.T, u *UI, query string) (a tagsAnswer) {
	t.Helper()
	w := request(u, "GET", "/api/v1/metrics?"+query, "")
	if err := json.Unmarshal(w.Body.Bytes(), &a); err != nil || w.Code != 200 {
		t.Fatalf("%s: %d %s", query, w.Code, w.Body)
	}
	return a
}

func TestTagsPageByPage(t *testing.T) {
	u := newParts(time.Now, nil).ui
	whole := tagsAt(t, u, "")
	if len(whole.Metrics) != 21 || whole.Next != nil {
		t.Fatalf("%d metrics, next %v", len(whole.Metrics), whole.Next)
	}
	for _, limit := range []string{"1", "3", "20", "21", "22"} {
		var ids []string
		after := ""
		for {
			a := tagsAt(t, u, "limit="+limit+"&after="+url.QueryEscape(after))
			for _, m := range a.Metrics {
				ids = append(ids, m.ID)
			}
			if a.Next == nil {
				break
			}
			after = *a.Next
		}
		want := make([]string, 0, 21)
		for _, m := range whole.Metrics {
			want = append(want, m.ID)
		}
		if !slices.Equal(ids, want) {
			t.Errorf("limit %s: %d metrics, or another order", limit, len(ids))
		}
	}
}

func TestTagsFilter(t *testing.T) {
	p := newParts(time.Now, nil)
	p.plant.kill("oven", time.Now())
	for query, want := range map[string]int{
		"group=plant": 21, "group=none": 0, "node=press": 8, "node=press&device=ram": 2, "device=ram": 2, "node=oven&device=ram": 0,
		"q=stale": 6, "q=good": 15, "q=bad": 0, "q=stale&node=press": 0,
	} {
		if got := tagsAt(t, p.ui, query); len(got.Metrics) != want {
			t.Errorf("%s: %d metrics, want %d", query, len(got.Metrics), want)
		}
	}
	stale := tagsAt(t, p.ui, "q=stale&device=exhaust").Metrics[0]
	if stale.Cause == "" || stale.Value == nil {
		t.Errorf("a stale metric keeps its last value and has a cause: %+v", stale)
	}
}

func TestTagsTellTypes(t *testing.T) {
	u := newParts(time.Now, nil).ui
	got := map[string]string{}
	for _, m := range tagsAt(t, u, "node=press").Metrics {
		kind := "null"
		switch m.Value.(type) {
		case string:
			kind = "string"
		case float64:
			kind = "number"
		case bool:
			kind = "boolean"
		}
		got[m.Name] = strings.TrimSpace(m.Datatype + " " + kind + " " + m.Unit)
	}
	want := map[string]string{
		"Machine/State": "String string", "Cabinet Temperature": "Float number °C", "Pressure": "Float number bar", "Oil Temperature": "Float number °C",
		"Pump Running": "Boolean boolean", "Cycle Count": "Int64 string", "Force": "Float number kN", sparkplug.NameRebirth: "Boolean boolean",
	}
	if !maps.Equal(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
}

// TestUnknownIDsAreCheap asks for ids that are none: the plant is walked once a second at most.
func TestUnknownIDsAreCheap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newParts(time.Now, nil)
		counting := &countingPlant{Plant: p.plant}
		u := New(Options{Plant: counting, Now: time.Now})
		for range 1000 {
			if _, ok := u.findMetric("none"); ok {
				t.Fatal("found")
			}
		}
		if counting.walks != 1 {
			t.Errorf("%d walks", counting.walks)
		}
		<-time.After(time.Second)
		if _, ok := u.findMetric(pressureID); !ok || counting.walks != 1 {
			t.Errorf("found %v after %d walks", ok, counting.walks)
		}
	})
}

type countingPlant struct {
	Plant
	walks int
}

func (c *countingPlant) Metrics(f MetricFilter) []sparkplug.MetricView {
	c.walks++
	return c.Plant.Metrics(f)
}

// A page ends early where values are large, and the next one goes on.
func TestTagsWithLargeValues(t *testing.T) {
	of := func(sizes ...int) (ms []sparkplug.MetricView) {
		for _, n := range sizes {
			ms = append(ms, sparkplug.MetricView{Value: sparkplug.Value{Type: 12, Bytes: make([]byte, n)}})
		}
		return ms
	}
	for _, c := range []struct {
		name string
		ms   []sparkplug.MetricView
		want int
	}{
		{"none", of(), 1},
		{"small", of(1, 1, 1), 3},
		{"the third is too much", of(maxValuesBytes/2, maxValuesBytes/2, 1, 1), 2},
		{"the first alone", of(maxValuesBytes+1, 1), 1},
	} {
		if got := fitting(c.ms); got != c.want {
			t.Errorf("%s: %d fit, want %d", c.name, got, c.want)
		}
	}
	p := newParts(time.Now, nil)
	now, large := time.Now(), sparkplug.Value{Type: sparkplug.String, Bytes: bytes.Repeat([]byte("x"), 1<<20)}
	metrics := []sparkplug.Metric{sparkplug.BdSeqMetric(7, now)}
	for n := range 10 {
		metrics = append(metrics, sparkplug.Metric{Name: fmt.Sprintf("text %d", n), Type: sparkplug.String, Value: large})
	}
	p.plant.step(sparkplug.Input{Session: &sparkplug.Session{ClientID: "client-loud", Connected: true}}, now)
	p.plant.seq["loud"] = 255
	p.plant.send(sparkplug.NBIRTH, "loud", "", now, metrics)
	page := tagsAt(t, p.ui, "node=loud")
	if n := len(page.Metrics); page.Next == nil || n != maxValuesBytes>>20 {
		t.Fatalf("%d metrics, next %v; want %d and a next page", n, page.Next, maxValuesBytes>>20)
	}
	rest := tagsAt(t, p.ui, "node=loud&after="+*page.Next)
	if n := len(page.Metrics) + len(rest.Metrics); rest.Next != nil || n != 10 {
		t.Errorf("%d metrics on two pages, next %v; want 10", n, rest.Next)
	}
}
