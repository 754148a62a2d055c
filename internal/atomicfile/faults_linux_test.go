package atomicfile

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// underFault runs do on a thread of its own where one system call fails with errno:
// a seccomp filter, which needs no privilege and ends with the thread.
func underFault(t *testing.T, call uint32, errno unix.Errno, do func() error) error {
	t.Helper()
	failed := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		if err := installFault(call, errno); err != nil {
			t.Errorf("installing the fault: %v", err)
		}
		failed <- do()
	}()
	return <-failed
}

// testLog is the file in which `go test` has the test binary note what it opens,
// also on the faulty thread: that log must not fail. Without one it is -1.
func testLog() int {
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return -1
	}
	for _, entry := range entries {
		target, err := os.Readlink("/proc/self/fd/" + entry.Name())
		if fd, atoiErr := strconv.Atoi(entry.Name()); err == nil && atoiErr == nil && filepath.Base(target) == "testlog.txt" {
			return fd
		}
	}
	return -1
}

func installFault(call uint32, errno unix.Errno) error {
	const firstArgument = 16 // its low word in seccomp_data
	const loadWord, jumpEqual, giveBack = unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, unix.BPF_RET | unix.BPF_K
	filter := []unix.SockFilter{
		{Code: loadWord, K: 0}, // the call's number
		{Code: jumpEqual, Jf: 3, K: call},
		{Code: loadWord, K: firstArgument},
		{Code: jumpEqual, Jt: 1, K: uint32(testLog())},
		{Code: giveBack, K: unix.SECCOMP_RET_ERRNO | uint32(errno)},
		{Code: giveBack, K: unix.SECCOMP_RET_ALLOW},
	}
	program := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return err
	}
	return unix.Prctl(unix.PR_SET_SECCOMP, unix.SECCOMP_MODE_FILTER, uintptr(unsafe.Pointer(&program)), 0, 0)
}

type fault struct {
	name  string
	call  uint32
	errno unix.Errno
}

// faults returns those of both ways to write, and then more.
func faults(more ...fault) []fault {
	return append([]fault{
		{"no room for a name", unix.SYS_OPENAT, unix.ENOSPC},
		{"folder not writable", unix.SYS_OPENAT, unix.EACCES},
		{"disk full", unix.SYS_WRITE, unix.ENOSPC},
		{"bad disk", unix.SYS_WRITE, unix.EIO},
		{"chmod refused", unix.SYS_FCHMOD, unix.EPERM},
		{"full at fsync", unix.SYS_FSYNC, unix.ENOSPC},
		{"bad disk at fsync", unix.SYS_FSYNC, unix.EIO},
	}, more...)
}

func TestF51AFailedWriteLeavesTheOldFile(t *testing.T) {
	for _, fault := range faults(
		fault{"rename refused", unix.SYS_RENAMEAT, unix.EACCES},
		fault{"no room at rename", unix.SYS_RENAMEAT, unix.ENOSPC},
	) {
		t.Run("F51 "+fault.name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, "f")
			if err := Write(path, []byte("old")); err != nil {
				t.Fatal(err)
			}
			err := underFault(t, fault.call, fault.errno, func() error { return Write(path, []byte("new")) })
			if !errors.Is(err, fault.errno) {
				t.Errorf("Write() = %v, want %v", err, fault.errno)
			}
			if got, err := Read(path, 100); err != nil || string(got) != "old" {
				t.Errorf("the old file is %q, %v", got, err)
			}
			onlyFile(t, dir, "f")
		})
	}
}

func TestF51AFailedCreateLeavesNothing(t *testing.T) {
	for _, fault := range faults(
		fault{"link refused", unix.SYS_LINKAT, unix.EPERM},
		fault{"no room at link", unix.SYS_LINKAT, unix.ENOSPC},
	) {
		t.Run("F51 "+fault.name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, "f")
			err := underFault(t, fault.call, fault.errno, func() error { return Create(path, []byte("new")) })
			if !errors.Is(err, fault.errno) || errors.Is(err, fs.ErrExist) {
				t.Errorf("Create() = %v, want %v", err, fault.errno)
			}
			onlyFile(t, dir)
		})
	}
}

// The group's bits of the mode are those of the access list's mask: without the list, the
// group could read what it could not.
func TestReplace_KeepsAccessList(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(path, []byte("old"), 0o600); err != nil {
		t.Fatal(err)
	}
	const attribute = "system.posix_acl_access"
	list := []byte{2, 0, 0, 0}
	entry := func(tag, permissions byte, id uint32) {
		list = append(list, tag, 0, permissions, 0)
		list = binary.LittleEndian.AppendUint32(list, id)
	}
	entry(1, 6, 1<<32-1)    // the owner reads and writes
	entry(2, 4, 1000)       // user 1000 reads
	entry(4, 0, 1<<32-1)    // the group does nothing
	entry(0x10, 4, 1<<32-1) // the mask
	entry(0x20, 0, 1<<32-1) // others do nothing
	if err := unix.Setxattr(path, attribute, list, 0); errors.Is(err, unix.ENOTSUP) {
		t.Log("this file system has no access lists")
		return
	} else if err != nil {
		t.Fatal(err)
	}
	if err := Replace(path, 100, replaceBy("new")); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, 1<<10)
	n, err := unix.Getxattr(path, attribute, got)
	if err != nil || !bytes.Equal(got[:max(n, 0)], list) {
		t.Errorf("the list is %x, not %x, %v", got[:max(n, 0)], list, err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode() != 0o640 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
}

// A user who cannot give a file back to its owner does not replace it.
func TestReplace_RefusesWhatItCannotPreserve(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can create another user's file")
	}
	dir := t.TempDir()
	path := filepath.Join(dir, "f")
	if err := errors.Join(os.WriteFile(path, []byte("old"), 0o640), os.Chown(path, 0, 1000)); err != nil {
		t.Fatal(err)
	}
	for name, do := range map[string]func() error{
		"Replace": func() error { return Replace(path, 100, replaceBy("new")) },
		"Probe":   func() error { return Probe(path, 100, replaceBy("new")) },
	} {
		err := underFault(t, unix.SYS_FCHOWN, unix.EPERM, do)
		if !errors.Is(err, unix.EPERM) || !strings.Contains(err.Error(), "owner and group (0:1000) cannot be preserved") {
			t.Errorf("%s: %v", name, err)
		}
		if got, err := os.ReadFile(path); err != nil || string(got) != "old" {
			t.Errorf("%s: the old file is %q, %v", name, got, err)
		}
		onlyFile(t, dir, "f")
	}
}
