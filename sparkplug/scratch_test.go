package sparkplug

import (
	"runtime"
	"testing"
	"time"
)

// TestScratchForgets sends messages each of which makes another of the reused metrics large, by each thing that a metric holds.
func TestScratchForgets(t *testing.T) {
	big := make([]byte, 64<<10)
	for name, large := range map[string]func() Metric{
		"a value": func() Metric {
			return Metric{Name: "m", Type: Bytes, Value: Value{Type: Bytes, Bytes: append([]byte{}, big...)}}
		},
		"compressed": func() Metric {
			return Metric{Name: "m", Type: Bytes, Value: Value{Type: Bytes, Bytes: append([]byte{}, big...)}}
		},
		"unknown fields": func() Metric { return Metric{Name: "m", Unknown: appendBytes(nil, 100, big)} },
		"properties": func() Metric {
			return Metric{Name: "m", Properties: make([]Property, 1000)}
		},
		"a property's value": func() Metric {
			return Metric{Name: "m", Properties: []Property{{Key: "k", Value: Value{Type: String, Bytes: append([]byte{}, big...)}}}}
		},
	} {
		t.Run(name, func(t *testing.T) {
			h := NewHost(Options{NoRebirths: true})
			for n := 299; n >= 0; n-- {
				inner := Payload{Seq: uint64(n & 255), HasSeq: true, Metrics: append(make([]Metric, n), large())}
				p := Encode(&inner)
				if name == "compressed" {
					p = Encode(&Payload{UUID: compressedUUID, Body: zip(t, p)})
				}
				h.Step(Input{Message: &Message{Topic: "spBv1.0/G/NDATA/N", Payload: p}}, time.UnixMilli(int64(1e6-n)))
			}
			const most = 4 << 20
			var with, without runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&with)
			runtime.KeepAlive(h)
			h = nil
			runtime.GC()
			runtime.ReadMemStats(&without)
			if kept := int64(with.HeapAlloc) - int64(without.HeapAlloc); kept > most {
				t.Errorf("the host keeps %d MiB of messages that it has applied, at most %d", kept>>20, most>>20)
			}
		})
	}
}
