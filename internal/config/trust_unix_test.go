//go:build unix

package config

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/fobcli/fob/internal/atomicfile"
)

const (
	user  = 12345 // and the user's own group
	other = 54321
)

// TestI74_AsUser is the unprivileged user's part of TestI74_OwnersAndModes.
func TestI74_AsUser(t *testing.T) {
	path := os.Getenv("FOB_TEST_CONFIG")
	if path == "" {
		t.Skip("it is started by TestI74_OwnersAndModes")
	}
	_, err := Load("", path, env())
	var others *atomicfile.OthersError
	fmt.Printf("refused=%v err=%v\n", errors.As(err, &others), err)
	if err := os.Chdir(filepath.Dir(path)); err != nil {
		t.Fatal(err)
	}
	skipped := 0
	choice, err := Named("", env(), func(*atomicfile.OthersError) { skipped++ })
	fmt.Printf("skipped=%v choice=%s err=%v\n", skipped > 0, choice.Name, err)
}

func TestI74_OwnersAndModes(t *testing.T) {
	if os.Geteuid() != 0 {
		if os.Getenv("CI") == "true" {
			t.Fatal("this test needs root")
		}
		t.Skip("only root can make files of other users")
	}
	top, err := os.MkdirTemp("", "fob")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(top) })
	program := filepath.Join(top, "config.test")
	if err := errors.Join(os.Chmod(top, 0o755), copyProgram(program)); err != nil {
		t.Fatal(err)
	}
	for i, test := range []struct {
		name             string
		uid, gid         int
		mode             os.FileMode
		dirUID           int
		dirMode          os.FileMode
		refused, skipped bool
	}{
		{"the user's own", user, user, 0o600, user, 0o700, false, false},
		{"open to read", user, other, 0o644, user, 0o755, false, false},
		{"written by the user's own group", user, user, 0o664, user, 0o755, false, false},
		{"written by root's group", 0, 0, 0o664, 0, 0o755, false, false},
		{"root's", 0, 0, 0o644, 0, 0o755, false, false},
		{"written by a group", user, other, 0o664, user, 0o755, true, true},
		{"root's, written by a group", 0, user, 0o664, 0, 0o755, true, true},
		{"written by all", user, user, 0o646, user, 0o755, true, true},
		{"root's, written by all", 0, 0, 0o666, 0, 0o755, true, true},
		{"another user's", other, other, 0o644, user, 0o755, true, true},
		{"another user's, in the user's group", other, user, 0o644, user, 0o755, true, true},
		{"in a folder that all can write", user, user, 0o600, user, 0o777, true, false},
		{"in a folder that a group can write", user, user, 0o600, user, 0o775, true, false},
		{"in one that is sticky", user, user, 0o600, 0, 0o777 | os.ModeSticky, false, false},
		{"in another user's sticky folder", user, user, 0o600, other, 0o777 | os.ModeSticky, true, false},
		{"in another user's folder", user, user, 0o600, other, 0o755, true, false},
	} {
		dir := filepath.Join(top, fmt.Sprint(i))
		path, project := filepath.Join(dir, "config.toml"), filepath.Join(dir, ProjectFile)
		err := os.Mkdir(dir, 0o700)
		for file, text := range map[string]string{path: "default = \"x\"\n", project: "profile = \"x\"\n"} {
			err = errors.Join(err, os.WriteFile(file, []byte(text), 0o600), os.Chown(file, test.uid, test.gid), os.Chmod(file, test.mode))
		}
		if err := errors.Join(err, os.Chown(dir, test.dirUID, other), os.Chmod(dir, test.dirMode)); err != nil {
			t.Fatal(err)
		}
		out, err := asUser(program, path)
		choice := map[bool]string{false: "x"}[test.skipped]
		if err != nil || !strings.Contains(string(out), fmt.Sprintf("refused=%v", test.refused)) ||
			!strings.Contains(string(out), fmt.Sprintf("skipped=%v choice=%s err=<nil>", test.skipped, choice)) {
			t.Errorf("%s: %v\n%s", test.name, err, out)
		}
	}
}

func asUser(program, path string) ([]byte, error) {
	child := exec.Command(program, "-test.run=^TestI74_AsUser$", "-test.v")
	child.Env = []string{"FOB_TEST_CONFIG=" + path}
	child.Dir = "/"
	child.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: user, Gid: user}}
	return child.CombinedOutput()
}

// Whoever owns a link, at whatever place of the path, chooses the configuration; and so do
// those who can write the folder that it leads to.
func TestI74_LinksOnTheWay(t *testing.T) {
	if os.Geteuid() != 0 {
		if os.Getenv("CI") == "true" {
			t.Fatal("this test needs root")
		}
		t.Skip("only root can make files of other users")
	}
	top, err := os.MkdirTemp("", "fob")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(top) })
	program := filepath.Join(top, "config.test")
	err = errors.Join(os.Chmod(top, 0o755), copyProgram(program))
	for _, dir := range []string{"own", "own/deep", "open", "group", "usergroup"} {
		err = errors.Join(err, os.MkdirAll(filepath.Join(top, dir), 0o755), os.WriteFile(filepath.Join(top, dir, "config.toml"), nil, 0o644),
			os.Chown(filepath.Join(top, dir, "config.toml"), user, user), os.Chown(filepath.Join(top, dir), user, other))
	}
	err = errors.Join(err, os.Remove(filepath.Join(top, "own", "deep", "config.toml")), os.Chown(filepath.Join(top, "usergroup"), user, user), os.Chmod(filepath.Join(top, "open"), 0o777),
		os.Chmod(filepath.Join(top, "group"), 0o775), os.Chmod(filepath.Join(top, "usergroup"), 0o775))
	for name, link := range map[string]struct {
		to    string
		owner int
	}{
		"mine": {"own/", user}, "roots": {filepath.Join(top, "own/deep/.."), 0}, "theirs": {"own", other}, "chain": {"mine/../theirs/deep", user},
		"up": {"theirs/../own", user}, "toopen": {"open/config.toml", user}, "togroup": {"group/config.toml", user}, "loop": {"loop", user},
	} {
		err = errors.Join(err, os.Symlink(link.to, filepath.Join(top, name)), os.Lchown(filepath.Join(top, name), link.owner, other))
	}
	if err != nil {
		t.Fatal(err)
	}
	for path, refused := range map[string]string{
		"own/config.toml": "", "own/deep/../config.toml": "", "mine/config.toml": "", "mine//deep/config.toml": "", "roots/config.toml": "", "usergroup/config.toml": "",
		"theirs/config.toml": "/theirs is a link of another user", "theirs/deep/config.toml": "/theirs is a link of another user", "theirs/../own/config.toml": "/theirs is a link of another user",
		"chain/config.toml": "/theirs is a link of another user", "up/config.toml": "/theirs is a link of another user", "toopen": "/open can be written", "togroup": "/group can be written",
		"group/missing": "/group can be written", "theirs/missing": "/theirs is a link of another user", "own/missing": "",
	} {
		out, err := asUser(program, top+"/"+path)
		if err != nil || !strings.Contains(string(out), fmt.Sprintf("refused=%t err=", refused != "")) || !strings.Contains(string(out), refused) {
			t.Errorf("%s: %v\n%s", path, err, out)
		}
	}
}

func copyProgram(to string) error {
	from, err := os.Open(os.Args[0])
	if err != nil {
		return err
	}
	defer from.Close()
	copied, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o755)
	if err != nil {
		return err
	}
	_, err = io.Copy(copied, from)
	return errors.Join(err, copied.Close())
}
