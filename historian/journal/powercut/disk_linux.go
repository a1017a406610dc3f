package powercut

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"unsafe"
)

// Bytes is the size of a disk.
const Bytes = 256 << 20

// serving, set, makes the test binary the process of a disk: its folder.
const serving = "EDGE_TEST_POWERCUT"

// A Disk is an ext4 file system on a disk whose power can be cut.
type Disk struct {
	Dir string // where it is mounted

	t        testing.TB
	image    string
	server   *exec.Cmd // nil: a plain file
	commands io.WriteCloser
	answers  *bufio.Scanner
}

// Main is to be called first in TestMain: it is the process of a disk if it was started as one, and does not return then.
func Main() {
	dir := os.Getenv(serving)
	if dir == "" {
		return
	}
	if err := serve(dir); err != nil {
		fmt.Fprintln(os.Stderr, "powercut:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

// New makes a disk, which ends with the test. Where that is not possible the test is skipped, with EDGE_LONG=1 it fails.
func New(t testing.TB) *Disk {
	t.Helper()
	dir := t.TempDir()
	d := &Disk{Dir: filepath.Join(dir, "mnt"), t: t, image: filepath.Join(dir, diskName)}
	if err := os.Mkdir(d.Dir, 0o700); err != nil {
		t.Fatal(err)
	}
	no := t.Skipf
	if os.Getenv("EDGE_LONG") != "" {
		no = t.Fatalf
	}
	if os.Getuid() != 0 {
		no("power cuts need root, mkfs.ext4 and a loop device")
	}
	if err := d.start(dir); err != nil {
		t.Logf("the disk has no write cache that forgets: %v", err)
		if err := os.WriteFile(d.image, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Truncate(d.image, Bytes); err != nil {
			t.Fatal(err)
		}
	}
	err := run("mkfs.ext4", "-q", "-F", "-E", "nodiscard", d.image)
	if err == nil {
		err = d.mount()
	}
	if err != nil {
		no("power cuts need root, mkfs.ext4 and a loop device: %v", err)
	}
	t.Cleanup(d.unmount)
	return d
}

// Cut cuts the power. Programs that use the disk are to be ended then, and Restore brings it back.
func (d *Disk) Cut() {
	d.t.Helper()
	if d.server != nil {
		d.tell("cut")
		return
	}
	f, err := os.Open(d.Dir)
	if err != nil {
		d.t.Fatal(err)
	}
	defer f.Close()
	const request, noLogFlush = 0x8004587d, 2 // EXT4_IOC_SHUTDOWN
	how := uint32(noLogFlush)
	if _, _, errno := syscall.Syscall(syscall.SYS_IOCTL, f.Fd(), request, uintptr(unsafe.Pointer(&how))); errno != 0 {
		d.t.Fatal("shut down:", errno)
	}
}

// Restore is the start after a cut: the file system is mounted as it was left. No file on the disk may be open.
func (d *Disk) Restore() {
	d.t.Helper()
	d.unmount()
	if d.server != nil {
		d.tell("on")
	}
	if err := d.mount(); err != nil {
		d.t.Fatal("mount after a cut: ", err)
	}
}

func (d *Disk) mount() error {
	how := "loop,noatime"
	if d.server == nil {
		how += ",commit=1000" // nothing is written back that was not flushed, for as long as the test runs
	}
	return run("mount", "-o", how, d.image, d.Dir)
}

func (d *Disk) unmount() {
	d.t.Helper()
	if err := run("umount", d.Dir); err != nil {
		d.t.Fatal(err)
	}
}

func run(name string, arg ...string) error {
	if out, err := exec.Command(name, arg...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s %q: %w %s", name, arg, err, out)
	}
	return nil
}

// start starts the disk's process and moves the image there.
func (d *Disk) start(dir string) error {
	exe, err := os.Executable()
	if err != nil {
		return err
	}
	at := filepath.Join(dir, "device")
	if err := os.Mkdir(at, 0o700); err != nil {
		return err
	}
	server := exec.Command(exe)
	server.Env = append(os.Environ(), serving+"="+dir)
	server.Stderr = os.Stderr
	server.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // what ends the tests' process group leaves it to unmount
	if d.commands, err = server.StdinPipe(); err != nil {
		return err
	}
	out, err := server.StdoutPipe()
	if err != nil {
		return err
	}
	if err := server.Start(); err != nil {
		return err
	}
	d.answers = bufio.NewScanner(out)
	if !d.answers.Scan() || d.answers.Text() != "ready" {
		_ = d.commands.Close()
		return errors.Join(errors.New("no FUSE: "+d.answers.Text()), server.Wait())
	}
	d.server, d.image = server, filepath.Join(at, diskName)
	d.t.Cleanup(func() {
		_ = d.commands.Close()
		if err := server.Wait(); err != nil {
			d.t.Errorf("the disk's process: %v", err)
		}
	})
	return nil
}

// tell gives the disk's process a command.
func (d *Disk) tell(command string) {
	d.t.Helper()
	if _, err := fmt.Fprintln(d.commands, command); err != nil {
		d.t.Fatal(err)
	}
	if !d.answers.Scan() || d.answers.Text() != "done" {
		d.t.Fatalf("the disk: %s: %s %v", command, d.answers.Text(), d.answers.Err())
	}
}

// serve is a disk until its standard input ends.
func serve(dir string) error {
	var files [2]*os.File
	for i, name := range []string{"now", "safe"} {
		f, err := os.Create(filepath.Join(dir, name))
		if err != nil {
			return err
		}
		defer f.Close()
		if err := f.Truncate(Bytes); err != nil {
			return err
		}
		files[i] = f
	}
	disk := newCache(files[0], files[1], rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64())))
	at := filepath.Join(dir, "device")
	f, err := mountFuse(at, disk, Bytes)
	if err != nil {
		fmt.Println(err)
		return nil
	}
	ended := make(chan error, 1)
	go func() { ended <- f.serve() }()
	fmt.Println("ready")
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		do := disk.cut
		if in.Text() == "on" {
			do = disk.on
		}
		if err := do(); err != nil {
			fmt.Println(err)
			continue
		}
		fmt.Println("done")
	}
	// The file system on it is unmounted by then, unless the tests were killed.
	_ = syscall.Unmount(filepath.Join(dir, "mnt"), syscall.MNT_DETACH)
	if err := syscall.Unmount(at, syscall.MNT_DETACH); err != nil {
		return err
	}
	return <-ended
}
