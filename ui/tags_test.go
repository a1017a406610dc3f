package ui

import (
	"encoding/json"
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
	Metrics []struct {
		ID, Group, Node, Device, Name, Datatype, Unit, Quality, Cause string
		Value                                                         any
	}
	Next *string
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
