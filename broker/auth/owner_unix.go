//go:build unix

package auth

import (
	"os"
	"syscall"
)

// keepOwner gives f the owner and group of the file that it is to replace: the appliance, which seldom runs as the user who
// edits the list, must still be able to read it.
func keepOwner(f *os.File, replaced string) error {
	info, err := os.Stat(replaced)
	if err != nil {
		return ifThere(err)
	}
	old, ok := info.Sys().(*syscall.Stat_t)
	if !ok || int(old.Uid) == os.Getuid() && int(old.Gid) == os.Getgid() {
		return nil
	}
	return f.Chown(int(old.Uid), int(old.Gid))
}
