// Package server accepts MQTT connections, reads, steps sessions, writes, and ends them.
package server
