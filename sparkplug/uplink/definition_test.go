package uplink

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"edge/sparkplug"
	"edge/sparkplug/observe/kit"
)

// A template that a plant's DBIRTH defines, where it may not, is defined upstream in the NBIRTH, also when it comes anew within a
// session. [tck-id-payloads-template-definition-nbirth-only] [tck-id-payloads-template-definition-nbirth]
func TestDefinitionInDeviceBirth(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		r := newRig(t, quick(s.as()))
		r.start()
		definition, instance, _, _ := kit.Structures(time.Now())
		other := definition
		other.Name = "Pump"
		r.birth("g", "n", "", oven...)
		r.plantBirth("g", "n", "d", definition, instance)
		pass(time.Second)
		r.plantBirth("g", "n", "d", definition, instance) // nothing new
		pass(time.Second)
		r.plantBirth("g", "n", "d", definition, other, instance)
		pass(time.Second)

		var got []string
		for _, e := range s.entries() {
			_, message, ok := strings.Cut(e.topic, "/g/")
			if e.kind != "PUBLISH" || !ok {
				continue
			}
			p, err := sparkplug.Decode(e.payload, sparkplug.Limits{})
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range p.Metrics {
				if m.Type == sparkplug.Template {
					message += " " + m.Name
				}
			}
			got = append(got, message)
		}
		last := []string{"NBIRTH/n Motor Pump", "DBIRTH/n/d Motor 1"}
		middle := []string{"NBIRTH/n Motor", "DBIRTH/n/d Motor 1", "DBIRTH/n/d Motor 1"}
		if n := len(got); n < 5 || !slices.Equal(got[n-2:], last) || !slices.Equal(got[n-5:n-2], middle) {
			t.Errorf("upstream got %q, want it to end with %q, %q", got, middle, last)
		}
		r.stop()
	})
}
