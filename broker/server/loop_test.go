package server

import (
	"testing"

	"edge/broker/brokertest"
)

// TestScriptsOnLoop runs the conversations of testdata over event loops.
func TestScriptsOnLoop(t *testing.T) {
	if !loopsHere {
		t.Skip("this system has no event loops")
	}
	brokertest.Run(t, "testdata/*.txt", func(t *testing.T) brokertest.Broker {
		r := (&rig{store: &brokertest.Store{}}).over(overLoops).start(t)
		return brokertest.Broker{Dial: r.dial, Advance: r.pass, Restart: r.restart}
	})
}
