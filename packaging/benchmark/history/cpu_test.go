package history

import (
	"runtime"
	"syscall"
	"time"
)

func processCPU() time.Duration { return cpuOf(syscall.RUSAGE_SELF) }

// systemCPU is what of processCPU the kernel took: writes, and for each goroutine that another wakes the switch of threads.
func systemCPU() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Stime.Nano())
}

// making times f, which must not block: it is what its thread took.
func making(f func()) time.Duration {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	began := threadCPU()
	f()
	return threadCPU() - began
}

// threadCPU is what the calling thread took.
func threadCPU() time.Duration { return cpuOf(rusageThread) }

const rusageThread = 1 // RUSAGE_THREAD, Linux

func cpuOf(who int) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(who, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
