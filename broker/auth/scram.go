package auth

import (
	"bytes"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"strings"
)

// scramServer is the server's half of one SCRAM-SHA-256 exchange (RFC 5802, RFC 7677).
//
//	client-first  n,,n=user,r=nonce          ─► first ─► server-first  r=nonce+ours,s=salt,i=iterations
//	client-final  c=biws,r=nonce+ours,p=proof ─► final ─► server-final  v=signature
//
// It is pure but for the nonce, waits for nothing and costs some microseconds: the client derives the key.
type scramServer struct {
	lookup func(user string) (v *verifier, known bool) // a verifier that nothing fits if known is false
	nonce  func() string                               // printable ASCII without a comma

	user      string // prepared
	verifier  *verifier
	known     bool
	gs2Header string // as sent: client-final repeats it
	bareFirst string // client-first without the header
	answer    string // server-first
	fullNonce string
}

// maxScramMessage bounds a message of the client: a user name of 128 bytes, escaped, and a nonce that is longer
// than anyone's fit well.
const maxScramMessage, maxScramNonce = 2048, 512

func newNonce() string { return rand.Text() } // 130 bits

// errProof says that the client does not know the password.
var errProof = errors.New("unknown user or wrong password")

// first takes client-first and returns server-first.
func (s *scramServer) first(message []byte) (string, error) {
	text, err := scramText(message)
	if err != nil {
		return "", err
	}
	if s.gs2Header, s.bareFirst, err = cutHeader(text); err != nil {
		return "", err
	}
	fields := strings.Split(s.bareFirst, ",")
	if len(fields) < 2 {
		return "", errors.New("client-first has no user name or no nonce")
	}
	name, err := attribute(fields[0], 'n') // m=, a mandatory extension, is refused here
	if err != nil {
		return "", err
	}
	nonce, err := attribute(fields[1], 'r')
	if err != nil {
		return "", err
	}
	if err := errors.Join(checkNonce(nonce), checkExtensions(fields[2:])); err != nil {
		return "", err
	}
	if s.user, err = decodeName(name); err != nil {
		return "", err
	}
	if authzid := strings.TrimPrefix(strings.Split(s.gs2Header, ",")[1], "a="); authzid != "" && authzid != name {
		return "", errors.New("nobody may act for another user (a=)")
	}
	s.verifier, s.known = s.lookup(s.user)
	s.fullNonce = nonce + s.nonce()
	s.answer = fmt.Sprintf("r=%s,s=%s,i=%d", s.fullNonce, b64.EncodeToString(s.verifier.salt), s.verifier.iterations)
	return s.answer, nil
}

// final takes client-final and returns server-final; errProof if the client does not know the password.
func (s *scramServer) final(message []byte) (string, error) {
	text, err := scramText(message)
	if err != nil {
		return "", err
	}
	at := strings.LastIndex(text, ",p=")
	if at < 0 {
		return "", errors.New("client-final has no proof at its end")
	}
	bare := text[:at]
	proof, err := b64.DecodeString(text[at+len(",p="):])
	if err != nil || len(proof) != sha256.Size {
		return "", errors.New("the proof is not 32 bytes in base64")
	}
	fields := strings.Split(bare, ",")
	if len(fields) < 2 {
		return "", errors.New("client-final has no channel binding or no nonce")
	}
	binding, err := attribute(fields[0], 'c')
	if err != nil {
		return "", err
	}
	nonce, err := attribute(fields[1], 'r')
	if err != nil {
		return "", err
	}
	if err := checkExtensions(fields[2:]); err != nil {
		return "", err
	}
	if header, err := b64.DecodeString(binding); err != nil || string(header) != s.gs2Header {
		return "", errors.New("the channel binding is not that of client-first")
	}
	if nonce != s.fullNonce {
		return "", errors.New("the nonce is not the one of this exchange")
	}
	all := s.bareFirst + "," + s.answer + "," + bare
	if !s.verifier.proves(all, proof) || !s.known {
		return "", errProof
	}
	signature := mac(s.verifier.serverKey[:], all)
	return "v=" + b64.EncodeToString(signature[:]), nil
}

// proves reports whether proof was made with the client key, over the text of the exchange.
func (v *verifier) proves(all string, proof []byte) bool {
	key := mac(v.storedKey[:], all)
	subtle.XORBytes(key[:], key[:], proof)
	stored := sha256.Sum256(key[:])
	return hmac.Equal(stored[:], v.storedKey[:])
}

// scramText bounds a message. It is UTF-8 without NUL.
func scramText(message []byte) (string, error) {
	if len(message) > maxScramMessage {
		return "", fmt.Errorf("a message of %d bytes, at most %d are taken", len(message), maxScramMessage)
	}
	if bytes.IndexByte(message, 0) >= 0 {
		return "", errors.New("NUL in a message")
	}
	return string(message), nil
}

// cutHeader splits client-first behind its GS2 header, "n,," or "y,,", with an authorization identity between the commas.
// "p=…" asks for channel binding, which is not offered.
func cutHeader(text string) (header, bare string, err error) {
	flag, rest, _ := strings.Cut(text, ",")
	authzid, bare, whole := strings.Cut(rest, ",")
	switch {
	case strings.HasPrefix(flag, "p="):
		return "", "", errors.New("channel binding is not offered: use SCRAM-SHA-256 without it (n,, or y,,)")
	case flag != "n" && flag != "y" || !whole || authzid != "" && (!strings.HasPrefix(authzid, "a=") || authzid == "a="):
		return "", "", errors.New("client-first does not begin with a GS2 header (n,, or y,,)")
	}
	return text[:len(text)-len(bare)], bare, nil
}

// attribute returns the value of a field that must have that name.
func attribute(field string, name byte) (string, error) {
	if len(field) < 3 || field[0] != name || field[1] != '=' {
		return "", fmt.Errorf("no %c= where it belongs", name)
	}
	return field[2:], nil
}

func checkNonce(nonce string) error {
	if len(nonce) > maxScramNonce {
		return errors.New("the nonce is too long")
	}
	for _, b := range []byte(nonce) {
		if b <= ' ' || b > '~' {
			return errors.New("the nonce is not printable ASCII")
		}
	}
	return nil
}

// checkExtensions lets optional extensions pass, as RFC 5802 asks, and looks at nothing but their form.
func checkExtensions(fields []string) error {
	for _, f := range fields {
		if len(f) < 3 || f[1] != '=' || f[0]|0x20 < 'a' || f[0]|0x20 > 'z' || f[0] == 'm' {
			return errors.New("an extension is not letter=value, or is mandatory")
		}
	}
	return nil
}

// decodeName undoes the escapes of a user name, =2C and =3D, and prepares it.
func decodeName(s string) (string, error) {
	if strings.Contains(strings.NewReplacer("=2C", "", "=3D", "").Replace(s), "=") {
		return "", errors.New("= in the user name is neither =2C nor =3D")
	}
	name, err := saslprep(strings.NewReplacer("=2C", ",", "=3D", "=").Replace(s))
	if err != nil {
		return "", fmt.Errorf("user name: %w", err)
	}
	return name, nil
}
