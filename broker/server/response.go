package server

import (
	"strings"

	"edge/broker/packets"
	"edge/broker/topic"
)

// responseInformation returns where a client that asks may have the answers to its requests sent, as a topic to put its own levels
// behind (section 4.10). "" if it did not ask [MQTT-3.1.2-28], or if the rules do not let it subscribe there: then it would wait
// for ever. Whether others may read there is for the rules to say, too; "response/%c/#" is a client's own.
func (c *conn) responseInformation(p *packets.Connect) string {
	prefix := c.server.opt.ResponsePrefix
	if !p.RequestResponseInformation || prefix == "" || strings.ContainsAny(p.ClientID, "+#/") {
		return ""
	}
	name := prefix + p.ClientID
	if f := topic.Filter(name + "/#"); f.Validate(c.server.limits.TopicLevels) != nil || !c.server.rules().MaySubscribe(c.identity, f) {
		return ""
	}
	return name
}
