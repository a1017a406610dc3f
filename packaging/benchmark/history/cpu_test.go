package history

import (
	"syscall"
	"time"
)

func processCPU() time.Duration { return cpuOf(syscall.RUSAGE_SELF) }

// threadCPU is what the calling thread took; a goroutine that does not block keeps its thread.
func threadCPU() time.Duration { return cpuOf(rusageThread) }

const rusageThread = 1 // RUSAGE_THREAD, Linux

func cpuOf(who int) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(who, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
