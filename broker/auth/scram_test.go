package auth

import (
	"bytes"
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"strconv"
	"strings"
	"testing"

	"github.com/xdg-go/scram"
	"pgregory.net/rapid"
)

// The example of RFC 7677, section 3: user "user", password "pencil".
const (
	rfcClientFirst = "n,,n=user,r=rOprNGfwEbeRWgbNEkqO"
	rfcServerNonce = "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
	rfcServerFirst = "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
	rfcClientFinal = "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
	rfcServerFinal = "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="
)

func rfcVerifier(t testing.TB) *verifier {
	t.Helper()
	salt, err := base64.StdEncoding.DecodeString("W22ZaJ0SNY7soEsUEjb6gQ==")
	if err != nil {
		t.Fatal(err)
	}
	v, err := newVerifier("pencil", salt, 4096)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// rfcServer is the server of the example; it knows "user" and no other.
func rfcServer(t testing.TB) *scramServer {
	v := rfcVerifier(t)
	return &scramServer{
		lookup: func(user string) (*verifier, bool) { return v, user == "user" },
		nonce:  func() string { return rfcServerNonce },
	}
}

func TestScramExample(t *testing.T) {
	s := rfcServer(t)
	if got, err := s.first([]byte(rfcClientFirst)); got != rfcServerFirst || err != nil {
		t.Fatalf("server-first %q, %v", got, err)
	}
	if got, err := s.final([]byte(rfcClientFinal)); got != rfcServerFinal || err != nil {
		t.Fatalf("server-final %q, %v", got, err)
	}
}

func TestScramFirst(t *testing.T) {
	long := strings.Repeat("x", maxScramNonce)
	tests := []struct{ name, message, want string }{ // want: part of the error; empty: taken
		{"the example", rfcClientFirst, ""},
		{"client that could bind the channel", "y,,n=user,r=abc", ""},
		{"acts for itself", "n,a=user,n=user,r=abc", ""},
		{"optional extension", "n,,n=user,r=abc,x=1,y=2", ""},
		{"escaped comma and equals sign", "n,,n=a=2Cb=3Dc,r=abc", ""},
		{"nonce as long as taken", "n,,n=user,r=" + long, ""},
		{"UTF-8", "n,,n=Ofen-Öl,r=abc", ""},
		{"channel binding", "p=tls-exporter,,n=user,r=abc", "channel binding is not offered"},
		{"acts for another", "n,a=root,n=user,r=abc", "act for another"},
		{"empty", "", "GS2 header"},
		{"no header", "n=user,r=abc", "GS2 header"},
		{"unknown flag", "z,,n=user,r=abc", "GS2 header"},
		{"header cut off", "n,", "GS2 header"},
		{"empty authorization identity", "n,a=,n=user,r=abc", "GS2 header"},
		{"authorization identity without a=", "n,user,n=user,r=abc", "GS2 header"},
		{"nothing behind the header", "n,,", "no user name or no nonce"},
		{"no nonce", "n,,n=user", "no user name or no nonce"},
		{"empty user name", "n,,n=,r=abc", "no n="},
		{"empty nonce", "n,,n=user,r=", "no r="},
		{"other order", "n,,r=abc,n=user", "no n="},
		{"mandatory extension", "n,,m=x,n=user,r=abc", "no n="},
		{"mandatory extension at the end", "n,,n=user,r=abc,m=x", "mandatory"},
		{"extension that is none", "n,,n=user,r=abc,,", "an extension is not"},
		{"bad escape", "n,,n=a=2cb,r=abc", "neither =2C nor =3D"},
		{"bare equals sign", "n,,n=a=,r=abc", "neither =2C nor =3D"},
		{"escape made of escapes", "n,,n=a=2=2CC,r=abc", "neither =2C nor =3D"},
		{"space in the nonce", "n,,n=user,r=a c", "printable ASCII"},
		{"nonce not in ASCII", "n,,n=user,r=ü", "printable ASCII"},
		{"nonce too long", "n,,n=user,r=x" + long, "too long"},
		{"message too long", "n,,n=" + strings.Repeat("u", maxScramMessage) + ",r=abc", "at most"},
		{"NUL", "n,,n=us\x00er,r=abc", "NUL"},
		{"not UTF-8", "n,,n=us\xffer,r=abc", "not UTF-8"},
		{"control character", "n,,n=us\x01er,r=abc", "control character"},
	}
	for _, c := range tests {
		t.Run(c.name, func(t *testing.T) {
			answer, err := rfcServer(t).first([]byte(c.message))
			if c.want == "" && (err != nil || !strings.Contains(answer, rfcServerNonce)) {
				t.Errorf("%q, %v", answer, err)
			}
			if c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want) || answer != "") {
				t.Errorf("%q, %v; want %q", answer, err, c.want)
			}
		})
	}
}

func TestScramFinal(t *testing.T) {
	nonce := "r=rOprNGfwEbeRWgbNEkqO" + rfcServerNonce
	proof := rfcClientFinal[strings.LastIndex(rfcClientFinal, ",p="):]
	tests := []struct{ name, first, message, want string }{
		{"wrong proof", rfcClientFirst, strings.Replace(rfcClientFinal, "p=d", "p=e", 1), errProof.Error()},
		{"unknown user with a proof that fits", strings.Replace(rfcClientFirst, "user", "nobody", 1), "", errProof.Error()},
		{"other channel binding", rfcClientFirst, "c=eSws," + nonce + proof, "channel binding"},
		{"flag changed on the way", "y,,n=user,r=rOprNGfwEbeRWgbNEkqO", rfcClientFinal, "channel binding"},
		{"channel binding not base64", rfcClientFirst, "c=!," + nonce + proof, "channel binding"},
		{"nonce of the client only", rfcClientFirst, "c=biws,r=rOprNGfwEbeRWgbNEkqO" + proof, "nonce"},
		{"nonce of another exchange", rfcClientFirst, "c=biws,r=other" + proof, "nonce"},
		{"no nonce", rfcClientFirst, "c=biws" + proof, "no nonce"},
		{"no channel binding", rfcClientFirst, nonce + ",x=1" + proof, "no c="},
		{"nonce elsewhere", rfcClientFirst, "c=biws,x=1," + nonce + proof, "no r="},
		{"no proof", rfcClientFirst, "c=biws," + nonce, "no proof"},
		{"short proof", rfcClientFirst, "c=biws," + nonce + ",p=AAAA", "32 bytes"},
		{"proof not base64", rfcClientFirst, "c=biws," + nonce + ",p=*", "32 bytes"},
		{"bytes behind the proof", rfcClientFirst, rfcClientFinal + ",x=1", "32 bytes"},
		{"mandatory extension", rfcClientFirst, "c=biws," + nonce + ",m=1" + proof, "mandatory"},
		{"empty", rfcClientFirst, "", "no proof"},
		{"too long", rfcClientFirst, rfcClientFinal + strings.Repeat("x", maxScramMessage), "at most"},
	}
	for _, c := range tests {
		t.Run(c.name, func(t *testing.T) {
			s := rfcServer(t)
			answer, err := s.first([]byte(c.first))
			if err != nil {
				t.Fatal(err)
			}
			if c.message == "" && c.want == errProof.Error() {
				c.message = prove("pencil", c.first[len("n,,"):], answer)
			}
			if got, err := s.final([]byte(c.message)); err == nil || !strings.Contains(err.Error(), c.want) || got != "" {
				t.Errorf("%q, %v; want %q", got, err, c.want)
			}
		})
	}
}

// prove is the client's half by section 3 of RFC 5802, without channel binding: its client-final.
func prove(password, bareFirst, serverFirst string) string {
	fields := strings.Split(serverFirst, ",")
	salt, _ := base64.StdEncoding.DecodeString(fields[1][2:])
	iterations, _ := strconv.Atoi(fields[2][2:])
	sum := func(key []byte, text string) []byte {
		h := hmac.New(sha256.New, key)
		h.Write([]byte(text))
		return h.Sum(nil)
	}
	salted, _ := pbkdf2.Key(sha256.New, password, salt, iterations, sha256.Size)
	clientKey := sum(salted, "Client Key")
	storedKey := sha256.Sum256(clientKey)
	bare := "c=biws," + fields[0]
	signature := sum(storedKey[:], bareFirst+","+serverFirst+","+bare)
	for i := range signature {
		signature[i] ^= clientKey[i]
	}
	return bare + ",p=" + base64.StdEncoding.EncodeToString(signature)
}

// TestProve anchors the client of these tests in the example.
func TestProve(t *testing.T) {
	if got := prove("pencil", rfcClientFirst[len("n,,"):], rfcServerFirst); got != rfcClientFinal {
		t.Errorf("client-final %q", got)
	}
}

// TestScramWithAnotherClient: a client written by others logs in, knows us for the right server, and fails with another
// password, whatever characters are in it.
func TestScramWithAnotherClient(t *testing.T) {
	for _, c := range []struct{ name, user, password, typed string }{
		{"ASCII", "press", "correct horse battery", ""},
		{"comma and equals sign", "a,b=c,=2C", "p,=,", ""},
		{"umlauts, composed here and not there", "öfen", "Zürich-Öl-Ärger", "Zu\u0308rich-O\u0308l-A\u0308rger"},
		{"spaces of other kinds", "press", "ideographic\u3000space", "ideographic space"},
		{"soft hyphen", "press", "soft\u00adhyphen", "softhyphen"},
		{"roman numeral", "Ⅳ", "Ⅸ lives", "IX lives"},
		{"Hebrew", "שלום", "סיסמה ארוכה", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			text, err := ScramVerifier([]byte(c.password), MinIterations)
			if err != nil {
				t.Fatal(err)
			}
			v, err := parseVerifier(text)
			if err != nil {
				t.Fatal(err)
			}
			user, err := saslprep(c.user)
			if err != nil {
				t.Fatal(err)
			}
			typed := c.typed
			if typed == "" {
				typed = c.password
			}
			for password, right := range map[string]bool{typed: true, typed + typed: false} {
				client, err := scram.SHA256.NewClient(c.user, password, "")
				if err != nil {
					t.Fatalf("the other client refuses this password: %v", err)
				}
				s := &scramServer{lookup: func(u string) (*verifier, bool) { return v, u == user }, nonce: newNonce}
				talk := client.NewConversation()
				first, err := talk.Step("")
				if err != nil {
					t.Fatal(err)
				}
				answer, err := s.first([]byte(first))
				if err != nil {
					t.Fatal(err)
				}
				final, err := talk.Step(answer)
				if err != nil {
					t.Fatal(err)
				}
				answer, err = s.final([]byte(final))
				if !right {
					if !errors.Is(err, errProof) {
						t.Errorf("another password: %q, %v", answer, err)
					}
					continue
				}
				if err != nil {
					t.Fatal(err)
				}
				if _, err := talk.Step(answer); err != nil || !talk.Valid() {
					t.Errorf("the client does not know the server: %v", err)
				}
			}
		})
	}
}

// TestScramAnyMessages: whatever two messages come, nobody is let in who has not proved that it knows the password, and
// what is answered is bounded.
func TestScramAnyMessages(t *testing.T) {
	v := rfcVerifier(t)
	rapid.Check(t, func(t *rapid.T) {
		mutate := func(s string, label string) []byte {
			b := []byte(s)
			for range rapid.IntRange(0, 4).Draw(t, label) {
				at := rapid.IntRange(0, len(b)).Draw(t, "at")
				piece := rapid.SampledFrom([]string{"", ",", "=", "n=", "r=", "c=", "p=", "m=x", ",,", "\x00", "\xff", "=2C", "A", "user"}).Draw(t, "piece")
				cut := rapid.IntRange(at, min(len(b), at+3)).Draw(t, "to")
				b = append(append(bytes.Clone(b[:at]), piece...), b[cut:]...)
			}
			return b
		}
		s := &scramServer{lookup: func(u string) (*verifier, bool) { return v, u == "user" }, nonce: func() string { return rfcServerNonce }}
		first := mutate(rfcClientFirst, "first")
		answer, err := s.first(first)
		if err != nil {
			return
		}
		if len(answer) > len(first)+len(rfcServerFirst) {
			t.Fatalf("an answer of %d bytes", len(answer))
		}
		final := mutate(rfcClientFinal, "final")
		if got, err := s.final(final); err == nil && (string(first) != rfcClientFirst || string(final) != rfcClientFinal || got != rfcServerFinal) {
			t.Fatalf("let in with %q and %q", first, final)
		}
	})
}

func FuzzScram(f *testing.F) {
	f.Add([]byte(rfcClientFirst), []byte(rfcClientFinal))
	f.Add([]byte("y,a=a=2Cb,n=a=2Cb,r=x,e=1"), []byte("c=eSxhPWE9MkNiLA==,r=x"+rfcServerNonce+",p="+strings.Repeat("A", 43)+"="))
	f.Add([]byte("p=tls-unique,,n=user,r=x"), []byte("c=,r=,p="))
	v := rfcVerifier(f)
	f.Fuzz(func(t *testing.T, first, final []byte) {
		s := &scramServer{lookup: func(string) (*verifier, bool) { return v, true }, nonce: func() string { return rfcServerNonce }}
		answer, err := s.first(first)
		if len(answer) > maxScramMessage+len(rfcServerFirst) || (err == nil) != (answer != "") {
			t.Fatalf("answer of %d bytes, %v", len(answer), err)
		}
		if err != nil {
			return
		}
		if got, err := s.final(final); err == nil && got == "" || err != nil && got != "" {
			t.Fatalf("%q, %v", got, err)
		}
	})
}

func TestVerifier(t *testing.T) {
	a, err := ScramVerifier([]byte("correct horse"), DefaultIterations)
	if err != nil {
		t.Fatal(err)
	}
	if b, _ := ScramVerifier([]byte("correct horse"), DefaultIterations); a == b {
		t.Error("two verifiers have the same salt")
	}
	if v, err := parseVerifier(a); err != nil || v.String() != a {
		t.Errorf("%v, %v; want %s", v, err, a)
	}
	for n := range a {
		if _, err := parseVerifier(a[:n]); err == nil {
			t.Errorf("took %q", a[:n])
		}
	}
	key := strings.Repeat("A", 43) + "="
	for _, bad := range []string{
		"", "$$", "SCRAM-SHA-1" + a[len("SCRAM-SHA-256"):], a + "$", a + "A",
		strings.Replace(a, "$15000:", "$4095:", 1), strings.Replace(a, "$15000:", "$10000001:", 1), strings.Replace(a, "$15000:", "$015000:", 1),
		strings.Replace(a, "$15000:", "$-15000:", 1), strings.Replace(a, "$15000:", "$:", 1),
		"SCRAM-SHA-256$4096:AAAA$" + key + ":" + key, "SCRAM-SHA-256$4096:" + strings.Repeat("AAAA", 22) + "$" + key + ":" + key,
		"SCRAM-SHA-256$4096:AAAAAAAAAAAAAAAAAAAAAA==$" + key, "SCRAM-SHA-256$4096:AAAAAAAAAAAAAAAAAAAAAA==$" + key + ":AAAA",
	} {
		if v, err := parseVerifier(bad); err == nil {
			t.Errorf("took %q: %+v", bad, v)
		}
	}
	for _, n := range []int{0, MinIterations - 1, MaxIterations + 1} {
		if _, err := ScramVerifier([]byte("correct horse"), n); err == nil {
			t.Errorf("took %d iterations", n)
		}
	}
}

func BenchmarkScramExchange(b *testing.B) {
	v := rfcVerifier(b)
	b.ReportAllocs()
	for b.Loop() {
		s := &scramServer{lookup: func(string) (*verifier, bool) { return v, true }, nonce: func() string { return rfcServerNonce }}
		s.first([]byte(rfcClientFirst))
		if _, err := s.final([]byte(rfcClientFinal)); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkScramKey is what the client pays at each login, and edge user once.
func BenchmarkScramKey(b *testing.B) {
	for b.Loop() {
		if _, err := newVerifier("correct horse", make([]byte, 16), DefaultIterations); err != nil {
			b.Fatal(err)
		}
	}
}
