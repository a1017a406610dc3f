package simulate

// Generic is a plant for load: nodes node1… with devices dev1… of metrics each, in group. With devices 0 the
// metrics are the node's own.
func Generic(group string, nodes, devices, metrics int) []NodeSpec { return nil }
