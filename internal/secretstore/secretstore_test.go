package secretstore

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fobcli/fob/internal/config"
	"github.com/fobcli/fob/internal/credstore"
	"github.com/fobcli/fob/internal/seal"
	"github.com/fobcli/fob/internal/secret"
)

var testKey = seal.NewKey()

// inDir is a secret in sealed files. failAt makes that save fail, and all behind it
// until it is 0 again; the first save is 1.
func inDir(dir, name string, failAt *int) *Secret {
	saves := 0
	key := func(_ context.Context, create bool) (seal.Key, error) {
		if create {
			saves++
			if *failAt > 0 && saves >= *failAt {
				return seal.Key{}, errNoSpace
			}
		}
		return testKey, nil
	}
	return &Secret{Name: name, Store: credstore.NewFile(credstore.FileOptions{DataDir: dir, Key: key}), Dir: filepath.Join(dir, "locks"), Now: time.Now}
}

var errNoSpace = errors.New("no space left on the device")

func valueOf(t *testing.T, s *Secret) string {
	t.Helper()
	h, err := s.Get(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return h.Value.Reveal()
}

func TestValuesAreKeptByteForByte(t *testing.T) {
	never := 0
	for _, value := range []string{"x", "a\nb\n", "a\r\nb", "\xff\xfe\x80", " blanks ", strings.Repeat("m", MaxValue), "-----BEGIN PRIVATE KEY-----\nabc\n-----END PRIVATE KEY-----\n"} {
		s := inDir(t.TempDir(), "stripe/prod", &never)
		if _, err := s.Get(t.Context()); !errors.Is(err, ErrNoValue) {
			t.Fatal(err)
		}
		if err := s.Set(t.Context(), secret.New(value)); err != nil {
			t.Fatal(err)
		}
		if got := valueOf(t, s); got != value {
			t.Errorf("%.40q became %.40q", value, got)
		}
		if err := s.Remove(t.Context()); err != nil {
			t.Error(err)
		}
		if err := s.Remove(t.Context()); !errors.Is(err, ErrNoValue) {
			t.Errorf("removed twice: %v", err)
		}
	}
}

func TestValuesThatAreRefused(t *testing.T) {
	never := 0
	s := inDir(t.TempDir(), "a", &never)
	for _, value := range []string{"", "a\x00b", "secret\r", strings.Repeat("m", MaxValue+1)} {
		err := s.Set(t.Context(), secret.New(value))
		if !errors.Is(err, ErrValue) || strings.Contains(err.Error(), "secret\r") {
			t.Errorf("%.20q: %v", value, err)
		}
	}
	s.Name = "../../x"
	if err := s.Set(t.Context(), secret.New("v")); err == nil {
		t.Error("a name that leaves the folder was taken")
	}
	if _, err := s.Get(t.Context()); err == nil || errors.Is(err, ErrNoValue) {
		t.Error(err)
	}
}

// A secret beside others whose names begin alike, and no plain text in any file (H64).
func TestH64NamesDoNotMeetAndFilesAreSealed(t *testing.T) {
	dir, never := t.TempDir(), 0
	names := []string{"a", "a/b", "a/b/c", "a-b", "a/a/0"}
	for _, name := range names {
		if err := inDir(dir, name, &never).Set(t.Context(), secret.New("canary of "+name)); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range names {
		if got := valueOf(t, inDir(dir, name, &never)); got != "canary of "+name {
			t.Errorf("%s: %q", name, got)
		}
	}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		content, err := os.ReadFile(path)
		if bytes.Contains(content, []byte("canary")) {
			t.Errorf("%s holds a secret", path)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

// F48: a record that is put in the place of another secret's does not open.
func TestF48SecretsCannotBeSwapped(t *testing.T) {
	dir, never := t.TempDir(), 0
	for _, name := range []string{"stripe/test", "stripe/prod"} {
		if err := inDir(dir, name, &never).Set(t.Context(), secret.New(name)); err != nil {
			t.Fatal(err)
		}
	}
	records := filepath.Join(dir, "records", "secret")
	if err := os.Rename(filepath.Join(records, "stripe.test"), filepath.Join(records, "stripe.prod")); err != nil {
		t.Fatal(err)
	}
	if _, err := inDir(dir, "stripe/prod", &never).Get(t.Context()); !errors.Is(err, seal.ErrWrongContext) {
		t.Errorf("%v", err)
	}
	// It is not written over either: it may be somebody's only copy.
	if err := inDir(dir, "stripe/prod", &never).Set(t.Context(), secret.New("x")); !errors.Is(err, seal.ErrWrongContext) {
		t.Errorf("%v", err)
	}
}

func TestCheckStage(t *testing.T) {
	never := 0
	s := inDir(t.TempDir(), "db", &never)
	for _, test := range []struct {
		stage                   Stage
		resume, abandon, canAsk bool
		want                    error
	}{
		{AtRest, false, false, false, nil},
		{AtRest, true, false, true, ErrNotOpen},
		{AtRest, false, true, true, ErrNotOpen},
		{Asked, false, false, true, nil}, // asks again
		{Asked, true, false, true, nil},
		{Asked, true, false, false, ErrUnanswered},
		{Asked, false, true, false, nil},
		{Delivering, false, false, true, ErrOpen},
		{Delivering, true, false, false, nil},
		{Retiring, false, false, true, ErrOpen},
		{Retiring, false, true, false, nil},
	} {
		err := s.CheckStage(test.stage, test.resume, test.abandon, test.canAsk)
		var named *Error
		if !errors.Is(err, test.want) || test.want != nil && (!errors.As(err, &named) || named.Name != "db") {
			t.Errorf("%+v: %v", test, err)
		}
	}
}

// Whatever fails, config.toml names a storage with a whole value, or nothing.
func TestChange_Save(t *testing.T) {
	var never, failing int
	path := filepath.Join(t.TempDir(), "config.toml")
	settings := func() config.Secret {
		cfg, err := config.Load("", path, func(string) string { return "" })
		if err != nil {
			t.Fatal(err)
		}
		return cfg.Secrets["db"]
	}
	here, there := inDir(t.TempDir(), "db", &never), inDir(t.TempDir(), "db", &never)
	before, after := config.Secret{Name: "db", Storage: "keyring"}, config.Secret{Name: "db", Storage: "file"}

	failing = 1
	broken := inDir(t.TempDir(), "db", &failing)
	if err := (Change{Path: path, After: before, IsNew: true, New: broken}).Save(t.Context(), secret.New("one")); err == nil || settings().Name != "" {
		t.Errorf("a new secret that could not be stored: %v, %+v", err, settings())
	}
	if err := (Change{Path: path, After: before, IsNew: true, New: here}).Save(t.Context(), secret.New("one")); err != nil || settings().Storage != "keyring" {
		t.Fatalf("%v, %+v", err, settings())
	}
	failing = 1
	if err := (Change{Path: path, Before: before, After: after, Old: here, New: inDir(t.TempDir(), "db", &failing)}).Save(t.Context(), secret.New("two")); err == nil || settings().Storage != "keyring" {
		t.Errorf("a move that failed: %v, %+v", err, settings())
	}
	move := Change{Path: path, Before: before, After: after, Old: here, New: there}
	if err := move.Save(t.Context(), secret.New("two")); err != nil || !move.Moves() || settings().Storage != "file" || valueOf(t, there) != "two" || valueOf(t, here) != "one" {
		t.Errorf("moved: %v, %+v", err, settings())
	}
	open := errors.New("503")
	steps := Steps{
		Mint:    func(context.Context, secret.Secret) (Minted, error) { return Minted{Value: secret.New("three")}, nil },
		Deliver: func(context.Context, secret.Secret) error { return open },
	}
	if err := there.Rotate(t.Context(), steps); !errors.Is(err, open) {
		t.Fatal(err)
	}
	if err := (Change{Path: path, Before: after, After: before, Old: there, New: here}).Save(t.Context(), secret.New("four")); !errors.Is(err, ErrOpen) || settings().Storage != "file" {
		t.Errorf("during a rotation: %v, %+v", err, settings())
	}
}

func TestIssuer_Steps(t *testing.T) {
	var got string
	issuer := &Issuer{RotateWith: "mint", RetireWith: "drop", Run: func(_ context.Context, command string, stdin secret.Secret) ([]byte, error) {
		got += command + "(" + stdin.Reveal() + ")"
		return []byte(map[string]string{"mint": "two\r\n", "silent": ""}[command]), nil
	}}
	steps := issuer.Steps()
	minted, err := steps.Mint(t.Context(), secret.New("one"))
	if err := errors.Join(err, steps.Retire(t.Context(), secret.New("one"))); err != nil || minted.Value.Reveal() != "two" || !steps.Asks || got != "mint()drop(one)" {
		t.Errorf("%q %q %v", minted.Value.Reveal(), got, err)
	}
	issuer.RotateWith = "silent"
	var output *OutputError
	if _, err := issuer.Steps().Mint(t.Context(), secret.New("one")); !errors.As(err, &output) || output.Command != "silent" || !errors.Is(err, ErrValue) {
		t.Errorf("%v", err)
	}
	stopped, stop := context.WithCancel(t.Context())
	stop()
	if _, err := issuer.Steps().Mint(stopped, secret.New("one")); !errors.Is(err, ErrUnanswered) {
		t.Errorf("interrupted: %v", err)
	}
	if steps := (&Issuer{}).Steps(); steps.Mint != nil || steps.Retire != nil || steps.Asks {
		t.Errorf("%+v", steps)
	}
}

// A value is the secret's if it is one of the two of a rotation. Blank around it does not count.
func TestHeld_Is(t *testing.T) {
	held := Held{Value: secret.New("old\n"), other: secret.New("new")}
	for text, want := range map[string]bool{"old": true, "new": true, "ol": false, "oldnew": false, "": false} {
		if held.Is(secret.New(text)) != want {
			t.Errorf("%q: %t", text, !want)
		}
	}
	if (Held{}).Is(secret.Secret{}) {
		t.Error("nothing is the value of no secret")
	}
}
