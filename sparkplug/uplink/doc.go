// Package uplink carries every plant node to an enterprise broker: one upstream session per node.
package uplink
