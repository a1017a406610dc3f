// Package sparkplug holds topics, the payload codec, values, and the Host: the state of every
// edge node and device from birth to death. Pure: values and a time in, values out.
package sparkplug
