package auth

import (
	"context"
	"errors"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"

	"edge/broker/packets"
)

func TestHashPassword(t *testing.T) {
	a, b := HashPassword([]byte("correct horse")), HashPassword([]byte("correct horse"))
	if a == b {
		t.Error("two hashes have the same salt")
	}
	h, err := parseHash(a)
	if err != nil {
		t.Fatal(err)
	}
	l := newLimiter()
	for password, want := range map[string]bool{"correct horse": true, "correct horsf": false, "": false} {
		if got, err := l.verify(context.Background(), h, []byte(password)); got != want || err != nil {
			t.Errorf("%q: %v, %v", password, got, err)
		}
	}
	// An unknown user costs what a known one costs.
	if h.memory != decoy.memory || h.passes != decoy.passes || h.threads != decoy.threads || len(h.key) != len(decoy.key) {
		t.Errorf("decoy %+v costs other than %+v", decoy, h)
	}
}

func TestParseHash(t *testing.T) {
	good := cheapHash("x")
	if _, err := parseHash(good); err != nil {
		t.Fatal(err)
	}
	for n := range good {
		if _, err := parseHash(good[:n]); err == nil && n < len(good)-22 { // a key of 16 bytes and more is a key
			t.Errorf("took %q", good[:n])
		}
	}
	for _, bad := range []string{"", "$", strings.Replace(good, "argon2id", "argon2i", 1), strings.Replace(good, "v=19", "v=16", 1),
		good + "$", strings.Replace(good, "t=1", "t=01", 1), strings.Replace(good, "t=1", "t=-1", 1)} {
		if _, err := parseHash(bad); err == nil {
			t.Errorf("took %q", bad)
		}
	}
}

// TestLimiter: half of the processors check, two at most; who waits goes with its context; beyond the bound it is busy.
func TestLimiter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, err := parseHash(cheapHash("x"))
		if err != nil {
			t.Fatal(err)
		}
		l := newLimiter()
		running := cap(l.running)
		if running < 1 || running > maxRunning || running > 1 && running > runtime.NumCPU()/2 {
			t.Errorf("%d checks at once on %d processors", running, runtime.NumCPU())
		}
		for range running { // that do not end
			l.running <- struct{}{}
			l.waiting <- struct{}{}
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, maxWaiting)
		for range maxWaiting - running {
			go func() { _, err := l.verify(ctx, h, []byte("x")); done <- err }()
		}
		synctest.Wait()
		if len(done) != 0 {
			t.Fatal("one check too many runs")
		}
		var busy *Refused
		if _, err := l.verify(ctx, h, nil); !errors.As(err, &busy) || busy.Code != packets.ServerBusy {
			t.Errorf("beyond the bound: %v", err)
		}
		<-l.running
		<-l.waiting // one of them ends, and everyone gets through one after the other
		for range maxWaiting - running {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
		l.running <- struct{}{}
		l.waiting <- struct{}{}
		go func() { _, err := l.verify(ctx, h, nil); done <- err }()
		synctest.Wait()
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("after its context: %v", err)
		}
		if len(l.waiting) != running {
			t.Errorf("%d tokens are out", len(l.waiting))
		}
	})
}
