// Package history measures the historian on the data sets of historian/gen, beside Prometheus' TSDB on the same samples in
// the same run, and prints the table of figures. It holds tests only, in a module of its own: what the TSDB needs to compile
// would double what the program's own tests take.
//
//	packaging/benchmark/history/run        # root, Linux, a quiet machine; 20 minutes; the result is result.txt
//
//	replay    whole sets by a simulated clock, a durable commit each second: bytes at rest, CPU; then the questions
//	paced     ten minutes by the real clock, each store in a process of its own and on a device of its own: bytes written
//	start     after a kill with a full window, and with a year on disk; memory of a window; late samples
//
// Device bytes are sectors written to a loop device with its own ext4 (noatime, commit=60), which needs root; without it the
// table says so. They are those of a journal that uses its segments again: before the paced run it is filled until it does, and has
// made its spares ready. A new store writes 160 MB of zeros for that, once.
//
// CPU is what the process took less what the generator did, the kernel's part and rollups with it; both are shown besides. Of G1 a commit has
// 282 samples, so that what one costs the kernel, some 45 us, and its wake-ups are more than half; live it is more, for each device's
// message wakes the process at its own time, where the peer gets a second's samples at once. The bubble of the replay is no part of it
// that shows: a loop without one, in which the clock is set by hand and each second is flushed, took the same. Bytes repeat; times want
// a machine that has nothing else to do. What must hold on every machine, bytes, is held by the historian's own tests.
//
// Of the calls of Append that took longer than a millisecond is taken off what a processor had to be waited for meanwhile: beside the paced
// runs, in another process, a thread on each processor sleeps 2 ms again and again, and notes when it woke too late. That Append waits for no
// disk, flush, retention or question is held by the tests of journal and historian, which let those hang.
//
// What rollups take of it is asked of the thread that makes them (figure 15): all of it but the collection of what they leave.
//
// Late samples are measured until the last hour that they changed is rolled up again.
package history
