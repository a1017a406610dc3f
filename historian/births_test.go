package historian

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"edge/historian/journal"

	bolt "go.etcd.io/bbolt"
)

// born appends a birth that says something, and returns its index.
func (r *rig) born(kind journal.EventKind, device string, at time.Time, payload []byte) journal.Index {
	r.t.Helper()
	e := birth(kind, device, at)
	e.Payload = payload
	r.addEvent(e)
	r.follow()
	return r.s.applied
}

func (r *rig) wantBirth(when string, i journal.Index, kind journal.EventKind, want []byte) {
	r.t.Helper()
	e, got, err := r.s.Birth(r.t.(*testing.T).Context(), i)
	if err != nil || e.Index != i || e.Kind != kind || e.Payload != nil || !bytes.Equal(got, want) {
		r.t.Errorf("%s: birth %d is %+v with %d bytes, %v; want a %v with %d bytes", when, i, e, len(got), err, kind, len(want))
	}
}

// What a node said at its birth is read back as it came, from memory and from the file, wherever that went, as long as the event is.
func TestBirth(t *testing.T) {
	node, device := bytes.Repeat([]byte("Zone 1/Temperature in °C "), 400), []byte{0x12, 0x00, 0xff}
	r := newRig(t, Options{Raw: 48 * time.Hour, Minute: 40 * 24 * time.Hour})
	r.add(key(0), at(noon, 1))
	n := r.born(journal.NodeBirth, "", noon, node)
	d := r.born(journal.DeviceBirth, "d", noon, device)
	silent := r.born(journal.DeviceBirth, "silent", noon, nil)
	r.addEvent(death(noon.Add(time.Minute)))
	r.follow()
	died := r.s.applied
	both := func(when string) {
		t.Helper()
		r.wantBirth(when, n, journal.NodeBirth, node)
		r.wantBirth(when, d, journal.DeviceBirth, device)
		if e, _, err := r.s.Birth(t.Context(), silent); !errors.Is(err, ErrNotKept) || e.Device != "silent" {
			t.Errorf("%s: a birth without a payload: %+v, %v", when, e, err)
		}
		for _, i := range []journal.Index{0, died, died + 1} {
			if _, _, err := r.s.Birth(t.Context(), i); !errors.Is(err, ErrNoBirth) {
				t.Errorf("%s: index %d is no birth: %v", when, i, err)
			}
		}
		list, err := r.s.Events(t.Context(), EventQuery{Kinds: []journal.EventKind{journal.NodeBirth}})
		if err != nil || len(list) != 1 || list[0].Payload != nil {
			t.Errorf("%s: events %v, %v; want one, without its payload", when, list, err)
		}
	}
	both("in memory")
	r.crash()
	r.open()
	both("from the journal again")
	r.flush(flushAll)
	both("from the file")
	r.close()
	r.open()
	both("after a start")

	lateSamples := make([]journal.Sample, 40)
	for i := range lateSamples {
		lateSamples[i] = at(noon.Add(time.Duration(-i)*time.Minute), float64(i))
	}
	r.add(key(0), lateSamples...)
	r.follow()
	r.flush(flushAll)
	r.clock.Set(noon.Add(26 * time.Hour))
	r.s.lookAtClock()
	for range 3 {
		r.s.rewriteLate(t.Context())
	}
	if a := r.s.days.about(dayOf(ms(noon))); a.rewritten == 0 {
		t.Errorf("the day is not written anew: %+v", a)
	}
	both("in a day that was written anew")

	if _, err := r.s.salvage(r.s.days.get(dayOf(ms(noon)))); err != nil {
		t.Fatal(err)
	}
	both("in a day that was saved page by page")
	r.close()
}

// The payloads stay when the samples go, and go with the events.
func TestBirthOutlivesSamples(t *testing.T) {
	r := newRig(t, Options{Raw: 48 * time.Hour, Minute: 40 * 24 * time.Hour})
	r.add(key(0), at(noon, 1))
	said := []byte("what it said a month ago")
	n := r.born(journal.NodeBirth, "", noon, said)
	r.flush(flushAll)
	r.wait(30 * 24 * time.Hour)
	if samples, _ := r.kept(); samples != 0 {
		t.Fatalf("%d days have samples", samples)
	}
	r.wantBirth("a month later", n, journal.NodeBirth, said)
	r.wait(20 * 24 * time.Hour)
	if _, _, err := r.s.Birth(t.Context(), n); !errors.Is(err, ErrNoBirth) {
		t.Errorf("when the events are gone: %v", err)
	}
	r.close()
}

// A day has room for so many births of one node, and for so many bytes; equal payloads take it once.
func TestBirthsAreBounded(t *testing.T) {
	r := newRig(t, Options{})
	r.s.saidBytes = 10_000
	noise := rand.New(rand.NewPCG(1, 2))
	loud := make([]byte, 3000)
	for i := range loud {
		loud[i] = byte(noise.Uint32())
	}
	var same, other []journal.Index
	for i := range birthsKept + 2 {
		at := noon.Add(time.Duration(i) * time.Second)
		same = append(same, r.born(journal.NodeBirth, "", at, loud))
		if i < 4 {
			mine := bytes.Clone(loud)
			mine[0] = byte(i) ^ loud[0] ^ 0x80
			other = append(other, r.born(journal.DeviceBirth, fmt.Sprint("d", i), at, mine))
		}
		if i%5 == 0 {
			r.flush(flushAll)
		}
	}
	r.flush(flushAll)
	kept := func(list []journal.Index) (n int) {
		for _, i := range list {
			switch _, _, err := r.s.Birth(t.Context(), i); {
			case err == nil:
				n++
			case !errors.Is(err, ErrNotKept):
				t.Errorf("birth %d: %v", i, err)
			}
		}
		return n
	}
	if n := kept(same); n != birthsKept {
		t.Errorf("%d births of one node are kept, want %d", n, birthsKept)
	}
	if n := kept(other); n != 2 {
		t.Errorf("%d of 4 different payloads are kept beside one, want 2: 10,000 bytes hold three", n)
	}
	err := r.s.days.get(dayOf(ms(noon))).view(func(tx *bolt.Tx) error {
		if n := tx.Bucket(bucketSaid).Stats().KeyN; n != 3 {
			t.Errorf("%d payloads are stored, want 3", n)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	r.close()
}

// A payload that is not what was stored is an error of its own.
func TestDamagedBirth(t *testing.T) {
	r := newRig(t, Options{})
	n := r.born(journal.NodeBirth, "", noon, bytes.Repeat([]byte("said"), 100))
	r.flush(flushAll)
	err := r.s.days.get(dayOf(ms(noon))).update(func(tx *bolt.Tx) error {
		b := tx.Bucket(bucketSaid)
		k, _ := b.Cursor().First()
		row := pack(bytes.Repeat([]byte("lies"), 100))[saidHash:]
		return b.Put(bytes.Clone(k), row)
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, got, err := r.s.Birth(t.Context(), n); !errors.Is(err, errObject) {
		t.Errorf("%q, %v", got, err)
	}
	r.close()
}
