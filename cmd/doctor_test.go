package cmd

import (
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/fobcli/fob/internal/doctor"
)

func TestH64CronGetsNoSecret(t *testing.T) {
	environ := map[string]string{
		"HOME": "/home/ada", "LOGNAME": "ada", "USER": "ada", "SHELL": "/bin/zsh", "PATH": "/home/ada/bin:/usr/bin",
		"FOB_HOME": "/x", "FOB_CONFIG": "/c", "XDG_CONFIG_HOME": "/xc", "XDG_DATA_HOME": "/xd", "XDG_CACHE_HOME": "/xh",
		"FOB_SEAL_KEY": "canary", "FOB_TOKEN": "canary", "FOB_TOKEN_WORK": "canary", "FOB_PASSPHRASE_FILE": "canary", "FOB_STORAGE": "file",
		"DBUS_SESSION_BUS_ADDRESS": "unix:path=/b", "XDG_RUNTIME_DIR": "/run", "DISPLAY": ":0", "HTTPS_PROXY": "http://a:canary@p",
	}
	want := map[string]string{
		"HOME": "/home/ada", "LOGNAME": "ada", "USER": "ada", "SHELL": "/bin/sh", "PATH": "/usr/bin:/bin",
		"FOB_HOME": "/x", "FOB_CONFIG": "/c", "XDG_CONFIG_HOME": "/xc", "XDG_DATA_HOME": "/xd", "XDG_CACHE_HOME": "/xh",
	}
	got := cronEnviron(environ)
	for name := range got {
		if got[name] != want[name] {
			t.Errorf("H64: cron gets %s=%s", name, got[name])
		}
	}
	if len(got) != len(want) {
		t.Errorf("cron gets %v", got)
	}
	var stderr strings.Builder
	a := newApp(strings.NewReader(""), io.Discard, &stderr, environ)
	a.explainCron()
	if strings.Contains(stderr.String(), "canary") || !strings.Contains(stderr.String(), "XDG_DATA_HOME=/xd") || !strings.Contains(stderr.String(), "FOB_STORAGE") {
		t.Errorf("it is explained as %s", stderr.String())
	}
}

func TestE41CronCannotReachTheKeyring(t *testing.T) {
	lost := doctor.Finding{Check: "login", State: doctor.Problem, Detail: "there is no OS keyring here", Fix: "x"}
	of := func(profile string) doctor.Finding { return forFinding(lost, profile) }
	inKeyring := func(profile string) bool { return profile == "work" }
	for _, test := range []struct {
		name           string
		machine        doctor.Finding
		work, inAFile  string
		workFix, other string
	}{
		{"no keyring", doctor.Finding{Check: "keyring", State: doctor.Problem}, "cron cannot reach the keyring: ", "", "fob storage migrate --to file", "x"},
		{"no key", doctor.Finding{Check: "file key", State: doctor.Problem}, "", "cron cannot open the encrypted file: ", "x", "key_file"},
		{"damaged records", doctor.Finding{Check: "keyring", State: doctor.OK}, "", "", "x", "x"},
	} {
		found := sayCronCannot([]doctor.Finding{test.machine, of("work"), of("files")}, inKeyring)
		if found[1].Detail != test.work+lost.Detail || !strings.Contains(found[1].Fix, test.workFix) {
			t.Errorf("%s: %+v", test.name, found[1])
		}
		if found[2].Detail != test.inAFile+lost.Detail || !strings.Contains(found[2].Fix, test.other) {
			t.Errorf("%s: %+v", test.name, found[2])
		}
	}
	loggedOut := doctor.Finding{Check: "login", Profile: "work", State: doctor.Warning, Detail: "logged out", Fix: "y"}
	if found := sayCronCannot([]doctor.Finding{{Check: "keyring", State: doctor.Problem}, loggedOut}, inKeyring); found[1] != loggedOut {
		t.Errorf("a login that is none: %+v", found[1])
	}
}

func TestInterruptedDoctor(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	stop()
	var stdout strings.Builder
	a := newApp(strings.NewReader(""), &stdout, io.Discard, map[string]string{"FOB_HOME": t.TempDir(), "FOB_STORAGE": "file"})
	if err := runDoctor(ctx, a, doctorOptions{}); !errors.Is(err, context.Canceled) || stdout.Len() != 0 {
		t.Errorf("runDoctor() = %v, and printed %q", err, stdout.String())
	}
}

func TestFindingsFitTheTerminal(t *testing.T) {
	rows := [][]string{{"STATE", "CHECK", "PROFILE", "SEEN"}, {"not checked", "issuer", "", strings.Repeat("wörter ", 30)}, {"", "", "", "fix: " + strings.Repeat("x", 90)}}
	for _, width := range []int{45, 60, 80, 200} {
		for _, row := range wrapLast(rows, width) {
			if len(row) != 3 || len("not checked  issuer  ")+len([]rune(row[2])) > width {
				t.Errorf("at %d: %q", width, row)
			}
		}
	}
	if got := wrapLast(rows, 0); len(got) != 3 {
		t.Errorf("without a terminal: %q", got)
	}
	if got := wrap("one two  three fourfive", 5); !slices.Equal(got, []string{"one", "two", "three", "fourf", "ive"}) {
		t.Errorf("wrap() = %q", got)
	}
	if got := wrap("", 5); len(got) != 1 {
		t.Errorf("wrap() = %q", got)
	}
}
