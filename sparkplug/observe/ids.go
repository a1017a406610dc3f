package observe

import (
	"strings"

	"edge/sparkplug"
)

// The specification says most things two or three times; each of these lists is one rule under all its ids, without
// "tck-id-", the one that a finding names first.

// rules are the ids of one message type.
type rules struct{ topic, payload, qos, retain, timestamp, seq, order string }

var rulesOf = [...]rules{
	sparkplug.NBIRTH: {
		topic:     "topics-nbirth-topic message-flow-edge-node-birth-publish-nbirth-topic",
		payload:   "message-flow-edge-node-birth-publish-nbirth-payload",
		qos:       "topics-nbirth-mqtt payloads-nbirth-qos message-flow-edge-node-birth-publish-nbirth-qos",
		retain:    "topics-nbirth-mqtt payloads-nbirth-retain message-flow-edge-node-birth-publish-nbirth-retained",
		timestamp: "topics-nbirth-timestamp payloads-nbirth-timestamp",
		seq: "payloads-sequence-num-req-nbirth payloads-sequence-num-always-included payloads-nbirth-seq " +
			"message-flow-edge-node-birth-publish-nbirth-payload-seq",
	},
	sparkplug.DBIRTH: {
		topic:     "topics-dbirth-topic message-flow-device-birth-publish-dbirth-topic",
		payload:   "message-flow-device-birth-publish-dbirth-payload",
		qos:       "topics-dbirth-mqtt payloads-dbirth-qos message-flow-device-birth-publish-dbirth-qos",
		retain:    "topics-dbirth-mqtt payloads-dbirth-retain message-flow-device-birth-publish-dbirth-retained",
		timestamp: "topics-dbirth-timestamp payloads-dbirth-timestamp",
		seq:       "payloads-sequence-num-always-included payloads-dbirth-seq",
		order: "payloads-sequence-num-incrementing topics-dbirth-seq payloads-dbirth-seq-inc " +
			"message-flow-device-birth-publish-dbirth-payload-seq",
	},
	sparkplug.NDATA: {
		topic: "topics-ndata-topic", qos: "topics-ndata-mqtt payloads-ndata-qos", retain: "topics-ndata-mqtt payloads-ndata-retain",
		timestamp: "topics-ndata-timestamp payloads-ndata-timestamp",
		seq:       "payloads-sequence-num-always-included payloads-ndata-seq",
		order:     "payloads-sequence-num-incrementing topics-ndata-seq-num payloads-ndata-seq-inc",
	},
	sparkplug.DDATA: {
		topic: "topics-ddata-topic", qos: "topics-ddata-mqtt payloads-ddata-qos", retain: "topics-ddata-mqtt payloads-ddata-retain",
		timestamp: "topics-ddata-timestamp payloads-ddata-timestamp",
		seq:       "payloads-sequence-num-always-included payloads-ddata-seq",
		order:     "payloads-sequence-num-incrementing topics-ddata-seq-num payloads-ddata-seq-inc",
	},
	sparkplug.DDEATH: {
		topic: "topics-ddeath-topic operational-behavior-device-ddeath", qos: "topics-ddeath-mqtt", retain: "topics-ddeath-mqtt",
		timestamp: "payloads-ddeath-timestamp",
		seq:       "payloads-sequence-num-always-included payloads-ddeath-seq payloads-ddeath-seq-number",
		order:     "payloads-sequence-num-incrementing topics-ddeath-seq-num payloads-ddeath-seq-inc",
	},
	sparkplug.NDEATH: {
		topic:  "topics-ndeath-topic",
		retain: "payloads-ndeath-will-message-retain",
	},
	sparkplug.NCMD: {
		topic: "topics-ncmd-topic operational-behavior-data-commands-ncmd-verb",
		qos:   "topics-ncmd-mqtt payloads-ncmd-qos", retain: "topics-ncmd-mqtt payloads-ncmd-retain",
		timestamp: "topics-ncmd-timestamp payloads-ncmd-timestamp",
	},
	sparkplug.DCMD: {
		topic: "topics-dcmd-topic operational-behavior-data-commands-dcmd-verb",
		qos:   "topics-dcmd-mqtt payloads-dcmd-qos", retain: "topics-dcmd-mqtt payloads-dcmd-retain",
		timestamp: "topics-dcmd-timestamp payloads-dcmd-timestamp",
	},
	sparkplug.STATE: {},
}

const (
	topicIDs = "topic-structure topic-structure-namespace-a intro-group-id-string intro-group-id-chars intro-edge-node-id-string " +
		"intro-edge-node-id-chars topic-structure-namespace-valid-group-id topic-structure-namespace-valid-edge-node-id"
	deviceTopicIDs = "topic-structure-namespace-device-id-associated-message-types intro-device-id-string intro-device-id-chars " +
		"topic-structure-namespace-valid-device-id"
	nodeTopicIDs = "topic-structure-namespace-device-id-non-associated-message-types"

	stateBirthPayload = "host-topic-phid-birth-payload operational-behavior-host-application-connect-birth-payload " +
		"payloads-state-birth-payload message-flow-phid-sparkplug-state-publish-payload"
	stateBirthQoS    = "host-topic-phid-birth-qos operational-behavior-host-application-connect-birth-qos payloads-state-birth"
	stateBirthRetain = "host-topic-phid-birth-retain operational-behavior-host-application-connect-birth-retained payloads-state-birth"
	stateBirthTopic  = "host-topic-phid-birth-topic operational-behavior-host-application-connect-birth-topic payloads-state-birth " +
		"intro-sparkplug-host-state components-ph-state conformance-primary-host"
	stateDeathPayload = "host-topic-phid-death-payload operational-behavior-host-application-death-payload"
	stateDeathQoS     = "host-topic-phid-death-qos operational-behavior-host-application-death-qos"
	stateDeathRetain  = "host-topic-phid-death-retain operational-behavior-host-application-death-retained"
	stateDeathTopic   = "host-topic-phid-death-topic operational-behavior-host-application-death-topic " +
		"intro-sparkplug-host-state components-ph-state conformance-primary-host"

	dataSetIDs = "payloads-dataset-column-size payloads-dataset-column-num-headers payloads-dataset-types-def payloads-dataset-types-num " +
		"payloads-dataset-types-type payloads-dataset-types-value payloads-dataset-parameter-type-req payloads-template-dataset-value"
	propertySetIDs = "payloads-propertyset-keys-array-size payloads-propertyset-values-array-size"
)

// lower is how ids write a message type.
func lower(t sparkplug.MessageType) string { return strings.ToLower(t.String()) }
