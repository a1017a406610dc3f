package observe

import "strings"

// matches tells whether an MQTT topic filter takes a topic. Topics that begin with $ are not judged.
func matches(filter, topic string) bool {
	for {
		f, restF, moreF := strings.Cut(filter, "/")
		t, restT, moreT := strings.Cut(topic, "/")
		switch {
		case f == "#":
			return true
		case f != "+" && f != t:
			return false
		case !moreF && !moreT:
			return true
		case moreF && !moreT:
			return restF == "#"
		case !moreF:
			return false
		}
		filter, topic = restF, restT
	}
}
