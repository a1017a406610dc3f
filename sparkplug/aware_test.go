package sparkplug

import (
	"bytes"
	"testing"
	"time"
)

// [tck-id-conformance-mqtt-aware-nbirth-mqtt-topic] [tck-id-conformance-mqtt-aware-dbirth-mqtt-topic]
func TestCertificateTopic(t *testing.T) {
	tests := []struct{ in, want string }{
		{"spBv1.0/G1/NBIRTH/E1", "$sparkplug/certificates/spBv1.0/G1/NBIRTH/E1"},
		{"spBv1.0/G1/DBIRTH/E1/D1", "$sparkplug/certificates/spBv1.0/G1/DBIRTH/E1/D1"},
		{"spBv1.0/G1/NDATA/E1", ""},
		{"spBv1.0/G1/NDEATH/E1", ""},
		{"spBv1.0/STATE/h", ""},
		{"spBv1.0/STATE/NBIRTH", ""},
		{"spBv1.0//NBIRTH/E1", ""},
		{"spbv1.0/G1/NBIRTH/E1", ""},
		{"$sparkplug/certificates/spBv1.0/G1/NBIRTH/E1", ""},
	}
	for _, tt := range tests {
		got, ok := CertificateTopic(tt.in)
		if got != tt.want || ok != (tt.want != "") {
			t.Errorf("CertificateTopic(%q) = %q, %v", tt.in, got, ok)
		}
		if back, ok := CertifiedTopic(got); ok != (tt.want != "") || ok && back != tt.in {
			t.Errorf("CertifiedTopic(%q) = %q, %v", got, back, ok)
		}
	}
}

func TestIsNodeDeath(t *testing.T) {
	for in, want := range map[string]bool{
		"spBv1.0/G/NDEATH/E": true, "spBv1.0/G/NDEATH/E/D": false, "spBv1.0//NDEATH/E": false, "spBv1.0/G/NDEATH": false, "spBv1.0/G/NDEATH/": false,
		"spbv1.0/G/NDEATH/E": false, "spBv1.0/G/DDEATH/E/D": false, "spBv1.0/NDEATH/NDATA/E": false, "spBv1.0/STATE/NDEATH": false, "spBv1.0": false, "": false,
	} {
		if IsNodeDeath(in) != want || IsBirth(in) {
			t.Errorf("IsNodeDeath(%q) = %v", in, !want)
		}
	}
}

// [tck-id-conformance-mqtt-aware-ndeath-timestamp]
func TestStampDeath(t *testing.T) {
	now := time.UnixMilli(300) // varint ac 02
	tests := []struct{ name, in, want string }{
		{"added", "12 02 38 01", "08 ac 02 12 02 38 01"},
		{"replaced", "08 05 12 02 38 01", "08 ac 02 12 02 38 01"},
		{"behind the metric", "12 02 38 01 08 05", "08 ac 02 12 02 38 01"},
		{"twice", "08 05 08 06 12 00", "08 ac 02 12 00"},
		{"other fields as they are", "12 00 18 81 00 3a 01 41", "08 ac 02 12 00 18 81 00 3a 01 41"},
		{"field 1 of another wire type stays", "0a 01 05", "08 ac 02 0a 01 05"},
		{"empty", "", "08 ac 02"},
		{"cut", "12 05 38", "12 05 38"},
		{"field 0", "00 01", "00 01"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			in := raw(t, tt.in)
			got, ok := StampDeath(in, now)
			if !bytes.Equal(got, raw(t, tt.want)) || ok != (tt.in != tt.want) {
				t.Errorf("%x, %v; want %s", got, ok, tt.want)
			}
			if !bytes.Equal(in, raw(t, tt.in)) {
				t.Error("the input was written to")
			}
		})
	}
}

func FuzzStampDeath(f *testing.F) {
	f.Add(raw(f, "08 05 12 02 38 01"))
	f.Fuzz(func(t *testing.T, in []byte) {
		got, ok := StampDeath(in, t0)
		if !ok {
			if !bytes.Equal(got, in) {
				t.Fatal("refused, but changed")
			}
			return
		}
		again, ok := StampDeath(got, t0)
		if !ok || !bytes.Equal(again, got) {
			t.Fatalf("not stable: %x %x", got, again)
		}
		if p, err := Decode(got, Limits{}); err == nil && !p.Compressed && p.Timestamp != Millis(t0) {
			t.Fatalf("timestamp %d", p.Timestamp)
		}
	})
}
