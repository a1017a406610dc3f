package chunk

import (
	"bytes"
	"errors"
	"math"
	"testing"

	"edge/historian/journal"

	"pgregory.net/rapid"
)

// A digest is another as soon as anything of a sample is, and when two samples have what is each other's.
func TestDigestTellsSamplesApart(t *testing.T) {
	base := []journal.Sample{
		{Index: 10, Series: 1, At: 1000, Received: 1020, Quality: journal.Good, Value: journal.Value{Type: 9, Num: 5}},
		{Index: 11, Series: 2, At: 1003, Received: 1020, Quality: journal.Good, Value: journal.Value{Type: 9, Num: 7}},
		{Index: 12, Series: 3, At: 1003, Received: 1020, Quality: journal.Bad, Value: journal.Value{Type: 12, Bytes: []byte("on")}},
		{Index: 13, Series: 4, At: 1003, Received: 1020, Quality: journal.Good, Value: journal.Value{Type: 12, Null: true}},
	}
	of := func(change func(list []journal.Sample)) (d digest) {
		list := append([]journal.Sample(nil), base...)
		change(list)
		for i := range list {
			d.sample(&list[i])
		}
		return d
	}
	want := of(func([]journal.Sample) {})
	for name, change := range map[string]func(s []journal.Sample){
		"index":            func(s []journal.Sample) { s[0].Index++ },
		"series":           func(s []journal.Sample) { s[0].Series = 5 },
		"time":             func(s []journal.Sample) { s[0].At-- },
		"arrival":          func(s []journal.Sample) { s[0].Received = 1021 },
		"quality":          func(s []journal.Sample) { s[0].Quality = journal.Stale },
		"historical":       func(s []journal.Sample) { s[0].Historical = true },
		"birth":            func(s []journal.Sample) { s[0].Birth = true },
		"type":             func(s []journal.Sample) { s[0].Value.Type = 3 },
		"a bit of a value": func(s []journal.Sample) { s[0].Value.Num |= 1 << 63 },
		"no value":         func(s []journal.Sample) { s[0].Value.Null = true },
		"a value for null": func(s []journal.Sample) { s[3].Value.Null = false },
		"text":             func(s []journal.Sample) { s[2].Value.Bytes = []byte("oN") },
		"text lost":        func(s []journal.Sample) { s[2].Value.Bytes = nil },
		"number in a text": func(s []journal.Sample) { s[2].Value.Num = 1 },
		"values swapped":   func(s []journal.Sample) { s[0].Value.Num, s[1].Value.Num = 7, 5 },
		"times swapped":    func(s []journal.Sample) { s[0].At, s[1].At = 1003, 1000 },
		"indices swapped":  func(s []journal.Sample) { s[0].Index, s[1].Index = 11, 10 },
		"series swapped":   func(s []journal.Sample) { s[0].Series, s[1].Series = 2, 1 },
		"time for arrival": func(s []journal.Sample) { s[0].At, s[0].Received = 1020, 1000 },
		"time for value":   func(s []journal.Sample) { s[0].At, s[0].Value.Num = 5, 1000 },
		"one missing":      func(s []journal.Sample) { s[1] = s[0] },
	} {
		if of(change) == want {
			t.Errorf("%s: the digest is the same", name)
		}
	}
	if got := of(func(s []journal.Sample) { s[0], s[3] = s[3], s[0] }); got != want {
		t.Errorf("in another order it is %x, want %x", got, want)
	}
	if got := of(func(s []journal.Sample) { s[3].Value.Num, s[3].Value.Bytes = math.MaxUint64, []byte("x") }); got != want {
		t.Error("what a null has for a value counts")
	}
}

// What an Encoder was given and what its block decodes to have the same digest, and a block of other samples is refused.
func TestEndComparesWhatItDecodes(t *testing.T) {
	list := ticks(9, repeat(300, func(i int) uint64 { return uint64(math.Float32bits(float32(i%7) / 4)) })...)
	var e Encoder
	block, err := e.Encode(list)
	if err != nil || !e.same(block) {
		t.Fatal(err)
	}
	for i := range list {
		other := append([]journal.Sample(nil), list...)
		other[i].Value.Num ^= 1
		block, err := Encode(other)
		if err != nil {
			t.Fatal(err)
		}
		if e.same(block) {
			t.Fatalf("a block with another value of sample %d counts as the same", i)
		}
	}
}

// Number makes of a sample what Add makes of it.
func TestNumberIsAdd(t *testing.T) {
	numbers := 0
	rapid.Check(t, func(t *rapid.T) {
		list := anySamples(t)
		want, err := Encode(list)
		if err != nil {
			t.Fatal(err)
		}
		var e Encoder
		e.findIDs(list)
		if err := e.Begin(e.ids); err != nil {
			t.Fatal(err)
		}
		for i := range list {
			v := &list[i]
			if place := e.placeOf(v.Series); v.Value.Null || v.Quality != journal.Good || isText(v.Value.Type) || len(v.Value.Bytes) > 0 {
				err = e.Add(place, v)
			} else {
				numbers++
				err = e.Number(place, v.Value.Type, v.Index, v.At, v.Received, flags(v), v.Value.Num)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		if got, err := e.End(); err != nil || !bytes.Equal(got, want) {
			t.Fatalf("%v; %d bytes, want these %d", err, len(got), len(want))
		}
	})
	if numbers == 0 {
		t.Error("no sample was given to Number")
	}
	var e Encoder
	if err := errors.Join(e.Begin([]journal.SeriesID{1}), e.Number(0, 12, 1, 1, 1, 0, 7)); err != nil {
		t.Fatal(err)
	}
	if _, err := e.End(); !errors.Is(err, ErrMixed) {
		t.Errorf("a text that is a number: %v, want %v", err, ErrMixed)
	}
}

func TestBeginAddEndRefuse(t *testing.T) {
	one := ticks(9, 1, 2, 3)
	id := one[0].Series
	for _, c := range []struct {
		name   string
		series []journal.SeriesID
		add    []int // places of one's samples
		want   error
	}{
		{"nothing", nil, nil, ErrLimit},
		{"series out of order", []journal.SeriesID{id, id - 1}, []int{0}, ErrOrder},
		{"a series twice", []journal.SeriesID{id, id}, []int{0}, ErrOrder},
		{"a series without a sample", []journal.SeriesID{id, id + 1}, []int{0, 0, 0}, ErrNone},
		{"too many series", make([]journal.SeriesID, MaxSeries+1), nil, ErrLimit},
	} {
		var e Encoder
		err := e.Begin(c.series)
		for i, place := range c.add {
			if err == nil {
				err = e.Add(place, &one[i])
			}
		}
		if err == nil {
			_, err = e.End()
		}
		if !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
	}
}
