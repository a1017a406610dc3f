package packets

// UserProperty is one name and value pair; their order is kept [MQTT-3.3.2-18].
type UserProperty struct{ Name, Value string }

// PublishProperties are the properties of a PUBLISH or a will that travel with the message from
// publisher to subscriber (MQTT 5.0, section 3.3.2.3). A message without any has none of them.
// CorrelationData that is empty but not nil is present; a ResponseTopic is never empty.
type PublishProperties struct {
	PayloadFormat   byte // 1: UTF-8 text
	ContentType     string
	ResponseTopic   string
	CorrelationData []byte
	User            []UserProperty

	// What is there and says the same as its absence is forwarded as well [MQTT-3.3.2-4] [MQTT-3.3.2-20].
	ZeroPayloadFormat bool // PayloadFormat is 0
	EmptyContentType  bool // ContentType is ""
}
