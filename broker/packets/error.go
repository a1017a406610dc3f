package packets

import "fmt"

// Error says why bytes are not a packet. Code is what an MQTT 5 peer is told in CONNACK or DISCONNECT; a 3.1.1 peer
// is told nothing, the connection is closed (3.1.1, section 4.8).
type Error struct {
	Code    ReasonCode
	Section string // of the specification, "3.1.2.3"
	Detail  string
}

func (e *Error) Error() string {
	return fmt.Sprintf("%s: %s (section %s)", e.Code, e.Detail, e.Section)
}
