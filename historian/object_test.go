package historian

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"edge/historian/chunk"
	"edge/historian/journal"

	bolt "go.etcd.io/bbolt"
)

// everyValue has values of each Sparkplug datatype, and of none, null among them. Those of text, bytes and structures are of all
// lengths up to the limit, and some look like a reference.
func everyValue(rng *rand.Rand) map[journal.DataType][]journal.Value {
	out := make(map[journal.DataType][]journal.Value)
	nums := map[journal.DataType][]uint64{
		0: {0}, 1: {0, 127, ^uint64(127)}, 2: {1, ^uint64(32767)}, 3: {1<<31 - 1, ^uint64(1<<31 - 1)}, 4: {1<<63 - 1, 1 << 63},
		5: {0, 255}, 6: {65535}, 7: {1<<32 - 1}, 8: {1<<64 - 1, 1 << 63, 0}, 11: {0, 1}, 13: {0, 1_780_000_000_000, ^uint64(0)},
		9: {0, 1 << 31, uint64(math.Float32bits(1.1)), 0x7fc00001, 0xffc12345, 0x7f800000, 0xff800000, 1, 0x7fa00000},
		10: {0, 1 << 63, math.Float64bits(0.1), 0x7ff8000000000001, 0xfff8dead00000000, 0x7ff0000000000000, 0xfff0000000000000, 1,
			0x7ff4000000000000},
	}
	for kind := range journal.DataType(35) {
		list := []journal.Value{{Type: kind, Null: true}}
		for _, n := range nums[kind] {
			list = append(list, journal.Value{Type: kind, Num: n})
		}
		if kind == 12 || kind >= 14 {
			for _, n := range []int{0, 1, 16, 17, 1023, 1024, 1025, 20_000, 64 << 10} {
				b := make([]byte, n)
				for i := range b {
					b[i] = byte(rng.Uint32() >> (n % 7))
				}
				list = append(list, journal.Value{Type: kind, Bytes: b})
			}
			fake := chunk.Ref(make([]byte, 2000))
			list = append(list, journal.Value{Type: kind, Bytes: fake}, journal.Value{Type: kind, Bytes: []byte(strings.Repeat("batch 7 ", 900))})
		}
		out[kind] = append(list, list[0])
	}
	return out
}

// Every datatype of Sparkplug comes back as it was given: from memory, from the file, and after the store was opened again.
func TestEveryDatatypeComesBack(t *testing.T) {
	r := newRig(t, Options{})
	values := everyValue(rand.New(rand.NewPCG(1, 2)))
	keyOf := func(kind journal.DataType) journal.SeriesKey {
		k := key(0)
		k.Metric, k.Type = fmt.Sprintf("type %d", kind), kind
		return k
	}
	for kind, list := range values {
		var samples []journal.Sample
		for i, v := range list {
			s := at(noon.Add(time.Duration(i-60)*time.Second), 0)
			s.Value = v
			samples = append(samples, s)
		}
		r.add(keyOf(kind), samples...)
	}
	r.follow()
	check := func(where string) {
		t.Helper()
		for kind, want := range values {
			got := r.read(keyOf(kind), noon.Add(-time.Hour), noon).Samples
			if len(got) != len(want) {
				t.Fatalf("%s: type %d has %d samples, want %d", where, kind, len(got), len(want))
			}
			for i, v := range got {
				if !chunk.EqualValue(v.Value, want[i]) || v.Quality != journal.Good {
					t.Errorf("%s: type %d, value %d: %.40v, want %.40v", where, kind, i, v, want[i])
				}
			}
		}
	}
	check("memory")
	r.flush(flushAll)
	check("file")
	r.close()
	r.open()
	check("opened again")
	backlog, _, err := r.s.Backlog(t.Context(), key(0).Group, key(0).Node, 1, r.j.Durable()+1, maxBacklog)
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range backlog {
		if len(v.Value.Bytes) == 17 && chunk.Ref(v.Value.Bytes) != nil && string(v.Value.Bytes) != string(chunk.Ref(make([]byte, 2000))) {
			t.Errorf("the backlog has a reference for a value of %d", v.Series)
		}
	}
	r.close()
}

// large is a sample with a value that goes to obj.
func large(when time.Time, n int) journal.Sample {
	s := at(when, 0)
	s.Value = journal.Value{Type: 12, Bytes: bytes.Repeat([]byte{byte('a' + n)}, 5000)}
	return s
}

func textKey() journal.SeriesKey {
	k := key(0)
	k.Type = 12
	return k
}

// A large value stands in a day once, and small when it can be.
func TestLargeValuesAreStoredOnce(t *testing.T) {
	r := newRig(t, Options{})
	for i := range 300 {
		r.add(textKey(), large(noon.Add(time.Duration(i-1800)*time.Second), i%3))
		if i == 150 {
			r.follow()
			r.flush(flushAll)
		}
	}
	r.follow()
	r.flush(flushAll)
	rows, size := 0, 0
	err := r.s.days.get(dayOf(ms(noon))).view(func(tx *bolt.Tx) error {
		return tx.Bucket(bucketObject).ForEach(func(_, v []byte) error {
			rows, size = rows+1, size+len(v)
			return nil
		})
	})
	if err != nil || rows != 3 || size > 300 {
		t.Errorf("%d rows of %d bytes, %v; want 3 in at most 300", rows, size, err)
	}
	r.add(textKey(), large(noon.Add(-1700*time.Second), 1)) // a repetition: it was stored with its reference
	r.follow()
	r.flush(flushAll)
	if st := r.s.Stats(); st.Duplicates != 1 {
		t.Errorf("%d duplicates, want 1", st.Duplicates)
	}
	r.close()
}

// A large value that is damaged or gone is a null that is Bad; what lies around it is answered.
func TestDamagedLargeValueIsABadSample(t *testing.T) {
	for _, c := range []struct {
		name string
		harm func(b *bolt.Bucket, k, v []byte) error
	}{
		{"gone", func(b *bolt.Bucket, k, _ []byte) error { return b.Delete(k) }},
		{"another", func(b *bolt.Bucket, k, _ []byte) error { return b.Put(k, []byte{objectRaw, 'x'}) }},
		{"cut", func(b *bolt.Bucket, k, v []byte) error { return b.Put(k, bytes.Clone(v[:len(v)/2])) }},
		{"empty", func(b *bolt.Bucket, k, _ []byte) error { return b.Put(k, nil) }},
		{"of a later kind", func(b *bolt.Bucket, k, v []byte) error { return b.Put(k, append([]byte{9}, v[1:]...)) }},
		{"claims to be huge", func(b *bolt.Bucket, k, _ []byte) error {
			return b.Put(k, []byte{objectZstd, 0xff, 0xff, 0xff, 0xff, 0xff, 0x0f, 1, 2, 3})
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, Options{})
			r.loose = true
			for i := range 3 {
				r.add(textKey(), large(noon.Add(time.Duration(i-60)*time.Second), i))
			}
			r.follow()
			r.flush(flushAll)
			err := r.s.days.get(dayOf(ms(noon))).update(func(tx *bolt.Tx) error {
				b := tx.Bucket(bucketObject)
				k := chunk.Ref(large(noon, 1).Value.Bytes)[1:]
				return c.harm(b, k, b.Get(k))
			})
			if err != nil {
				t.Fatal(err)
			}
			out := r.read(textKey(), noon.Add(-time.Hour), noon)
			if len(out.Samples) != 3 || len(out.Gaps) != 0 {
				t.Fatalf("%d samples, gaps %v", len(out.Samples), out.Gaps)
			}
			for i, v := range out.Samples {
				if lost := i == 1; v.Value.Null != lost || (v.Quality == journal.Bad) != lost || (len(v.Value.Bytes) == 0) != lost {
					t.Errorf("sample %d: %.60v", i, v)
				}
			}
			if told := r.s.reported; len(told) != 1 {
				t.Errorf("damage was told of %d files, want 1", len(told))
			}
			r.close()
		})
	}
}

// A value above the limit is not kept, counted, and told of once.
func TestTooLongValueIsToldOf(t *testing.T) {
	r := newRig(t, Options{MaxValueBytes: 4000})
	for i := range 3 {
		r.add(textKey(), large(noon.Add(time.Duration(i-60)*time.Second), i))
	}
	r.follow()
	r.follow() // the event comes back through the journal
	if st := r.s.Stats(); st.Refused != 3 {
		t.Errorf("%d refused, want 3", st.Refused)
	}
	list, err := r.s.Events(t.Context(), EventQuery{})
	if err != nil || len(list) != 1 || !strings.Contains(list[0].Reason, "5000 bytes") || !strings.Contains(list[0].Reason, textKey().Metric) {
		t.Errorf("events %v, %v", list, err)
	}
	r.close()
}

func FuzzObject(f *testing.F) {
	for _, v := range [][]byte{nil, []byte("a"), bytes.Repeat([]byte("ab"), 3000)} {
		row, err := appendObject(nil, v)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(row)
	}
	f.Fuzz(func(t *testing.T, row []byte) {
		value, err := readObject(row)
		if err == nil && len(value) > max(maxObject, len(row)) {
			t.Fatalf("%d bytes out of %d", len(value), len(row))
		}
	})
}
