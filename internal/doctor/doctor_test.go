package doctor

import (
	"io"
	"strings"
	"testing"

	"github.com/fobcli/fob/internal/app"
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
	a := app.New(strings.NewReader(""), io.Discard, &stderr, environ)
	explainCron(a)
	if strings.Contains(stderr.String(), "canary") || !strings.Contains(stderr.String(), "XDG_DATA_HOME=/xd") || !strings.Contains(stderr.String(), "FOB_STORAGE") {
		t.Errorf("it is explained as %s", stderr.String())
	}
}

func TestE41CronCannotReachTheKeyring(t *testing.T) {
	lost := Finding{Check: "login", State: Problem, Detail: "there is no OS keyring here", Fix: "x"}
	of := func(profile string) Finding {
		f := lost
		f.Profile = profile
		return f
	}
	inKeyring := func(profile string) bool { return profile == "work" }
	for _, test := range []struct {
		name           string
		machine        Finding
		work, inAFile  string
		workFix, other string
	}{
		{"no keyring", Finding{Check: "keyring", State: Problem}, "cron cannot reach the keyring: ", "", "fob storage migrate --to file", "x"},
		{"no key", Finding{Check: "file key", State: Problem}, "", "cron cannot open the encrypted file: ", "x", "key_file"},
		{"damaged records", Finding{Check: "keyring", State: OK}, "", "", "x", "x"},
	} {
		found := explainCronFailures([]Finding{test.machine, of("work"), of("files")}, inKeyring)
		if found[1].Detail != test.work+lost.Detail || !strings.Contains(found[1].Fix, test.workFix) {
			t.Errorf("%s: %+v", test.name, found[1])
		}
		if found[2].Detail != test.inAFile+lost.Detail || !strings.Contains(found[2].Fix, test.other) {
			t.Errorf("%s: %+v", test.name, found[2])
		}
	}
	loggedOut := Finding{Check: "login", Profile: "work", State: Warning, Detail: "logged out", Fix: "y"}
	if found := explainCronFailures([]Finding{{Check: "keyring", State: Problem}, loggedOut}, inKeyring); found[1] != loggedOut {
		t.Errorf("a login that is none: %+v", found[1])
	}
}
