package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"syscall"
	"testing"
)

func TestHintFor_FirstMatchingRow(t *testing.T) {
	rows := []ErrorHint{HintOn(fs.ErrNotExist, "create it"), HintOn(fs.ErrPermission, "chmod it"), HintOn(fs.ErrNotExist, "never reached")}
	for _, test := range []struct {
		err  error
		want string
	}{
		{fs.ErrNotExist, "create it"},
		{fmt.Errorf("opening: %w", fs.ErrPermission), "chmod it"},
		{errors.Join(fs.ErrPermission, fs.ErrNotExist), "create it"},
		{errors.New("another error"), ""},
		{nil, ""},
	} {
		if got := HintFor(test.err, rows); got != test.want {
			t.Errorf("%v: %q, not %q", test.err, got, test.want)
		}
	}
}

func TestErrors_AreRecognizedInsideOthers(t *testing.T) {
	cause := fs.ErrNotExist
	var (
		status   *StatusError
		silent   *SilentStatus
		hint     *HintError
		profile  *ProfileError
		usage    *UsageError
		findings *FindingsError
	)
	for _, test := range []struct {
		name   string
		err    error
		target any
		text   string
		cause  bool
	}{
		{"status", WithStatus(cause, 7), &status, "file does not exist", true},
		{"silent", Silent(3), &silent, "exit status 3", false},
		{"hint", WithHint(cause, "see %s", "x"), &hint, "file does not exist", true},
		{"profile", ForProfile(cause, "work"), &profile, "file does not exist", true},
		{"usage", Usagef("no %s", "x"), &usage, "no x", false},
		{"as usage", AsUsage(cause), &usage, "file does not exist", false},
		{"in a value", InvalidIn("--from", cause), &usage, "--from: file does not exist", false},
		{"findings", Findings("2 keys"), &findings, "2 keys", false},
	} {
		if test.err.Error() != test.text || errors.Is(test.err, cause) != test.cause {
			t.Errorf("%s: %v", test.name, test.err)
		}
		if wrapped := fmt.Errorf("outside: %w", test.err); !errors.As(wrapped, test.target) {
			t.Errorf("%s: lost inside another error", test.name)
		}
	}
	if status.Status != 7 || silent.Status != 3 || hint.Hint != "see x" || profile.Profile != "work" {
		t.Errorf("status %d, silent %d, hint %q, profile %q", status.Status, silent.Status, hint.Hint, profile.Profile)
	}
}

func TestErrors_NilStaysNil(t *testing.T) {
	if err := WithHint(nil, "x"); err != nil {
		t.Error(err)
	}
	if err := errors.Join(AsUsage(nil), InvalidIn("x", nil)); err != nil {
		t.Error(err)
	}
	if err := ForProfile(nil, "x"); err != nil {
		t.Error(err)
	}
	var failures Failures
	failures.Of("work", nil)
	if err := failures.Err(); err != nil {
		t.Error(err)
	}
}

func TestIsUsage(t *testing.T) {
	for _, test := range []struct {
		err  error
		want bool
	}{
		{Usagef("x"), true},
		{fmt.Errorf("a: %w", WithHint(AsUsage(fs.ErrClosed), "b")), true},
		{fs.ErrClosed, false},
		{Findings("x"), false},
		{nil, false},
	} {
		if got := IsUsage(test.err); got != test.want {
			t.Errorf("%v: %t", test.err, got)
		}
	}
}

func TestCarriedHint(t *testing.T) {
	inner := WithHint(fs.ErrClosed, "inner")
	for _, test := range []struct {
		err  error
		want string
	}{
		{inner, "inner"},
		{fmt.Errorf("more: %w", inner), "inner"},
		{WithHint(inner, "outer"), "outer"},
		{fs.ErrClosed, ""},
		{nil, ""},
	} {
		if got := CarriedHint(test.err); got != test.want {
			t.Errorf("%v: %q", test.err, got)
		}
	}
}

func TestFailures_NameTheProfile(t *testing.T) {
	var failures Failures
	failures.Of("work", WithHint(fs.ErrClosed, "reopen"))
	failures.Of("home", nil)
	failures.Of("ci", fs.ErrPermission)
	err := failures.Err()
	if want := "work: file already closed\nci: permission denied"; err == nil || err.Error() != want {
		t.Fatalf("%v, not %q", err, want)
	}
	if !errors.Is(err, fs.ErrClosed) || !errors.Is(err, fs.ErrPermission) || len(failures) != 2 {
		t.Errorf("%d failures: %v", len(failures), err)
	}
	for i, want := range []string{"work", "ci"} {
		var profile *ProfileError
		if !errors.As(failures[i], &profile) || profile.Profile != want {
			t.Errorf("failure %d is not of %q: %v", i, want, failures[i])
		}
	}
	if hint := CarriedHint(failures[0]); hint != "reopen" {
		t.Errorf("hint %q", hint)
	}
}

func TestLeftf_IsErrLeft(t *testing.T) {
	err := fmt.Errorf("interrupted: %w", Unfinishedf("%d keys are left", 2))
	if !errors.Is(err, ErrUnfinished) || err.Error() != "interrupted: 2 keys are left" {
		t.Error(err)
	}
	if errors.Is(errors.New("2 keys are left"), ErrUnfinished) {
		t.Error("any error is ErrLeft")
	}
}

func TestExitMeanings_AreComplete(t *testing.T) {
	for _, status := range []int{ExitDone, ExitFailed, ExitUsage, ExitFindings, ExitLoginRequired, ExitUnavailable, ExitStorage, ExitLockTimeout, ExitRefused, ExitInterrupted} {
		if ExitMeanings[status] == "" {
			t.Errorf("status %d has no meaning", status)
		}
	}
}

func TestIsDiskFull(t *testing.T) {
	for _, code := range []syscall.Errno{39, 112} {
		if err := fmt.Errorf("writing: %w", code); !isDiskFull("windows", err) || isDiskFull("linux", err) {
			t.Error(code)
		}
	}
	if isDiskFull("windows", fs.ErrPermission) || !Is(fmt.Errorf("writing: %w", syscall.ENOSPC), syscall.ENOSPC) {
		t.Error("other errors are a full disk, or ENOSPC is not")
	}
}
