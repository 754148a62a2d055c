// Package secretstore stores secrets that others issued, one sealed record each, and rotates
// them so that no interruption loses the old value or the new one.
package secretstore

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/fobcli/fob/internal/config"
	"github.com/fobcli/fob/internal/credstore"
	"github.com/fobcli/fob/internal/seal"
	"github.com/fobcli/fob/internal/secret"
)

// MaxValue is the maximum size of a secret in bytes.
const MaxValue = 64 << 10

var (
	// ErrNoValue means that the storage has no secret of that name. Other failures never
	// match it.
	ErrNoValue = errors.New("no value is stored")
	// ErrOpen means that a rotation is unfinished.
	ErrOpen = errors.New("a rotation is unfinished")
	// ErrNotOpen means that there is no rotation to continue.
	ErrNotOpen = errors.New("no rotation is unfinished")
	// ErrSame is a new value that equals the old one, so that revoking the old one would
	// revoke it.
	ErrSame = errors.New("the new value is the same as the old one")
	// ErrValue is an invalid value.
	ErrValue = errors.New("invalid secret value")
)

// Error is a failure with a secret. It prints like its cause; hints need the name.
type Error struct {
	error
	Name string
}

func (e *Error) Unwrap() error { return e.error }

// ForSecret adds a secret's name to an error; nil stays nil.
func ForSecret(err error, name string) error {
	if err == nil {
		return nil
	}
	return &Error{err, name}
}

func (s *Secret) errorf(err error) error {
	return ForSecret(fmt.Errorf("secret %q: %w", s.Name, err), s.Name)
}

// Secret is one secret in its storage.
type Secret struct {
	Name  string
	Store *credstore.Store
	Dir   string // folder of the lock files
	Now   func() time.Time

	// Current is credstore.Entry's.
	Current func() error
}

// Entry returns the secret's record.
func (s *Secret) Entry() credstore.Entry {
	flat := strings.ReplaceAll(s.Name, "/", ".") // a slash would mean folders, and pieces of other records
	return credstore.Entry{
		Store:   s.Store,
		Context: seal.Context{Kind: "secret", Profile: flat},
		Lock:    filepath.Join(s.Dir, "secret."+flat+".lock"),
		Current: s.Current,
	}
}

// Held is the stored state of a secret.
type Held struct {
	Value secret.Secret
	SetAt time.Time
	Stage Stage // of its rotation

	other secret.Secret // the next value, or the previous one, depending on Stage
}

// OldEnded reports whether the issuer revoked the previous value before this one was
// delivered everywhere.
func (h Held) OldEnded() bool { return h.Stage == Delivering && h.other.IsZero() }

// Is reports whether a value is the secret's, or the other one of its rotation.
func (h Held) Is(value secret.Secret) bool {
	return slices.ContainsFunc([]secret.Secret{h.Value, h.other}, func(own secret.Secret) bool {
		return !own.IsZero() && secret.New(strings.TrimSpace(own.Reveal())) == value
	})
}

// recordVersion is raised when an older fob could no longer read a record correctly.
const recordVersion = 1

// header precedes the values in a record. Later versions read its JSON: fields are added,
// never renamed.
type header struct {
	Version int       `json:"v"`
	SetAt   time.Time `json:"set_at"`
	Stage   Stage     `json:"stage,omitempty"`
	Size    int       `json:"size"` // of the value, in bytes; the other one follows
}

func (h Held) marshal() (credstore.Record, error) {
	text, err := json.Marshal(header{recordVersion, h.SetAt, h.Stage, len(h.Value.Reveal())})
	return credstore.Record{Head: text, Body: []byte(h.Value.Reveal() + h.other.Reveal())}, err
}

// parse parses an opened record. Its errors contain no part of it.
func parse(r credstore.Record) (Held, error) {
	var h header
	err := json.Unmarshal(r.Head, &h)
	switch {
	case err != nil || h.Size < 1 || h.Size > len(r.Body):
		return Held{}, fmt.Errorf("the secret's record was not written by fob: %w", credstore.ErrCorrupt)
	case h.Version > recordVersion:
		return Held{}, fmt.Errorf("the secret was saved by a newer fob (record version %d): %w", h.Version, credstore.ErrCorrupt)
	}
	body := string(r.Body)
	return Held{Value: secret.New(body[:h.Size]), SetAt: h.SetAt, Stage: h.Stage, other: secret.New(body[h.Size:])}, nil
}

// Get reads the secret.
func (s *Secret) Get(ctx context.Context) (Held, error) {
	if err := config.CheckSecretName(s.Name); err != nil {
		return Held{}, err
	}
	r, err := s.Entry().Get(ctx)
	if errors.Is(err, credstore.ErrNotFound) {
		return Held{}, s.errorf(ErrNoValue)
	}
	if err != nil {
		return Held{}, ForSecret(fmt.Errorf("reading the secret %q: %w", s.Name, err), s.Name)
	}
	h, err := parse(r)
	return h, ForSecret(err, s.Name)
}

// Set replaces the value. During a rotation it returns ErrOpen, because the other value may
// be needed.
func (s *Secret) Set(ctx context.Context, value secret.Secret) error {
	if err := CheckValue(value); err != nil {
		return ForSecret(err, s.Name)
	}
	return s.locked(ctx, func() error {
		before, err := s.Get(ctx)
		if err == nil && before.Stage.hasTwoValues() {
			return s.errorf(ErrOpen)
		}
		if err != nil && !errors.Is(err, ErrNoValue) {
			return err // it may be readable later: only Remove deletes it
		}
		return s.save(ctx, Held{Value: value})
	})
}

func (s *Secret) save(ctx context.Context, h Held) error {
	if h.SetAt.IsZero() {
		h.SetAt = s.Now().UTC()
	}
	r, err := h.marshal()
	if err != nil {
		return err
	}
	if err := s.Store.Set(ctx, s.Entry().Context, r); err != nil {
		return fmt.Errorf("saving the secret %q: %w", s.Name, err)
	}
	return nil
}

// Remove deletes the secret, even during a rotation or if it cannot be read.
func (s *Secret) Remove(ctx context.Context) error {
	return s.locked(ctx, func() error {
		err := s.Store.Delete(ctx, s.Entry().Context)
		if errors.Is(err, credstore.ErrNotFound) {
			return s.errorf(ErrNoValue)
		}
		return err
	})
}

func (s *Secret) locked(ctx context.Context, change func() error) error {
	if err := config.CheckSecretName(s.Name); err != nil {
		return err
	}
	return ForSecret(s.Entry().Locked(ctx, change), s.Name)
}

// CheckValue rejects invalid values and likely mistakes.
func CheckValue(value secret.Secret) error {
	text := value.Reveal()
	switch {
	case text == "":
		return fmt.Errorf("%w: it is empty", ErrValue)
	case len(text) > MaxValue:
		return fmt.Errorf("%w: it has more than %d bytes", ErrValue, MaxValue)
	case strings.ContainsRune(text, 0):
		return fmt.Errorf("%w: it contains a NUL byte", ErrValue)
	case strings.HasSuffix(text, "\r"):
		return fmt.Errorf("%w: it ends with a carriage return, as lines of a Windows file do", ErrValue)
	}
	return nil
}

// IsLater reports whether a record was written after another one, if known.
func IsLater(r, other credstore.Record) bool {
	this, err := parse(r)
	that, otherErr := parse(other)
	return err != nil || otherErr != nil || this.SetAt.After(that.SetAt) || this.Stage != that.Stage
}

// CheckRecord rejects a record that Get could not read.
func CheckRecord(r credstore.Record) error {
	_, err := parse(r)
	return err
}

// Change is a new value of a secret together with its settings.
type Change struct {
	Path          string // of config.toml
	Before, After config.Secret
	IsNew         bool    // there is no Before
	Old, New      *Secret // as stored by Before and After; Old is nil if it cannot be opened
}

// Moves reports whether the value moves to another storage.
func (c Change) Moves() bool { return !c.IsNew && c.Old != nil && c.Old.Store != c.New.Store }

// Save stores the settings first: without settings, the value would never be found again.
// If the value moves, it is stored first instead, so that the settings always refer to a
// complete one; the caller deletes the old one.
func (c Change) Save(ctx context.Context, value secret.Secret) error {
	if c.Moves() {
		if stored, err := c.Old.Get(ctx); err == nil && stored.Stage != AtRest {
			return c.New.errorf(ErrOpen)
		}
		c.New.Current = nil // the settings name the new storage only afterwards
		if err := c.New.Set(ctx, value); err != nil {
			return err
		}
		return config.SaveSecret(c.Path, c.After)
	}
	if err := config.SaveSecret(c.Path, c.After); err != nil {
		return err
	}
	err := c.New.Set(ctx, value)
	switch {
	case err == nil:
		return nil
	case c.IsNew:
		return errors.Join(err, config.RemoveSecret(c.Path, c.After.Name))
	}
	return errors.Join(err, config.SaveSecret(c.Path, c.Before))
}
