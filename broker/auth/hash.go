package auth

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"runtime"
	"strings"

	"golang.org/x/crypto/argon2"

	"edge/broker/packets"
)

// hash is an argon2id hash of a password.
type hash struct {
	memory  uint32 // KiB
	passes  uint32
	threads uint8
	salt    []byte
	key     []byte
}

// What HashPassword writes, and the most that a file may ask for. Two checks at once then need at most 128 MiB.
const (
	hashMemory, maxHashMemory = 19 * 1024, 64 * 1024 // KiB
	hashPasses, maxHashPasses = 2, 16
	hashThreads               = 1
	saltBytes, keyBytes       = 16, 32
)

// decoy stands in for the hash of a user that does not exist; no password fits it.
var decoy = &hash{memory: hashMemory, passes: hashPasses, threads: hashThreads,
	salt: make([]byte, saltBytes), key: make([]byte, keyBytes)}

// HashPassword returns password's argon2id hash with a fresh salt as a PHC string,
// "$argon2id$v=19$m=19456,t=2,p=1$salt$key".
func HashPassword(password []byte) string {
	salt := make([]byte, saltBytes)
	rand.Read(salt) // never fails: crypto/rand ends the program instead
	key := argon2.IDKey(password, salt, hashPasses, hashMemory, hashThreads, keyBytes)
	b64 := base64.RawStdEncoding
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, hashMemory, hashPasses, hashThreads,
		b64.EncodeToString(salt), b64.EncodeToString(key))
}

// parseHash reads a PHC string of argon2id, within the bounds above.
func parseHash(s string) (*hash, error) {
	parts := strings.Split(s, "$")
	if len(parts) != 6 || parts[0] != "" || parts[1] != "argon2id" || parts[2] != fmt.Sprintf("v=%d", argon2.Version) {
		return nil, errors.New("not an argon2id hash; set the password again with edge user passwd")
	}
	h := new(hash)
	_, err := fmt.Sscanf(parts[3], "m=%d,t=%d,p=%d", &h.memory, &h.passes, &h.threads)
	if err != nil || fmt.Sprintf("m=%d,t=%d,p=%d", h.memory, h.passes, h.threads) != parts[3] {
		return nil, errors.New("parameters of the hash are not m=…,t=…,p=…")
	}
	if h.threads < 1 || h.threads > 4 || h.passes < 1 || h.passes > maxHashPasses ||
		h.memory < 8*uint32(h.threads) || h.memory > maxHashMemory {
		return nil, errors.New("parameters of the hash are out of bounds")
	}
	var saltErr, keyErr error
	h.salt, saltErr = base64.RawStdEncoding.Strict().DecodeString(parts[4])
	h.key, keyErr = base64.RawStdEncoding.Strict().DecodeString(parts[5])
	if saltErr != nil || keyErr != nil || len(h.salt) < 8 || len(h.salt) > 64 || len(h.key) < 16 || len(h.key) > 64 {
		return nil, errors.New("salt or key of the hash is cut off or not base64")
	}
	return h, nil
}

// limiter lets few password checks run and some thirty wait: a flood of logins leaves half of the processors to those who
// are in, and who comes behind it is told that the server is busy instead of waiting without end.
type limiter struct {
	running chan struct{} // holds a token per running check
	waiting chan struct{} // holds a token per check that runs or waits
}

// maxRunning is bounded by memory, maxWaiting counts those that run too.
const maxRunning, maxWaiting = 2, 32

func newLimiter() *limiter {
	running := max(1, min(maxRunning, runtime.NumCPU()/2))
	return &limiter{running: make(chan struct{}, running), waiting: make(chan struct{}, maxWaiting)}
}

// verify reports whether password is the one of h. It waits for its turn until ctx ends.
func (l *limiter) verify(ctx context.Context, h *hash, password []byte) (bool, error) {
	select {
	case l.waiting <- struct{}{}:
		defer func() { <-l.waiting }()
	default:
		return false, &Refused{packets.ServerBusy, ReasonBusy, "too many logins at once"}
	}
	select {
	case l.running <- struct{}{}:
		defer func() { <-l.running }()
	case <-ctx.Done():
		return false, fmt.Errorf("wait to check the password: %w", ctx.Err())
	}
	key := argon2.IDKey(password, h.salt, h.passes, h.memory, h.threads, uint32(len(h.key)))
	return subtle.ConstantTimeCompare(key, h.key) == 1, nil
}
