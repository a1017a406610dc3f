package brokertest

import (
	"fmt"
	"strings"

	"edge/broker/packets"
)

// Describe says a packet in one line, as scripts show it. Packet identifiers and the limits that CONNACK announces
// are left out: they are no part of a conversation's meaning.
func Describe(p packets.Packet) string {
	switch p := p.(type) {
	case *packets.Connack:
		return describeConnack(p)
	case *packets.Publish:
		return describePublish(p)
	case *packets.Puback:
		return withCode("PUBACK", p.Code)
	case *packets.Pubrec:
		return withCode("PUBREC", p.Code)
	case *packets.Pubrel:
		return withCode("PUBREL", p.Code)
	case *packets.Pubcomp:
		return withCode("PUBCOMP", p.Code)
	case *packets.Suback:
		return "SUBACK" + describeCodes(p.Codes)
	case *packets.Unsuback:
		return "UNSUBACK" + describeCodes(p.Codes)
	case *packets.Disconnect:
		return "DISCONNECT " + p.Code.String() + describeExpiry(p.SessionExpiry)
	}
	return p.Type().String()
}

func describeAll(list []packets.Packet) string {
	words := make([]string, len(list))
	for i, p := range list {
		words[i] = Describe(p)
	}
	return "[" + strings.Join(words, "; ") + "]"
}

func describeConnack(p *packets.Connack) string {
	s := "CONNACK " + p.Code.String()
	if p.SessionPresent {
		s += " session present"
	}
	if p.AssignedClientID != "" {
		s += " assigned client id"
	}
	return s
}

func describePublish(p *packets.Publish) string {
	s := fmt.Sprintf("PUBLISH %s %s", word(p.Topic), word(string(p.Payload)))
	if p.QoS > 0 {
		s += fmt.Sprintf(" qos=%d", p.QoS)
	}
	if p.Retain {
		s += " retain"
	}
	if p.Dup {
		s += " dup"
	}
	for _, id := range p.SubscriptionIDs {
		s += fmt.Sprintf(" id=%d", id)
	}
	if p.TopicAlias != 0 {
		s += fmt.Sprintf(" alias=%d", p.TopicAlias)
	}
	return s + describeExpiry(p.Expiry) + describeProperties(p.Properties)
}

func describeExpiry(e packets.Optional[uint32]) string {
	if !e.Set {
		return ""
	}
	return fmt.Sprintf(" expiry=%d", e.Value)
}

// describeProperties says what travels with a message, in the words of the command pub.
func describeProperties(p *packets.PublishProperties) (s string) {
	if p == nil {
		return ""
	}
	if p.PayloadFormat != 0 || p.ZeroPayloadFormat {
		s += fmt.Sprintf(" format=%d", p.PayloadFormat)
	}
	if p.ContentType != "" || p.EmptyContentType {
		s += " type=" + p.ContentType
	}
	if p.ResponseTopic != "" {
		s += " response=" + p.ResponseTopic
	}
	if p.CorrelationData != nil {
		s += " correlation=" + string(p.CorrelationData)
	}
	for i, u := range p.User {
		s += map[bool]string{true: " props=", false: ","}[i == 0] + u.Name + ":" + u.Value
	}
	return s
}

// word is s as a script writes it: in quotes if it is empty or holds more than plain characters.
func word(s string) string {
	if q := fmt.Sprintf("%q", s); s == "" || strings.ContainsAny(s, " \t=") || len(q) != len(s)+2 {
		return q
	}
	return s
}

// withCode leaves success out, and 0x10 too: a broker is free to tell whether there were subscribers or not.
func withCode(name string, c packets.ReasonCode) string {
	if c == packets.Success || c == packets.NoMatchingSubscribers {
		return name
	}
	return name + " " + c.String()
}

func describeCodes(list []packets.ReasonCode) string {
	s := ""
	for i, c := range list {
		if i > 0 {
			s += ","
		}
		if c == packets.GrantedQoS0 {
			s += " ok" // QoS 0 of SUBACK, success of UNSUBACK
		} else {
			s += " " + c.String()
		}
	}
	return s
}
