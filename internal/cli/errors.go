package cli

import (
	"errors"
	"fmt"
)

// StatusError is a failure with a status of exec's own.
type StatusError struct {
	error
	Status int
}

func (e *StatusError) Unwrap() error { return e.error }

// WithStatus gives a failure an exit status of its own.
func WithStatus(err error, status int) error { return &StatusError{err, status} }

// SilentStatus is a status without a word: a child's, which fob passes on, or that of an
// answer which says on stdout what there is to say.
type SilentStatus struct{ Status int }

func (e *SilentStatus) Error() string { return fmt.Sprintf("exit status %d", e.Status) }

// Silent ends fob with a status and without a word.
func Silent(status int) error { return &SilentStatus{status} }

// The exit statuses of every command.
const (
	ExitDone          = 0
	ExitFailed        = 1
	ExitUsage         = 2
	ExitFindings      = 3
	ExitLoginRequired = 4
	ExitUnavailable   = 5 // network or server
	ExitStorage       = 6 // absent, locked or damaged
	ExitLockTimeout   = 7
	ExitRefused       = 8 // a credential
	ExitInterrupted   = 130
)

// ExitMeanings are the lines that a command's help shows of its statuses.
var ExitMeanings = map[int]string{
	ExitDone:          "done",
	ExitFailed:        "failed",
	ExitUsage:         "wrong usage",
	ExitFindings:      "something was found",
	ExitLoginRequired: "login required",
	ExitUnavailable:   "server unreachable",
	ExitStorage:       "storage unusable",
	ExitLockTimeout:   "lock timed out",
	ExitRefused:       "credential refused",
	ExitInterrupted:   "interrupted",
}

// ErrorHint is what to do next about an error, whoever meets it.
type ErrorHint struct {
	Target error
	Hint   string
}

// HintOn is what to do next about an error.
func HintOn(target error, hint string) ErrorHint { return ErrorHint{target, hint} }

// HintFor is the first row's that an error matches.
func HintFor(err error, rows []ErrorHint) string {
	for _, row := range rows {
		if errors.Is(err, row.Target) {
			return row.Hint
		}
	}
	return ""
}

// ErrUnfinished matches errors that say what an unfinished command leaves behind, which is
// shown after an interruption too.
var ErrUnfinished = errors.New("as it is now")

// Unfinishedf says what an unfinished command leaves behind; see ErrUnfinished.
func Unfinishedf(format string, args ...any) error {
	return &unfinishedError{fmt.Errorf(format, args...)}
}

type unfinishedError struct{ error }

func (*unfinishedError) Is(target error) bool { return target == ErrUnfinished }

// Failures are those of several profiles. Each is shown with its own hint.
type Failures []error

func (f Failures) Error() string { return errors.Join(f...).Error() }

func (f Failures) Unwrap() []error { return f }

// Of puts the name of the profile before its failure, and into the hint.
func (f *Failures) Of(profile string, err error) {
	if err != nil {
		*f = append(*f, ForProfile(fmt.Errorf("%s: %w", profile, err), profile))
	}
}

// Err is nil where nothing has failed.
func (f Failures) Err() error {
	if len(f) == 0 {
		return nil
	}
	return f
}

// HintError carries what to do next beside what went wrong.
type HintError struct {
	error
	Hint string
}

func (e *HintError) Unwrap() error { return e.error }

// WithHint adds what to do next to an error; nil stays nil.
func WithHint(err error, format string, args ...any) error {
	if err == nil {
		return nil
	}
	return &HintError{error: err, Hint: fmt.Sprintf(format, args...)}
}

// ProfileError is a failure of one profile, whose name its hint needs.
type ProfileError struct {
	error
	Profile string
}

func (e *ProfileError) Unwrap() error { return e.error }

// ForProfile says which profile a failure is about.
func ForProfile(err error, name string) error {
	if err == nil {
		return nil
	}
	return &ProfileError{error: err, Profile: name}
}

// CarriedHint is the hint that an error carries, or "".
func CarriedHint(err error) string {
	if hinted, ok := errors.AsType[*HintError](err); ok {
		return hinted.Hint
	}
	return ""
}

// UsageError is a call that fob does not understand, or cannot do as asked. What it was
// made of is not unwrapped: the status is that of wrong usage.
type UsageError struct{ error }

// IsUsage reports an error in how fob was called.
func IsUsage(err error) bool {
	_, is := errors.AsType[*UsageError](err)
	return is
}

// AsUsage makes a usage error of another one.
func AsUsage(err error) error { return &UsageError{err} }

// Usagef makes an error in how fob was called: exit status 2.
func Usagef(format string, args ...any) error {
	return &UsageError{fmt.Errorf(format, args...)}
}

// FindingsError is what a search was for: no failure, and a status of its own.
type FindingsError struct{ error }

// Findings ends a search that has found something: exit status 3.
func Findings(what string) error { return &FindingsError{errors.New(what)} }
