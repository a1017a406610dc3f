// Package history measures the historian on the data sets of historian/gen, beside Prometheus' TSDB on the same samples in
// the same run. It holds tests only.
//
//	EDGE_FIGURES=1 go test -v -count=1 -timeout 40m -run TestFigures ./historian/figures     # prints the table
//
//	replay    whole sets by a simulated clock, a durable commit each second: bytes at rest, CPU, then the questions
//	paced     ten minutes by the real clock, each store in a process of its own and on a device of its own: bytes written
//	start     after a kill with a full window, and with a year on disk; memory of a window
//
// Device bytes are sectors written to a loop device with its own ext4 (noatime, commit=60), which needs root; without it the
// table says so. CPU is what the process took less what the generator did. Bytes repeat; times want a machine that has
// nothing else to do. Without EDGE_FIGURES a small replay holds the bytes, which are the same on every machine.
package history
