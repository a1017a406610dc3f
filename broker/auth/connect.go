package auth

import (
	"context"
	"fmt"
	"strings"

	"edge/broker/packets"
	"edge/broker/topic"
)

// ConnectRequest is what is known when a CONNECT has been read.
type ConnectRequest struct {
	ListenerAnonymous bool       // the listener lets clients in without a user name
	ClientID          string     // as sent, or as the server assigned it
	Username          string     // empty: none
	Password          []byte     // not kept
	Addr              string     // remote address, host:port
	Cert              string     // subject of the verified client certificate; empty without one
	Will              topic.Name // will topic; empty: no will
}

// Refused says why a login is refused. Code goes into CONNACK, Reason is counted, Detail is for the log and never names
// a password.
type Refused struct {
	Code   packets.ReasonCode
	Reason string // one of those below
	Detail string
}

func (r *Refused) Error() string { return fmt.Sprintf("%s: %s", r.Code, r.Detail) }

// The reasons for which a login is refused.
const (
	ReasonNoUser     = "no user name"
	ReasonBadLogin   = "wrong user name or password"
	ReasonNoVerifier = "user without a SCRAM verifier"
	ReasonMethod     = "authentication method not offered"
	ReasonExchange   = "authentication exchange broken"
	ReasonBusy       = "too many logins at once"
	ReasonClientID   = "client identifier not allowed"
	ReasonWill       = "will not allowed"
)

// Connect decides who req comes from and whether it may connect with that client identifier and that will. A
// refusal is a *Refused; ctx's error is returned if ctx ends while it waits to check the password.
func (p *Policy) Connect(ctx context.Context, req ConnectRequest) (Identity, error) {
	if strings.HasPrefix(req.ClientID, "$") { // nobody's, so no password is checked for it
		return Identity{}, p.checkClientID(nil, req.ClientID)
	}
	who, err := p.authenticate(ctx, req)
	if err != nil {
		return Identity{}, err
	}
	return p.admit(who, req)
}

// admit decides whether a user, or an anonymous client (nil), may connect as req asks.
func (p *Policy) admit(who *user, req ConnectRequest) (Identity, error) {
	id := Identity{ClientID: req.ClientID, Anonymous: who == nil}
	if who != nil {
		id.User = who.Name
	}
	if err := p.checkClientID(who, req.ClientID); err != nil {
		return Identity{}, err
	}
	if err := p.checkWill(id, req.Will); err != nil {
		return Identity{}, err
	}
	return id, nil
}

// authenticate returns the user, or nil for an anonymous client. A client certificate that users.yaml knows comes
// first. On an anonymous listener a user name is checked only if there are users at all: without any,
// ignoring it gives nothing that leaving it out would not give.
func (p *Policy) authenticate(ctx context.Context, req ConnectRequest) (*user, error) {
	if u := p.byCert[req.Cert]; u != nil && req.Cert != "" {
		if req.Username != "" && req.Username != u.Name {
			return nil, &Refused{packets.BadUserNameOrPassword, ReasonBadLogin, "user name is not that of the certificate"}
		}
		return u, nil
	}
	if req.ListenerAnonymous && (req.Username == "" || len(p.byName) == 0) {
		return nil, nil
	}
	if req.Username == "" {
		return nil, &Refused{packets.NotAuthorized, ReasonNoUser, "no user name"}
	}
	return p.checkPassword(ctx, req)
}

// checkPassword takes the same time whether the user exists or not.
func (p *Policy) checkPassword(ctx context.Context, req ConnectRequest) (*user, error) {
	refused := &Refused{packets.BadUserNameOrPassword, ReasonBadLogin, "unknown user or wrong password"}
	if len(p.byName) == 0 {
		return nil, refused // there is no user to hide
	}
	u, against := p.byName[req.Username], decoy
	if u != nil && u.hash != nil {
		against = u.hash
	}
	right, err := p.hashing.verify(ctx, against, req.Password)
	if err != nil {
		return nil, err
	}
	if !right || against == decoy {
		return nil, refused
	}
	return u, nil
}

// checkClientID keeps a bound user to its client identifier, and everyone else off it: whoever takes a client
// identifier takes the session, its queue and its will.
func (p *Policy) checkClientID(who *user, clientID string) error {
	if strings.HasPrefix(clientID, "$") { // names of our own publishers
		return &Refused{packets.ClientIdentifierNotValid, ReasonClientID, "client identifier begins with $"}
	}
	if who != nil && who.Client != "" {
		if !who.ownsClient(clientID) {
			return &Refused{packets.ClientIdentifierNotValid, ReasonClientID, "client identifier is not the one of this user"}
		}
		return nil
	}
	for _, u := range p.bound {
		if u.ownsClient(clientID) {
			return &Refused{packets.ClientIdentifierNotValid, ReasonClientID, "client identifier belongs to another user"}
		}
	}
	return nil
}

func (u *user) ownsClient(clientID string) bool {
	if prefix, isPrefix := strings.CutSuffix(u.Client, "*"); isPrefix {
		return strings.HasPrefix(clientID, prefix)
	}
	return clientID == u.Client
}

// checkWill asks for the right to publish the will, and from a Sparkplug node for its own NDEATH and no other.
func (p *Policy) checkWill(id Identity, will topic.Name) error {
	node, own := false, false
	for _, r := range p.rulesOf(id) {
		if r.will != "" {
			node, own = true, own || r.will == will
		}
	}
	if node && !own {
		return &Refused{packets.NotAuthorized, ReasonWill, "the will of this edge node is not its NDEATH"}
	}
	if will != "" && !p.MayPublish(id, will) {
		return &Refused{packets.NotAuthorized, ReasonWill, "may not publish to the will topic"}
	}
	return nil
}
