package destination

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/fobcli/fob/internal/httpclient"
	"github.com/fobcli/fob/internal/secret"
)

func machine(t *testing.T) Machine {
	return Machine{
		Client: httpclient.New, Getenv: func(string) string { return "" },
		Credential:  func(context.Context, string) (secret.Secret, error) { return secret.Secret{}, nil },
		DotenvRoots: []string{t.TempDir()}, LockDir: filepath.Join(t.TempDir(), "locks"),
	}
}

func TestDotenvIsWrittenByManyAtOnce(t *testing.T) {
	m := machine(t)
	path := filepath.Join(m.DotenvRoots[0], ".env")
	if err := os.WriteFile(path, []byte("# mine\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for _, name := range strings.Split("ABCDEFGHIJKLMNOPQRST", "") {
		wg.Go(func() {
			d, err := Parse("dotenv:"+path+"#"+name, m)
			if err == nil {
				err = d.Deliver(t.Context(), secret.New("value-"+name))
			}
			if err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	text, _ := os.ReadFile(path)
	if strings.Count(string(text), "=value-") != 20 || !strings.HasPrefix(string(text), "# mine\n") {
		t.Errorf("the file is %q", text)
	}
	if info, _ := os.Stat(path); info.Mode().Perm() != 0o644 {
		t.Errorf("its mode is %v", info.Mode())
	}
}

// A file that fob could not read again is not written.
func TestDotenvStaysReadable(t *testing.T) {
	m := machine(t)
	path := filepath.Join(m.DotenvRoots[0], ".env")
	for _, value := range []string{"small", strings.Repeat("x", maxDotenv-1), "as before"} {
		if err := deliver(t, m, "dotenv:"+path+"#A", value); (err == nil) != (len(value) < 100) {
			t.Errorf("%d bytes: %v", len(value), err)
		}
	}
	if text, _ := os.ReadFile(path); string(text) != "A='as before'\n" {
		t.Errorf("the file is %.40q", text)
	}
}

// A registry that others write must choose no file of this machine.
func TestF50DotenvStaysBelowItsRoots(t *testing.T) {
	m := machine(t)
	root, outside := m.DotenvRoots[0], t.TempDir()
	if err := os.Symlink(outside, filepath.Join(root, "link")); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{outside + "/.env", root + "/../.env", root + "/link/.env", "/etc/environment", root + "/absent/.env"} {
		var wrong *NameError
		if _, err := Parse("dotenv:"+path+"#A", m); !errors.As(err, &wrong) {
			t.Errorf("%s: %v", path, err)
		}
	}
	target := filepath.Join(outside, "target")
	if err := errors.Join(os.WriteFile(target, []byte("B=1\n"), 0o600), os.Symlink(target, filepath.Join(root, ".env"))); err != nil {
		t.Fatal(err)
	}
	if _, err := Parse("dotenv:"+root+"/.env#A", m); !isNameErrorOf(err, outside) {
		t.Errorf("a link that leads out: %v", err)
	}
	m.AnyFolder = true
	d, err := Parse("dotenv:"+root+"/.env#A", m)
	if err != nil {
		t.Fatal(err)
	}
	d.(*dotenvFile).machine.AnyFolder = false // as if the link had come after the check
	if err := d.Deliver(t.Context(), secret.New("v")); !isNameErrorOf(err, outside) {
		t.Errorf("a link that leads out since it was checked: %v", err)
	}
	if text, _ := os.ReadFile(target); string(text) != "B=1\n" {
		t.Errorf("the link's target is %q", text)
	}
}

func isNameErrorOf(err error, folder string) bool {
	wrong, ok := errors.AsType[*NameError](err)
	return ok && wrong.Folder == folder
}

func TestDotenv_LinkIsFollowed(t *testing.T) {
	m := machine(t)
	root := m.DotenvRoots[0]
	target, link := filepath.Join(root, "shared", "target"), filepath.Join(root, ".env")
	if err := errors.Join(os.Mkdir(filepath.Dir(target), 0o700), os.WriteFile(target, []byte("B=1\n"), 0o640),
		os.Symlink(filepath.Join("shared", "target"), link), os.Symlink("absent", filepath.Join(root, "dangling"))); err != nil {
		t.Fatal(err)
	}
	if err := deliver(t, m, "dotenv:"+link+"#A", "v"); err != nil {
		t.Fatal(err)
	}
	if text, err := os.ReadFile(target); err != nil || string(text) != "B=1\nA=v\n" {
		t.Errorf("the target is %q, %v", text, err)
	}
	if to, err := os.Readlink(link); err != nil || to != filepath.Join("shared", "target") {
		t.Errorf("the link leads to %q, %v", to, err)
	}
	if info, err := os.Stat(target); err != nil || info.Mode() != 0o640 {
		t.Errorf("the target's mode is %v, %v", info.Mode(), err)
	}
	if _, err := Parse("dotenv:"+root+"/dangling#A", m); !errors.As(err, new(*NameError)) {
		t.Errorf("a link that leads nowhere: %v", err)
	}
}

func TestNamesThatAreRefused(t *testing.T) {
	m := machine(t)
	for _, name := range []string{"", "x", "nope:a#B", "dotenv:.env", "dotenv:#A", "dotenv:" + m.DotenvRoots[0] + "/.env#1A", "dotenv:" + m.DotenvRoots[0] + "/.env#A B",
		"exec:", "exec:absent", "exec:a#b", "exec:a\nb", "exec:\x1b[2J", "exec:" + strings.Repeat("a", 600)} {
		var wrong *NameError
		if _, err := Parse(name, m); !errors.As(err, &wrong) || wrong.Usage == "" && len(name) < 500 && !strings.ContainsAny(name, "\n\x1b") {
			t.Errorf("%q: %v", name, err)
		}
	}
}

// Also what an interrupted rotation has left behind is replaced; other values are not.
func TestDotenv_ReplaceLeavesNoOldKey(t *testing.T) {
	m := machine(t)
	path := filepath.Join(m.DotenvRoots[0], ".env")
	old, abandoned, key := "fob_test_1AAA_xxxx", "fob_test_1BBB_yyyy", "fob_test_1CCC_zzzz"
	if err := os.WriteFile(path, []byte("# was "+old+"\nA="+abandoned+"\nB="+abandoned+"\nC=fob_test_1DDD_xxxx\nD=short\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	d, err := Parse("dotenv:"+path+"#A", m)
	if err != nil {
		t.Fatal(err)
	}
	if err := d.(Replacer).Replace(t.Context(), "fob_test_1AAA_", secret.New(key)); err != nil {
		t.Fatal(err)
	}
	want := "# was " + key + "\nA=" + key + "\nB=" + key + "\nC=fob_test_1DDD_xxxx\nD=short\n"
	if text, err := os.ReadFile(path); err != nil || string(text) != want {
		t.Errorf("%q, %v", text, err)
	}
	if err := d.Deliver(t.Context(), secret.New("fob_test_1EEE_xxxx")); err != nil {
		t.Fatal(err)
	}
	if text, _ := os.ReadFile(path); strings.Count(string(text), key) != 2 {
		t.Errorf("a delivery without a rotation: %q", text)
	}
}
