package cli

import (
	"errors"
	"fmt"
	"runtime"
	"syscall"
)

// StatusError is a failure with its own exit status.
type StatusError struct {
	error
	Status int
}

func (e *StatusError) Unwrap() error { return e.error }

// WithStatus sets a failure's exit status.
func WithStatus(err error, status int) error { return &StatusError{err, status} }

// SilentStatus is an exit status without a message: a child's, or that of a result which
// was printed.
type SilentStatus struct{ Status int }

func (e *SilentStatus) Error() string { return fmt.Sprintf("exit status %d", e.Status) }

// Silent returns a SilentStatus.
func Silent(status int) error { return &SilentStatus{status} }

// Exit statuses of all commands.
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

// ExitMeanings are the descriptions of exit statuses in a command's help.
var ExitMeanings = [...]string{
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

// ErrorHint is a hint for an error.
type ErrorHint struct {
	Target error
	Hint   string
}

// HintOn returns an ErrorHint.
func HintOn(target error, hint string) ErrorHint { return ErrorHint{target, hint} }

// HintFor returns the hint of the first matching row.
func HintFor(err error, rows []ErrorHint) string {
	for _, row := range rows {
		if Is(err, row.Target) {
			return row.Hint
		}
	}
	return ""
}

// Is is errors.Is, except that ENOSPC also matches what Windows reports for a full disk.
func Is(err, target error) bool {
	return errors.Is(err, target) || errors.Is(target, syscall.ENOSPC) && isDiskFull(runtime.GOOS, err)
}

func isDiskFull(goos string, err error) bool {
	const handleDiskFull, diskFull = syscall.Errno(39), syscall.Errno(112) // ERROR_HANDLE_DISK_FULL, ERROR_DISK_FULL
	return goos == "windows" && (errors.Is(err, handleDiskFull) || errors.Is(err, diskFull))
}

// ErrUnfinished matches errors that describe the state left by an unfinished command. They
// are printed after an interruption too.
var ErrUnfinished = errors.New("as it is now")

// Unfinishedf returns an error that matches ErrUnfinished.
func Unfinishedf(format string, args ...any) error {
	return &unfinishedError{fmt.Errorf(format, args...)}
}

type unfinishedError struct{ error }

func (*unfinishedError) Is(target error) bool { return target == ErrUnfinished }

// Failures are errors of several profiles. Each is printed with its own hint.
type Failures []error

func (f Failures) Error() string { return errors.Join(f...).Error() }

func (f Failures) Unwrap() []error { return f }

// FailuresIn returns the failures that an error joins, or only the error.
func FailuresIn(err error) Failures {
	if several, ok := errors.AsType[Failures](err); ok {
		return several
	}
	return Failures{err}
}

// Of adds the failure of a profile, whose name it adds to message and hint.
func (f *Failures) Of(profile string, err error) {
	if err != nil {
		*f = append(*f, ForProfile(fmt.Errorf("%s: %w", profile, err), profile))
	}
}

// Err returns nil if there are no failures.
func (f Failures) Err() error {
	if len(f) == 0 {
		return nil
	}
	return f
}

// HintError is an error with a hint.
type HintError struct {
	error
	Hint string
}

func (e *HintError) Unwrap() error { return e.error }

// WithHint adds a hint to an error; nil stays nil.
func WithHint(err error, format string, args ...any) error {
	if err == nil {
		return nil
	}
	return &HintError{error: err, Hint: fmt.Sprintf(format, args...)}
}

// ProfileError is a failure of a profile, whose name the hint needs.
type ProfileError struct {
	error
	Profile string
	InLogin bool // the hint is to repeat the command, with its flags
}

func (e *ProfileError) Unwrap() error { return e.error }

// ForProfile adds a profile's name to a failure.
func ForProfile(err error, name string) error {
	if err == nil {
		return nil
	}
	return &ProfileError{error: err, Profile: name}
}

// ForLogin is ForProfile for the failure of a login.
func ForLogin(err error, name string) error {
	return &ProfileError{error: err, Profile: name, InLogin: true}
}

// CarriedHint returns an error's own hint, or "".
func CarriedHint(err error) string {
	if hinted, ok := errors.AsType[*HintError](err); ok {
		return hinted.Hint
	}
	return ""
}

// UsageError is an invalid call. It does not unwrap, so that its exit status is that of
// wrong usage.
type UsageError struct{ error }

// IsUsage reports whether an error is an invalid call.
func IsUsage(err error) bool {
	_, ok := errors.AsType[*UsageError](err)
	return ok
}

// AsUsage turns an error into a usage error; nil stays nil.
func AsUsage(err error) error {
	if err == nil {
		return nil
	}
	return &UsageError{err}
}

// InvalidIn is AsUsage for what is wrong with a value, and names where that is.
func InvalidIn(what string, err error) error {
	if err == nil {
		return nil
	}
	return Usagef("%s: %w", what, err)
}

// Usagef returns a usage error: exit status 2.
func Usagef(format string, args ...any) error {
	return &UsageError{fmt.Errorf(format, args...)}
}

// FindingsError is the result of a search that found something: not a failure, but with its
// own exit status.
type FindingsError struct{ error }

// Findings returns a FindingsError: exit status 3.
func Findings(what string) error { return &FindingsError{errors.New(what)} }
