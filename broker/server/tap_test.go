package server

import (
	"context"
	"strings"
	"sync"

	"edge/broker"
	"edge/broker/auth"
	"edge/broker/packets"
	"edge/broker/topic"
)

// recorder is a tap that writes down what it is told, in order.
type recorder struct {
	mu    sync.Mutex
	lines []string
	err   error
}

func (p *recorder) into(r *rig) { r.taps = append(r.taps, p) }

func (p *recorder) Message(m *broker.Message) (broker.Index, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.lines = append(p.lines, m.From+" "+string(m.Topic)+" "+string(m.Payload))
	return 0, p.err
}

func (p *recorder) Session(e broker.SessionEvent) {
	p.mu.Lock()
	defer p.mu.Unlock()
	line := e.ClientID + " connected"
	if e.Kind == broker.Disconnected {
		line = e.ClientID + " disconnected: " + string(e.Reason)
	}
	p.lines = append(p.lines, line)
}

// of returns the lines about one client.
func (p *recorder) of(client string) (lines []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, l := range p.lines {
		if strings.HasPrefix(l, client+" ") {
			lines = append(lines, l)
		}
	}
	return lines
}

func (p *recorder) last(client string) string {
	lines := p.of(client)
	if len(lines) == 0 {
		return ""
	}
	return lines[len(lines)-1]
}

// rules is an Auth made of functions; nil ones allow.
type rules struct {
	connect   func(auth.ConnectRequest) error
	begin     func(method string, req auth.ConnectRequest) (auth.Exchange, error)
	publish   func(id auth.Identity, name topic.Name) bool
	subscribe func(id auth.Identity, f topic.Filter) bool
}

func (r rules) Connect(ctx context.Context, req auth.ConnectRequest) (auth.Identity, error) {
	if r.connect != nil {
		if err := r.connect(req); err != nil {
			return auth.Identity{}, err
		}
	}
	return allowAll{}.Connect(ctx, req)
}

func (r rules) Begin(method string, req auth.ConnectRequest) (auth.Exchange, error) {
	if r.begin != nil {
		return r.begin(method, req)
	}
	return allowAll{}.Begin(method, req)
}

func (r rules) MayPublish(id auth.Identity, name topic.Name) bool {
	return r.publish == nil || r.publish(id, name)
}

func (r rules) MaySubscribe(id auth.Identity, f topic.Filter) bool {
	return r.subscribe == nil || r.subscribe(id, f)
}

func denyUser(name string) rules {
	return rules{connect: func(req auth.ConnectRequest) error {
		if req.Username == name {
			return &auth.Refused{Code: packets.NotAuthorized, Detail: "no"}
		}
		return nil
	}}
}
