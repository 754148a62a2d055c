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
