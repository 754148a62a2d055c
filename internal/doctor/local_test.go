package doctor

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os/exec"
	"strings"
	"testing"

	"github.com/fobcli/fob/internal/credstore"
)

func env(pairs ...string) func(string) string {
	m := map[string]string{}
	for _, pair := range pairs {
		name, value, _ := strings.Cut(pair, "=")
		m[name] = value
	}
	return func(name string) string { return m[name] }
}

func TestStorageFindings(t *testing.T) {
	for name, test := range map[string]struct {
		err  error
		lock State
		trip State
	}{
		"well":              {nil, OK, OK},
		"E41 absent":        {fmt.Errorf("%w: this session has no D-Bus", credstore.ErrAbsent), NotChecked, Problem},
		"E42 locked":        {credstore.ErrLocked, Problem, Problem},
		"E42 silent":        {credstore.ErrTimeout, NotChecked, Problem},
		"E43 not written":   {credstore.ErrNotWritten, NotChecked, Problem},
		"E45 too large":     {credstore.ErrTooLarge, NotChecked, Problem},
		"H61 hostile error": {fmt.Errorf("%w: \x1b]52;c;aGk=\x07\u202e\nok", credstore.ErrRefused), NotChecked, Problem},
	} {
		fix := ""
		if test.err != nil {
			fix = "do this"
		}
		check(t, name, KeyringLock(test.err, "work"), test.lock, "")
		check(t, name, RoundTrip("keyring", 6144, test.err, fix), test.trip, "")
	}
	check(t, "E41 no bus", DBus(credstore.ErrAbsent, "", "work"), Problem, "no OS keyring")
	check(t, "bus", DBus(nil, "unix:path=/run/user/1000/bus\x1b[31m", "work"), OK, "unix:path=/run/user/1000/bus")
	check(t, "fresh key", SealKey("seal key", "a passphrase", true, errors.New("none"), "x"), OK, "first login")
	check(t, "lost key", SealKey("seal key", "/d/seal.key", false, errors.New("/d/seal.key is gone"), "x"), Problem, "is gone")
	check(t, "key", SealKey("seal key", "FOB_SEAL_KEY", false, nil, ""), OK, "FOB_SEAL_KEY")
}

func TestLoopback(t *testing.T) {
	real := new(net.ListenConfig).Listen
	check(t, "IPv4", Loopback(t.Context(), real, "127.0.0.1", Problem, "x"), OK, "can listen")
	none := func(context.Context, string, string) (net.Listener, error) {
		return nil, errors.New("cannot assign requested address")
	}
	check(t, "no IPv4", Loopback(t.Context(), none, "127.0.0.1", Problem, "logins"), Problem, "cannot assign")
	check(t, "no IPv6 and no need", Loopback(t.Context(), none, "::1", OK, ""), OK, "no profile needs it")
	check(t, "no IPv6 for localhost", Loopback(t.Context(), none, "::1", Warning, "work"), Warning, "cannot assign")
}

func TestBrowser(t *testing.T) {
	nothing := func(string) (string, error) { return "", exec.ErrNotFound }
	only := func(known string) func(string) (string, error) {
		return func(name string) (string, error) {
			if name == known {
				return "/usr/bin/" + name, nil
			}
			return nothing(name)
		}
	}
	for _, test := range []struct {
		name, goos string
		env        func(string) string
		look       func(string) (string, error)
		want       State
		seen       string
	}{
		{"desktop", "linux", env("DISPLAY=:0"), only("xdg-open"), OK, "/usr/bin/xdg-open"},
		{"Wayland", "linux", env("WAYLAND_DISPLAY=wayland-0"), only("www-browser"), OK, "www-browser"},
		{"no launcher", "linux", env("DISPLAY=:0"), nothing, Warning, "none of xdg-open"},
		{"no display", "linux", env(), only("xdg-open"), OK, "fob login work --no-browser"},
		{"SSH", "linux", env("SSH_CONNECTION=a", "DISPLAY=:10"), only("xdg-open"), OK, "fob login work --no-browser"},
		{"SSH to a Mac", "darwin", env("SSH_CONNECTION=a"), only("osascript"), OK, "fob login work --no-browser"},
		{"Mac", "darwin", env(), only("osascript"), OK, "osascript"},
		{"Windows", "windows", env(), nothing, OK, "own"},
		{"switched off", "linux", env("FOB_NO_BROWSER=1", "BROWSER=x"), nothing, OK, "FOB_NO_BROWSER"},
		{"BROWSER", "linux", env("BROWSER=firefox", "SSH_CONNECTION=a"), only("firefox"), OK, "/usr/bin/firefox"},
		{"BROWSER with flags", "linux", env("BROWSER=firefox --new-window"), only("firefox"), OK, "/usr/bin/firefox"},
		{"BROWSER that is not there", "linux", env("BROWSER=\x1b[31mfirefux\u202e"), only("firefox"), Warning, "firefux"},
		{"blank BROWSER", "linux", env("BROWSER= "), nothing, Warning, "not found"},
	} {
		check(t, test.name, Browser(test.env, test.look, test.goos, "work"), test.want, test.seen)
	}
}

func TestProxyShowsNoPassword(t *testing.T) {
	for _, test := range []struct {
		name string
		env  func(string) string
		want State
		seen string
	}{
		{"none", env(), OK, "none"},
		{"URL", env("HTTPS_PROXY=http://proxy.example:8080"), OK, "HTTPS_PROXY=http://proxy.example:8080 ("},
		{"lower case", env("https_proxy=http://proxy.example:8080"), OK, "https_proxy="},
		{"host and port", env("HTTPS_PROXY=proxy.example:8080"), OK, "http://proxy.example:8080"},
		{"password", env("HTTPS_PROXY=http://ada:canary@proxy.example:8080/canary?canary#canary"), OK, "http://proxy.example:8080 (with a user name)"},
		{"password without a scheme", env("HTTP_PROXY=ada:canary@proxy.example:8080"), OK, "http://proxy.example:8080 (with a user name)"},
		{"exceptions", env("HTTPS_PROXY=socks5://p:1", "NO_PROXY=.corp,\x1b[31m10.0.0.0/8"), OK, "NO_PROXY=.corp,[31m10.0.0.0/8"},
		{"bad port", env("HTTPS_PROXY=http://ada:canary@proxy.example:canary"), Problem, "HTTPS_PROXY is not a URL"},
		{"bad escape", env("HTTP_PROXY=http://canary%zz@proxy.example"), Problem, "HTTP_PROXY is not a URL"},
		{"no host", env("HTTPS_PROXY=http://:8080"), Problem, "is not a URL"},
		{"control bytes", env("HTTPS_PROXY=http://canary\x1b@x\n"), Problem, "is not a URL"},
		{"scheme", env("HTTPS_PROXY=ftp://ada:canary@proxy.example"), Problem, "none of http, https, socks5"},
		{"ALL_PROXY alone", env("ALL_PROXY=socks5://ada:canary@p:1"), Warning, "does not read"},
	} {
		f := Proxy(test.env)
		check(t, "H64 "+test.name, f, test.want, test.seen)
		if strings.Contains(f.Detail+f.Fix, "canary") {
			t.Errorf("H64 %s: %+v", test.name, f)
		}
	}
}
