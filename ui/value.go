package ui

import (
	"encoding/json"
	"errors"
	"math"
	"time"

	"edge/historian/journal"
	"edge/sparkplug"
)

// journalValue is a recorded value as the Sparkplug packages know it, which is also how it is shown.
func journalValue(v journal.Value) sparkplug.Value {
	return sparkplug.Value{Type: sparkplug.DataType(v.Type), Null: v.Null, Num: v.Num, Bytes: v.Bytes}
}

func timeOf(m journal.Millis) time.Time { return time.UnixMilli(int64(m)) }

// parseValue reads a value that is to be written to a metric of type t. It refuses NaN and infinities:
// no setpoint is meant to be one.
func parseValue(t sparkplug.DataType, raw json.RawMessage) (sparkplug.Value, error) {
	if len(raw) == 0 {
		return sparkplug.Value{}, errors.New("there is none")
	}
	v, err := sparkplug.ParseJSON(t, raw)
	if err != nil {
		return v, err
	}
	if f, ok := (journal.Value{Type: journal.DataType(v.Type), Num: v.Num}).Float64(); ok && (math.IsNaN(f) || math.IsInf(f, 0)) {
		return v, errors.New("must be a finite number")
	}
	return v, nil
}
