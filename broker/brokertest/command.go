package brokertest

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"edge/broker/packets"
)

// stage is where one run of a script takes place: its clients by name, and the answers to the command at hand.
type stage struct {
	t       located
	version packets.Version
	broker  Broker
	clients map[string]*Client
	answers []string
}

// commands are what a line of a script may begin with. Arguments in [] may be left out; PAYLOAD and all others may stand
// in quotes as in Go. What differs from the command's own words fails the test; the rest becomes an answer.
var commands = map[string]func(*stage, args){
	"connect":    (*stage).connect,    // connect NAME [clean] [id=ID] [user=U] [password=P] [keepalive=S] [expiry=S] [will=TOPIC:PAYLOAD] [willqos=N] [willretain] [willdelay=S] [willexpiry=S] [receive=N] [max=BYTES], and the properties below for the will
	"open":       (*stage).open,       // open NAME: a connection, nothing is sent
	"sub":        (*stage).subscribe,  // sub NAME FILTER... [qos=N] [nolocal] [rap] [rh=N] [id=N]
	"unsub":      (*stage).unsub,      // unsub NAME FILTER...
	"pub":        (*stage).publish,    // pub NAME TOPIC PAYLOAD [qos=N] [retain] [dup] [pid=N] [expiry=S] [format=1] [type=T] [response=TOPIC] [correlation=T] [props=K:V,K:V...]; waits for the end of the exchange
	"begin":      (*stage).begin,      // begin NAME and what pub has: sends the PUBLISH and waits for nothing
	"expect":     (*stage).expect,     // expect NAME TOPIC PAYLOAD [qos=N] [retain] [dup] [id=N,N...] [noack] and what pub has: this PUBLISH is next, it is acknowledged
	"copies":     (*stage).copies,     // copies NAME N: the next N PUBLISH packets, acknowledged, in an order of no meaning
	"nothing":    (*stage).nothing,    // nothing NAME...: no packet has come; tells only of what the broker was done with before
	"recv":       (*stage).receive,    // recv NAME: the next packet, whatever it is
	"send":       (*stage).send,       // send NAME HEX...: raw bytes
	"disconnect": (*stage).disconnect, // disconnect NAME [will]: DISCONNECT 0x00 or, with will, 0x04
	"drop":       (*stage).drop,       // drop NAME: the connection ends without DISCONNECT
	"closed":     (*stage).closed,     // closed NAME: the broker closes the connection
	"advance":    (*stage).advance,    // advance DURATION
	"restart":    (*stage).restart,    // restart: stops and starts the broker; all clients are gone
}

// args are the words of a command behind its name. A word of the form name=value, or one of the words that the
// command knows as a flag, is an option.
type args struct {
	words   []string
	options map[string]string
}

func (s *stage) run(text string) {
	s.t.Helper()
	words, err := splitWords(text)
	if err != nil {
		s.t.Fatalf("%v", err)
	}
	command := commands[words[0].text]
	if command == nil {
		s.t.Fatalf("unknown command")
	}
	command(s, parseArgs(words[1:]))
}

var flagWords = map[string]bool{"clean": true, "willretain": true, "nolocal": true, "rap": true, "retain": true, "dup": true, "noack": true}

// quotedWord is a word and whether it stood in quotes, which make it no option.
type quotedWord struct {
	text   string
	quoted bool
}

func splitWords(text string) (words []quotedWord, err error) {
	for text = strings.TrimSpace(text); text != ""; text = strings.TrimSpace(text) {
		if text[0] == '"' {
			q, err := strconv.QuotedPrefix(text)
			if err != nil {
				return nil, fmt.Errorf("bad quotes in %s", text)
			}
			s, _ := strconv.Unquote(q)
			words = append(words, quotedWord{s, true})
			text = text[len(q):]
			continue
		}
		word, rest, _ := strings.Cut(text, " ")
		words = append(words, quotedWord{word, false})
		text = rest
	}
	return words, nil
}

func parseArgs(words []quotedWord) args {
	a := args{options: make(map[string]string)}
	for _, w := range words {
		name, value, isOption := strings.Cut(w.text, "=")
		if !w.quoted && (isOption || flagWords[w.text]) {
			a.options[name] = value
		} else {
			a.words = append(a.words, w.text)
		}
	}
	return a
}

// word returns argument i, which must be there.
func (s *stage) word(a args, i int) string {
	s.t.Helper()
	if i >= len(a.words) {
		s.t.Fatalf("argument %d is missing", i+1)
	}
	return a.words[i]
}

func (a args) has(option string) bool { _, there := a.options[option]; return there }

// number returns an option's value, 0 if it is not there.
func (s *stage) number(a args, option string) int {
	s.t.Helper()
	if !a.has(option) {
		return 0
	}
	n, err := strconv.Atoi(a.options[option])
	if err != nil {
		s.t.Fatalf("%s: %v", option, err)
	}
	return n
}

func (s *stage) client(a args) *Client {
	s.t.Helper()
	c := s.clients[s.word(a, 0)]
	if c == nil {
		s.t.Fatalf("%s is not connected", a.words[0])
	}
	c.t = s.t
	return c
}

// answer notes a packet that client got.
func (s *stage) answer(client string, p packets.Packet) {
	s.answers = append(s.answers, client+" <- "+Describe(p))
}

func (s *stage) open(a args) {
	s.t.Helper()
	s.clients[s.word(a, 0)] = NewClient(s.t, s.broker.Dial(), s.version)
}

func (s *stage) connect(a args) {
	s.t.Helper()
	s.open(a)
	name := s.word(a, 0)
	c := s.clients[name]
	c.Send(s.connectPacket(name, a))
	p, err := c.Next()
	if err != nil {
		s.answers = append(s.answers, name+" closed")
		return
	}
	s.answer(name, p)
}

func (s *stage) connectPacket(name string, a args) *packets.Connect {
	p := &packets.Connect{Version: s.version, ClientID: name, CleanStart: a.has("clean"),
		KeepAlive: uint16(s.number(a, "keepalive")), SessionExpiry: uint32(s.number(a, "expiry")),
		ReceiveMaximum: uint16(s.number(a, "receive")), MaximumPacketSize: uint32(s.number(a, "max"))}
	if !p.CleanStart && !a.has("expiry") {
		p.SessionExpiry = 3600 // what CleanSession 0 means in 3.1.1
	}
	if a.has("id") {
		p.ClientID = a.options["id"]
	}
	p.HasUsername, p.Username = a.has("user"), a.options["user"]
	if a.has("password") {
		p.HasPassword, p.Password = true, []byte(a.options["password"])
	}
	if topic, payload, found := strings.Cut(a.options["will"], ":"); found {
		p.Will = &packets.Will{Topic: topic, Payload: []byte(payload), QoS: byte(s.number(a, "willqos")),
			Retain: a.has("willretain"), Delay: uint32(s.number(a, "willdelay")), Properties: s.properties(a)}
		if a.has("willexpiry") {
			p.Will.Expiry = packets.Some(uint32(s.number(a, "willexpiry")))
		}
	}
	return p
}

// properties are those that travel with a message; nil if there is none.
func (s *stage) properties(a args) *packets.PublishProperties {
	s.t.Helper()
	p := &packets.PublishProperties{PayloadFormat: byte(s.number(a, "format")), ContentType: a.options["type"], ResponseTopic: a.options["response"]}
	p.ZeroPayloadFormat = a.has("format") && p.PayloadFormat == 0
	p.EmptyContentType = a.has("type") && p.ContentType == ""
	if a.has("correlation") {
		p.CorrelationData = []byte(a.options["correlation"])
	}
	for _, pair := range strings.FieldsFunc(a.options["props"], func(r rune) bool { return r == ',' }) {
		name, value, _ := strings.Cut(pair, ":")
		p.User = append(p.User, packets.UserProperty{Name: name, Value: value})
	}
	for _, option := range []string{"format", "type", "response", "correlation", "props"} {
		if a.has(option) {
			return p
		}
	}
	return nil
}

func (s *stage) subscribe(a args) {
	s.t.Helper()
	c := s.client(a)
	p := &packets.Subscribe{PacketID: c.NextID(), SubscriptionID: uint32(s.number(a, "id"))}
	for _, f := range a.words[1:] {
		p.Filters = append(p.Filters, packets.Subscription{Filter: f, QoS: byte(s.number(a, "qos")),
			NoLocal: a.has("nolocal"), RetainAsPublished: a.has("rap"), RetainHandling: byte(s.number(a, "rh"))})
	}
	c.Send(p)
	s.answer(a.words[0], c.Await("SUBACK", func(p packets.Packet) bool { return p.Type() == packets.TypeSuback }))
}

func (s *stage) unsub(a args) {
	s.t.Helper()
	c := s.client(a)
	c.Send(&packets.Unsubscribe{PacketID: c.NextID(), Filters: a.words[1:]})
	s.answer(a.words[0], c.Await("UNSUBACK", func(p packets.Packet) bool { return p.Type() == packets.TypeUnsuback }))
}

func (s *stage) publishPacket(a args) *packets.Publish {
	s.t.Helper()
	p := &packets.Publish{Topic: s.word(a, 1), Payload: []byte(s.word(a, 2)), QoS: byte(s.number(a, "qos")),
		Retain: a.has("retain"), Dup: a.has("dup"), PacketID: uint16(s.number(a, "pid")), Properties: s.properties(a)}
	if a.has("expiry") {
		p.Expiry = packets.Some(uint32(s.number(a, "expiry")))
	}
	for _, id := range strings.FieldsFunc(a.options["id"], func(r rune) bool { return r == ',' }) {
		n, err := strconv.ParseUint(id, 10, 28)
		if err != nil {
			s.t.Fatalf("id: %v", err)
		}
		p.SubscriptionIDs = append(p.SubscriptionIDs, uint32(n))
	}
	return p
}

func (s *stage) publish(a args) {
	s.t.Helper()
	c := s.client(a)
	p := s.publishPacket(a)
	answers := map[byte]packets.Type{1: packets.TypePuback, 2: packets.TypePubrec}
	if code := c.Publish(p); p.QoS > 0 {
		s.answers = append(s.answers, a.words[0]+" <- "+withCode(answers[p.QoS].String(), code))
	}
}

func (s *stage) begin(a args) {
	s.t.Helper()
	s.client(a).Send(s.publishPacket(a))
}

func (s *stage) copies(a args) {
	s.t.Helper()
	c := s.client(a)
	n, err := strconv.Atoi(s.word(a, 1))
	if err != nil {
		s.t.Fatalf("%v", err)
	}
	for range n {
		p := Expect[*packets.Publish](c)
		s.answer(a.words[0], p)
		c.Acknowledge(p)
	}
	slices.Sort(s.answers)
}

func (s *stage) expect(a args) {
	s.t.Helper()
	c := s.client(a)
	want := Describe(s.publishPacket(a))
	p := c.Await("PUBLISH", func(p packets.Packet) bool { return p.Type() == packets.TypePublish })
	if got := Describe(p); got != want {
		s.t.Fatalf("got %s", got)
	}
	if !a.has("noack") {
		c.Acknowledge(p.(*packets.Publish))
	}
}

func (s *stage) nothing(a args) {
	s.t.Helper()
	for _, name := range a.words {
		s.client(args{words: []string{name}}).ExpectNothing()
	}
}

func (s *stage) receive(a args) {
	s.t.Helper()
	p, err := s.client(a).Next()
	if err != nil {
		s.t.Fatalf("%v", err)
	}
	s.answer(a.words[0], p)
}

func (s *stage) send(a args) {
	s.t.Helper()
	c := s.client(a)
	raw, err := hex.DecodeString(strings.Join(a.words[1:], ""))
	if err != nil {
		s.t.Fatalf("%v", err)
	}
	c.SendRaw(bytes.Clone(raw))
}

func (s *stage) disconnect(a args) {
	s.t.Helper()
	c := s.client(a)
	p := &packets.Disconnect{}
	if len(a.words) > 1 && a.words[1] == "will" {
		p.Code = packets.DisconnectWithWill
	}
	c.Send(p)
	c.ExpectClosed()
	delete(s.clients, a.words[0])
}

func (s *stage) drop(a args) {
	s.t.Helper()
	s.client(a).Close()
	delete(s.clients, a.words[0])
}

func (s *stage) closed(a args) {
	s.t.Helper()
	if code := s.client(a).ExpectClosed(); code != packets.Success {
		s.answers = append(s.answers, a.words[0]+" <- DISCONNECT "+code.String())
	}
	s.answers = append(s.answers, a.words[0]+" closed")
	delete(s.clients, a.words[0])
}

func (s *stage) advance(a args) {
	s.t.Helper()
	d, err := time.ParseDuration(s.word(a, 0))
	if err != nil || s.broker.Advance == nil {
		s.t.Fatalf("cannot advance the time here: %v", err)
	}
	s.broker.Advance(d)
}

func (s *stage) restart(args) {
	s.t.Helper()
	if s.broker.Restart == nil {
		s.t.Fatalf("cannot restart this broker")
	}
	s.broker.Restart()
	for name, c := range s.clients {
		c.Close()
		delete(s.clients, name)
	}
}
