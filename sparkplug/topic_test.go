package sparkplug

import (
	"errors"
	"testing"
)

// [tck-id-topic-structure] [tck-id-topic-structure-namespace-a]
// [tck-id-topic-structure-namespace-valid-group-id] [tck-id-topic-structure-namespace-valid-edge-node-id]
// [tck-id-topic-structure-namespace-valid-device-id]
// [tck-id-topic-structure-namespace-device-id-associated-message-types]
// [tck-id-topic-structure-namespace-device-id-non-associated-message-types]
// [tck-id-intro-group-id-string] [tck-id-intro-group-id-chars] [tck-id-intro-edge-node-id-string]
// [tck-id-intro-edge-node-id-chars] [tck-id-intro-device-id-string] [tck-id-intro-device-id-chars]
func TestParseTopic(t *testing.T) {
	tests := []struct {
		name string
		in   string
		want Topic // zero: refused
	}{
		{"nbirth", "spBv1.0/G/NBIRTH/E", Topic{Type: NBIRTH, Group: "G", Node: "E"}},
		{"ndeath", "spBv1.0/G/NDEATH/E", Topic{Type: NDEATH, Group: "G", Node: "E"}},
		{"ndata", "spBv1.0/G/NDATA/E", Topic{Type: NDATA, Group: "G", Node: "E"}},
		{"ncmd", "spBv1.0/G/NCMD/E", Topic{Type: NCMD, Group: "G", Node: "E"}},
		{"dbirth", "spBv1.0/G/DBIRTH/E/D", Topic{Type: DBIRTH, Group: "G", Node: "E", Device: "D"}},
		{"ddeath", "spBv1.0/G/DDEATH/E/D", Topic{Type: DDEATH, Group: "G", Node: "E", Device: "D"}},
		{"ddata", "spBv1.0/G/DDATA/E/D", Topic{Type: DDATA, Group: "G", Node: "E", Device: "D"}},
		{"dcmd", "spBv1.0/G/DCMD/E/D", Topic{Type: DCMD, Group: "G", Node: "E", Device: "D"}},
		{"state", "spBv1.0/STATE/scada", Topic{Type: STATE, Host: "scada"}},
		{"spaces and umlauts", "spBv1.0/Werk Süd/NDATA/Öfen 1", Topic{Type: NDATA, Group: "Werk Süd", Node: "Öfen 1"}},
		{"a group called NBIRTH", "spBv1.0/NBIRTH/NBIRTH/NBIRTH", Topic{Type: NBIRTH, Group: "NBIRTH", Node: "NBIRTH"}},
		{"node type with device", "spBv1.0/G/NDATA/E/D", Topic{}},
		{"device type without device", "spBv1.0/G/DDATA/E", Topic{}},
		{"state with device", "spBv1.0/STATE/a/b", Topic{}},
		{"state without host", "spBv1.0/STATE", Topic{}},
		{"empty group", "spBv1.0//NDATA/E", Topic{}},
		{"empty node", "spBv1.0/G/NDATA/", Topic{}},
		{"empty device", "spBv1.0/G/DDATA/E/", Topic{}},
		{"six levels", "spBv1.0/G/DDATA/E/D/x", Topic{}},
		{"unknown type", "spBv1.0/G/XDATA/E", Topic{}},
		{"lower case type", "spBv1.0/G/ndata/E", Topic{}},
		{"wildcard", "spBv1.0/+/NDATA/E", Topic{}},
		{"hash", "spBv1.0/G/NDATA/#", Topic{}},
		{"nul", "spBv1.0/G/NDATA/a\x00b", Topic{}},
		{"not utf-8", "spBv1.0/G/NDATA/\xff", Topic{}},
		{"namespace alone", "spBv1.0/", Topic{}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := ParseTopic(tt.in)
			if got != tt.want || (err == nil) != (tt.want != Topic{}) {
				t.Fatalf("ParseTopic(%q) = %+v, %v; want %+v", tt.in, got, err, tt.want)
			}
			if errors.Is(err, ErrForeign) {
				t.Error("a topic of the namespace is called foreign")
			}
			if err == nil && got.String() != tt.in {
				t.Errorf("String = %q, want %q", got.String(), tt.in)
			}
		})
	}
	for _, foreign := range []string{"", "a/b", "spBv1.0", "spBv2.0/G/NDATA/E", "SPBV1.0/G/NDATA/E", "$sparkplug/certificates/spBv1.0/G/NBIRTH/E"} {
		if _, err := ParseTopic(foreign); !errors.Is(err, ErrForeign) {
			t.Errorf("ParseTopic(%q) = %v, want ErrForeign", foreign, err)
		}
	}
}

func FuzzParseTopic(f *testing.F) {
	f.Add("spBv1.0/G/DDATA/E/D")
	f.Add("spBv1.0/STATE/h")
	f.Fuzz(func(t *testing.T, name string) {
		got, err := ParseTopic(name)
		if err == nil && got.String() != name {
			t.Fatalf("%q parses to %+v, which is %q", name, got, got.String())
		}
	})
}
