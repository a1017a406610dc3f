package main

import (
	"fmt"
	"io"

	"edge/sparkplug/observe"
)

// judge tells what the assertions of Sparkplug say of the messages seen. What repeats is told the first time and then
// every hundredth.
type judge struct {
	observer *observe.Observer
	w        io.Writer
	silent   bool            // nothing is told to w
	told     map[finding]int // at most maxFindings
}

type finding struct{ topic, id string }

// maxFindings bounds the findings that are counted; those beyond are told each time.
const maxFindings = 10_000

func newJudge(w io.Writer) *judge {
	return &judge{observer: observe.New(observe.Options{}), w: w, told: map[finding]int{}}
}

// message returns what is found in m.
func (j *judge) message(m observe.Message) (found []tailFinding) {
	for _, f := range j.observer.Message(m) {
		found = append(found, tailFinding{ID: f.ID, Text: f.Text})
		if j.silent {
			continue
		}
		key := finding{f.Topic, f.ID}
		n := j.told[key] + 1
		if n > 1 || len(j.told) < maxFindings {
			j.told[key] = n
		}
		switch {
		case n == 1:
			fmt.Fprintf(j.w, "%s %s %s: %s\n", f.At.Local().Format("15:04:05.000"), f.ID, safe(f.Topic), printable(f.Text))
		case n%100 == 0:
			fmt.Fprintf(j.w, "%s %s %s: seen %d times\n", f.At.Local().Format("15:04:05.000"), f.ID, safe(f.Topic), n)
		}
	}
	return found
}
