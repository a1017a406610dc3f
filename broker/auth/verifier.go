package auth

import (
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// ScramSHA256 is the one authentication method: MQTT's name for it is SASL's.
const ScramSHA256 = "SCRAM-SHA-256"

// DefaultIterations is what deriving a SCRAM key costs, and MinIterations the least that is taken (RFC 7677, section 4). The
// client pays it at each login, inside the deadline for CONNECT: 15,000 take a small controller about 2 s and a PC
// 5 ms. The server pays it when the password is set.
const (
	MinIterations, DefaultIterations, MaxIterations = 4096, 15_000, 10_000_000

	minScramSalt, maxScramSalt = 8, 64
)

// verifier is what the server knows of a password for SCRAM: enough to check who knows it, not enough to log in elsewhere.
type verifier struct {
	iterations           int
	salt                 []byte
	storedKey, serverKey [sha256.Size]byte
}

// ScramVerifier derives the verifier of password with a fresh salt, as the text of RFC 5803,
// "SCRAM-SHA-256$15000:salt$StoredKey:ServerKey". It refuses a password that cannot be prepared, as SASLprep says
// (RFC 4013), and iterations out of bounds.
func ScramVerifier(password []byte, iterations int) (string, error) {
	if iterations < MinIterations || iterations > MaxIterations {
		return "", fmt.Errorf("%d iterations: SCRAM takes %d to %d", iterations, MinIterations, MaxIterations)
	}
	prepared, err := saslprep(string(password))
	if err != nil {
		return "", fmt.Errorf("the password cannot be used with SCRAM: %w", err)
	}
	salt := make([]byte, saltBytes)
	rand.Read(salt) // never fails: crypto/rand ends the program instead
	v, err := newVerifier(prepared, salt, iterations)
	if err != nil {
		return "", err
	}
	return v.String(), nil
}

// newVerifier is section 3 of RFC 5802.
func newVerifier(prepared string, salt []byte, iterations int) (*verifier, error) {
	salted, err := pbkdf2.Key(sha256.New, prepared, salt, iterations, sha256.Size)
	if err != nil {
		return nil, fmt.Errorf("derive a key: %w", err)
	}
	clientKey := mac(salted, "Client Key")
	return &verifier{iterations: iterations, salt: salt, storedKey: sha256.Sum256(clientKey[:]), serverKey: mac(salted, "Server Key")}, nil
}

func mac(key []byte, text string) (sum [sha256.Size]byte) {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(text))
	h.Sum(sum[:0])
	return sum
}

var b64 = base64.StdEncoding.Strict()

func (v *verifier) String() string {
	return fmt.Sprintf("%s$%d:%s$%s:%s", ScramSHA256, v.iterations, b64.EncodeToString(v.salt),
		b64.EncodeToString(v.storedKey[:]), b64.EncodeToString(v.serverKey[:]))
}

// parseVerifier reads what ScramVerifier wrote.
func parseVerifier(s string) (*verifier, error) {
	fields := strings.Split(s, "$")
	if len(fields) != 3 || fields[0] != ScramSHA256 {
		return nil, errors.New("not a SCRAM-SHA-256 verifier; set the password again with edge user passwd")
	}
	iterations, salt, _ := strings.Cut(fields[1], ":")
	stored, server, _ := strings.Cut(fields[2], ":")
	v := new(verifier)
	var err error
	if v.iterations, err = strconv.Atoi(iterations); err != nil || strconv.Itoa(v.iterations) != iterations ||
		v.iterations < MinIterations || v.iterations > MaxIterations {
		return nil, fmt.Errorf("iterations of the SCRAM verifier are not %d to %d", MinIterations, MaxIterations)
	}
	if v.salt, err = b64.DecodeString(salt); err != nil || len(v.salt) < minScramSalt || len(v.salt) > maxScramSalt {
		return nil, errors.New("salt of the SCRAM verifier is cut off or not base64")
	}
	if !decodeKey(&v.storedKey, stored) || !decodeKey(&v.serverKey, server) {
		return nil, errors.New("a key of the SCRAM verifier is cut off or not base64")
	}
	return v, nil
}

func decodeKey(into *[sha256.Size]byte, s string) bool {
	key, err := b64.DecodeString(s)
	return err == nil && copy(into[:], key) == sha256.Size && len(key) == sha256.Size
}
