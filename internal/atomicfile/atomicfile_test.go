package atomicfile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"testing"
)

func TestWriteAndRead(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "b")
	if err := MkdirPrivate(dir); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "f")
	if _, err := Read(path, 10); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("reading what is not there: %v", err)
	}
	for _, content := range []string{"first", "second", ""} {
		if err := Write(path, []byte(content)); err != nil {
			t.Fatal(err)
		}
		if got, err := Read(path, 10); err != nil || string(got) != content {
			t.Fatalf("Read() = %q, %v", got, err)
		}
	}
	if err := Write(path, make([]byte, 11)); err != nil {
		t.Fatal(err)
	}
	if _, err := Read(path, 10); err == nil {
		t.Error("a file over the limit is read")
	}
	onlyFile(t, dir, "f")
}

// onlyFile fails if anything but the named files is in dir, such as a temp file.
func onlyFile(t *testing.T, dir string, names ...string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, entry := range entries {
		got = append(got, entry.Name())
	}
	if fmt.Sprint(got) != fmt.Sprint(names) {
		t.Errorf("%s holds %v, want %v", dir, got, names)
	}
}

func TestAFailedWriteLeavesTheOldFile(t *testing.T) {
	dir := t.TempDir()
	target := filepath.Join(dir, "target")
	if err := os.MkdirAll(filepath.Join(target, "inside"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := Write(target, []byte("x")); err == nil {
		t.Fatal("a folder was replaced by a file")
	}
	onlyFile(t, dir, "target")
	if err := Write(filepath.Join(dir, "missing", "f"), nil); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("writing into no folder: %v", err)
	}
}

func TestF46OneOfManyCreates(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "seal.key")
	var won sync.Map
	var wg sync.WaitGroup
	for i := range 100 {
		wg.Go(func() {
			content := fmt.Sprintf("key %d", i)
			switch err := Create(path, []byte(content)); {
			case err == nil:
				won.Store(content, true)
			case !errors.Is(err, fs.ErrExist):
				t.Errorf("Create: %v", err)
			}
		})
	}
	wg.Wait()
	winners := 0
	won.Range(func(content, _ any) bool {
		winners++
		if got, err := Read(path, 100); err != nil || string(got) != content {
			t.Errorf("%q won, but %q is there (%v)", content, got, err)
		}
		return true
	})
	if winners != 1 {
		t.Errorf("%d writers won", winners)
	}
	onlyFile(t, dir, "seal.key")
}

func TestAppendAddsLinesOfTheirOwn(t *testing.T) {
	for before, want := range map[string]string{"": "new\n", "old\n": "old\nnew\n", "unfinished": "unfinished\nnew\n"} {
		path := filepath.Join(t.TempDir(), "f")
		if err := os.WriteFile(path, []byte(before), 0o644); err != nil {
			t.Fatal(err)
		}
		err := Append(path, []byte("new\n"))
		if got, _ := os.ReadFile(path); err != nil || string(got) != want {
			t.Errorf("%q became %q, %v", before, got, err)
		}
	}
	dir := t.TempDir()
	if err := Append(dir, nil); !errors.Is(err, ErrUnsafe) {
		t.Errorf("a folder: %v", err)
	}
	if err := Append(filepath.Join(dir, "none"), nil); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a missing file: %v", err)
	}
}
