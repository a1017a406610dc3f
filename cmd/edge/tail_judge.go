package main

import (
	"io"
	"time"
)

func newJudge(w io.Writer) func(topic string, payload []byte, retain bool, at time.Time) { return nil }
