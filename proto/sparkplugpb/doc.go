// Package sparkplugpb is the generated Go code of the Sparkplug B payload; see package proto for how it is made.
package sparkplugpb
