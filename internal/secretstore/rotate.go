package secretstore

import (
	"context"
	"errors"
	"fmt"

	"github.com/fobcli/fob/internal/secret"
)

// A rotation has these stages. Each is saved before the next external step, so that the
// process that resumes the rotation knows what may have happened, and has both values while
// either may be needed:
//
//	at rest → asked → delivering → retiring → at rest
//
// In asked, the issuer may have created a value that was not received. In delivering, the
// new value is stored and the old one is valid, unless its issuer revoked it. In retiring,
// every destination has the new value, and the old one may be revoked.

// Stage is the progress of a rotation.
type Stage string

// The stages of a rotation.
const (
	AtRest     Stage = ""
	Asked      Stage = "asked"
	Delivering Stage = "delivering"
	Retiring   Stage = "retiring"
)

// hasTwoValues reports whether there are two values, one of which would be lost by storing a
// new one.
func (s Stage) hasTwoValues() bool { return s == Delivering || s == Retiring }

// ErrUnanswered means that the issuer was asked for a value and its response was lost: it may
// have created one, and revoked the old one.
var ErrUnanswered = errors.New("the issuer's response was lost")

// Minted is a new value.
type Minted struct {
	Value    secret.Secret
	OldEnded bool // the issuer revoked the old one
}

// Steps are what a rotation does outside of the storage.
type Steps struct {
	// Mint gets a new value; if it fails with ErrUnanswered, there may be one. nil: the
	// rotation must already have one.
	Mint func(ctx context.Context, old secret.Secret) (Minted, error)
	// Asks means that Mint asks an issuer, which may act even if its response is lost.
	Asks bool
	// Deliver delivers the value to all destinations. It must be idempotent.
	Deliver func(ctx context.Context, value secret.Secret) error
	// Retire revokes a value at its issuer; may be nil. It must be idempotent.
	Retire func(ctx context.Context, old secret.Secret) error
}

// UnkeptError is a new value that could not be stored, the only copy.
type UnkeptError struct {
	Minted
	Cause error
}

func (e *UnkeptError) Error() string { return "the new value could not be stored: " + e.Cause.Error() }

func (e *UnkeptError) Unwrap() error { return e.Cause }

// Rotate replaces the secret's value. If a step fails, the stage is stored, and Resume
// continues from there; nothing is retired while a delivery has failed.
func (s *Secret) Rotate(ctx context.Context, steps Steps) error {
	return s.step(ctx, false, false, true, func(h Held) error { return s.mint(ctx, h, steps) })
}

// Resume continues an unfinished rotation.
func (s *Secret) Resume(ctx context.Context, steps Steps) error {
	return s.step(ctx, true, false, steps.Mint != nil, func(h Held) error {
		switch h.Stage {
		case Delivering:
			return s.deliver(ctx, h, steps)
		case Retiring:
			return s.retire(ctx, h, steps)
		}
		return s.mint(ctx, h, steps)
	})
}

// Abandon ends an unfinished rotation: while a destination lacks the new value, with the
// old one, otherwise with the new one.
func (s *Secret) Abandon(ctx context.Context) error {
	return s.step(ctx, false, true, false, func(h Held) error {
		return s.save(ctx, Held{Value: h.Value, SetAt: h.SetAt})
	})
}

// CheckStage refuses to begin a rotation during another one, and to continue if there is
// none; canAsk means that the issuer can be asked for another value.
func (s *Secret) CheckStage(stage Stage, resume, abandon, canAsk bool) error {
	switch {
	case stage == AtRest && (resume || abandon):
		return s.errorf(ErrNotOpen)
	case stage.hasTwoValues() && !resume && !abandon:
		return s.errorf(ErrOpen)
	case resume && !stage.hasTwoValues() && !canAsk:
		return s.errorf(ErrUnanswered)
	}
	return nil
}

// step changes the secret if CheckStage permits it.
func (s *Secret) step(ctx context.Context, resume, abandon, canAsk bool, change func(Held) error) error {
	return s.locked(ctx, func() error {
		h, err := s.Get(ctx)
		if err == nil {
			err = s.CheckStage(h.Stage, resume, abandon, canAsk)
		}
		if err != nil {
			return err
		}
		return change(h)
	})
}

func (s *Secret) mint(ctx context.Context, h Held, steps Steps) error {
	if steps.Asks && h.Stage != Asked {
		h.Stage = Asked // this also tests the storage
		if err := s.save(ctx, h); err != nil {
			return err
		}
	}
	minted, err := steps.Mint(ctx, h.Value)
	isSame := minted.Value == h.Value && !minted.OldEnded
	if minted.Value.IsZero() || isSame {
		switch {
		case isSame: // another process may have stored it since the caller looked
			err = s.errorf(ErrSame)
		case err == nil:
			err = fmt.Errorf("%w: it is empty", ErrValue)
		}
		if steps.Asks && !errors.Is(err, ErrUnanswered) {
			err = errors.Join(err, s.save(context.WithoutCancel(ctx), Held{Value: h.Value, SetAt: h.SetAt}))
		}
		return err
	}
	// The new value is stored before anything else is checked, even after an interrupt.
	next := Held{Value: h.Value, SetAt: h.SetAt, other: minted.Value, Stage: Delivering}
	if minted.OldEnded {
		next = Held{Value: minted.Value, Stage: Delivering}
	}
	keeping := context.WithoutCancel(ctx)
	if saveErr := s.save(keeping, next); saveErr != nil {
		if saveErr = s.save(keeping, next); saveErr != nil { // a lock or a busy disk: retry once
			return &UnkeptError{minted, saveErr}
		}
	}
	if err != nil {
		return err
	}
	return s.deliver(ctx, next, steps)
}

func (s *Secret) deliver(ctx context.Context, h Held, steps Steps) error {
	next := h.other
	if next.IsZero() { // the issuer revoked the old one
		next = h.Value
	}
	if err := CheckValue(next); err != nil {
		return err
	}
	if err := steps.Deliver(ctx, next); err != nil {
		return err
	}
	if h.other.IsZero() {
		return s.save(context.WithoutCancel(ctx), Held{Value: next, SetAt: h.SetAt})
	}
	h = Held{Value: next, other: h.Value, Stage: Retiring}
	if err := s.save(context.WithoutCancel(ctx), h); err != nil {
		return err
	}
	return s.retire(ctx, h, steps)
}

func (s *Secret) retire(ctx context.Context, h Held, steps Steps) error {
	if steps.Retire != nil {
		if err := steps.Retire(ctx, h.other); err != nil {
			return err
		}
	}
	return s.save(context.WithoutCancel(ctx), Held{Value: h.Value, SetAt: h.SetAt})
}
