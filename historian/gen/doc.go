// Package gen makes the data sets on which the historian's figures are measured: what a plant's devices report, sample by
// sample, the same in every run.
//
//	Set ─► New ─► Source.Next ─► one second's messages, in order of arrival ─► journal, another store, a test
//
// A device of 50 or 100 metrics scans once a second, with a jitter of 4 ms and now and then a late scan; three in ten stamp
// each metric by itself, the others the scan. Metrics report by exception, each class in its own way (class.go); every four
// hours a birth reports them all. A device's machine stops and starts, and the signals with it.
//
// G1 is a small cell over a day, G2 a large one over an hour. A Source holds one second at a time and belongs to one
// goroutine. Only tests import this package.
package gen
