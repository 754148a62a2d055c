package atomicfile

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/windows"
)

// unshared opens a file as a virus scanner may: nobody can replace it meanwhile.
func unshared(t *testing.T, path string) *os.File {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	return f
}

func TestWriteWaitsForAFileThatIsLookedAt(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "f")
	if err := Write(path, []byte("old")); err != nil {
		t.Fatal(err)
	}
	scanner := unshared(t, path)
	written := make(chan error, 1)
	go func() { written <- Write(path, []byte("new")) }()
	for begun := false; !begun; {
		entries, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		begun = len(entries) == 2 && strings.HasPrefix(entries[0].Name(), ".f.")
	}
	if err := scanner.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-written; err != nil {
		t.Error(err)
	}
	if got, err := Read(path, 100); err != nil || string(got) != "new" {
		t.Errorf("the file is %q, %v", got, err)
	}
	onlyFile(t, dir, "f")
}

func TestAFileThatStaysOpenIsLeftAsItWas(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "f")
	if err := Write(path, []byte("old")); err != nil {
		t.Fatal(err)
	}
	unshared(t, path)
	if err := Write(path, []byte("new")); err == nil {
		t.Error("an open file was replaced")
	}
	if got, err := Read(path, 100); err != nil || string(got) != "old" {
		t.Errorf("the file is %q, %v", got, err)
	}
	onlyFile(t, dir, "f")
}

// A file that is moved to its place is open for deletion until the move is done.
func TestReadersAreLetInDuringAMove(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	if err := Write(path, []byte("new")); err != nil {
		t.Fatal(err)
	}
	name, err := windows.UTF16PtrFromString(path)
	if err != nil {
		t.Fatal(err)
	}
	const share = windows.FILE_SHARE_READ | windows.FILE_SHARE_WRITE | windows.FILE_SHARE_DELETE
	mover, err := windows.CreateFile(name, windows.DELETE, share, nil, windows.OPEN_EXISTING, 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = windows.CloseHandle(mover) }()
	if got, err := Read(path, 10); err != nil || string(got) != "new" {
		t.Errorf("Read() = %q, %v", got, err)
	}
	if got, err := ReadPublic(path); err != nil || string(got) != "new" {
		t.Errorf("ReadPublic() = %q, %v", got, err)
	}
	if _, err := os.ReadFile(path); err == nil {
		t.Error("os.ReadFile is let in too: ReadPublic is not needed")
	}
}
