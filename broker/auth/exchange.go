package auth

import (
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"

	"edge/broker/packets"
)

// Exchange is an enhanced authentication under way (MQTT 5.0, section 4.12). One goroutine at a time steps it.
type Exchange interface {
	// Step takes the data of the client's CONNECT or AUTH, nil if there is none, and returns the data to
	// answer with. id is nil while the client has to say more; then it is who the client is, and the exchange is over. So it
	// is after an error, which is a *Refused. Step does not wait.
	Step(data []byte) (answer []byte, id *Identity, err error)

	// User is the name that the client gives itself, empty until it has. Nothing is proved by it.
	User() string
}

// Begin begins the exchange that method names, for a client that asks for req. Its Username and Password may be empty; a
// user name must be that of the exchange.
func (p *Policy) Begin(method string, req ConnectRequest) (Exchange, error) {
	if method != ScramSHA256 {
		return nil, &Refused{packets.BadAuthenticationMethod, ReasonMethod, "the authentication method is not " + ScramSHA256}
	}
	req.Password = nil
	x := &scramExchange{policy: p, req: req}
	x.scram = scramServer{lookup: p.verifier, nonce: newNonce}
	return x, nil
}

// scramExchange is SCRAM for a policy.
type scramExchange struct {
	policy *Policy
	req    ConnectRequest
	scram  scramServer
	at     int // the messages taken
	asked  bool
}

func (x *scramExchange) Step(data []byte) ([]byte, *Identity, error) {
	x.at++
	switch {
	case x.at == 1 && len(data) == 0 && !x.asked: // the client waits to be asked
		x.at, x.asked = 0, true
		return nil, nil, nil
	case x.at == 1:
		answer, err := x.scram.first(data)
		return []byte(answer), nil, x.refused(err)
	case x.at == 2:
		answer, err := x.scram.final(data)
		if err != nil {
			return nil, nil, x.refused(err)
		}
		id, err := x.policy.admitUser(x.policy.byName[x.scram.user], x.req)
		if err != nil {
			return nil, nil, err
		}
		return []byte(answer), &id, nil
	}
	return nil, nil, &Refused{packets.NotAuthorized, ReasonExchange, "the exchange is over"}
}

func (x *scramExchange) User() string { return x.scram.user }

// refused makes a *Refused of what scram said, and ends the exchange. An unknown user, a wrong password and a user without a
// verifier look the same to the client; the log tells the last.
func (x *scramExchange) refused(err error) error {
	if err == nil {
		return nil
	}
	x.at = 2
	if !errors.Is(err, errProof) {
		return &Refused{packets.NotAuthorized, ReasonExchange, err.Error()}
	}
	if u := x.policy.byName[x.scram.user]; u != nil && u.scram == nil {
		return &Refused{packets.BadUserNameOrPassword, ReasonNoVerifier,
			fmt.Sprintf("user %q has no SCRAM verifier; set the password again: edge user passwd %s", u.Name, u.Name)}
	}
	return &Refused{packets.BadUserNameOrPassword, ReasonBadLogin, err.Error()}
}

// admitUser decides what Connect decides, for a user that has proved who it is.
func (p *Policy) admitUser(u *user, req ConnectRequest) (Identity, error) {
	if req.Username != "" && req.Username != u.Name {
		return Identity{}, &Refused{packets.BadUserNameOrPassword, ReasonBadLogin, "user name is not that of the exchange"}
	}
	if own := p.byCert[req.Cert]; own != nil && req.Cert != "" && own != u {
		return Identity{}, &Refused{packets.BadUserNameOrPassword, ReasonBadLogin, "user name is not that of the certificate"}
	}
	return p.admit(u, req)
}

// verifier returns what is known of user's password. For a user that does not exist it makes one up that no
// password fits: the same at each try, and of the form that most have, so that user names cannot be found out.
func (p *Policy) verifier(user string) (v *verifier, known bool) {
	form := p.scramForm
	if form == nil { // the zero Policy
		form = commonForm(nil)
	}
	made := *form
	salt, key := mac(p.secret, "salt "+user), mac(p.secret, "key "+user)
	made.salt, made.storedKey, made.serverKey = append(salt[:], key[:]...)[:len(form.salt)], key, key
	if u := p.byName[user]; u != nil && u.scram != nil {
		return u.scram, true
	}
	return &made, false
}

// saltSecret returns what made-up salts are made with. It is the same after a restart as long as the first user with a hash
// keeps its password: what changed would be made up. That hash has a salt that nobody outside knows, so it cannot be guessed.
func saltSecret(users []*user) []byte {
	for _, u := range users {
		if u.hash != nil {
			sum := mac([]byte("salts of users that do not exist"), u.Hash)
			return sum[:]
		}
	}
	secret := make([]byte, sha256.Size)
	rand.Read(secret) // never fails: crypto/rand ends the program instead
	return secret
}

// commonForm returns a verifier of the iterations and length of salt that most users have.
func commonForm(users []*user) *verifier {
	type form struct{ iterations, salt int }
	count := make(map[form]int)
	most := form{DefaultIterations, saltBytes}
	for _, u := range users {
		if u.scram == nil {
			continue
		}
		f := form{u.scram.iterations, len(u.scram.salt)}
		if count[f]++; count[f] > count[most] {
			most = f
		}
	}
	return &verifier{iterations: most.iterations, salt: make([]byte, most.salt)}
}
