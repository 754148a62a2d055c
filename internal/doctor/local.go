package doctor

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os/exec"
	"slices"
	"strings"

	"github.com/fobcli/fob/internal/browser"
	"github.com/fobcli/fob/internal/credstore"
	"github.com/fobcli/fob/internal/sanitize"
)

// Listen is the type of net.ListenConfig.Listen.
type Listen func(ctx context.Context, network, address string) (net.Listener, error)

// Loopback binds a free port on a loopback address, like a login. bad is the state if that
// fails, and wanted is what needs the address.
func Loopback(ctx context.Context, listen Listen, host string, bad State, wanted string) Finding {
	check := "loopback " + host
	listener, err := listen(ctx, "tcp", net.JoinHostPort(host, "0"))
	if err == nil {
		_ = listener.Close()
		return Fine(check, "a login can listen there for the browser")
	}
	if bad == OK {
		return Fine(check, "not on this machine (%s); no profile needs it", sanitize.Line(err.Error()))
	}
	f := Failed(check, err, "enable the loopback interface for "+host+": "+wanted)
	f.State = bad
	return f
}

// Browser looks for the program that would open the login page, without starting it. goos
// is runtime.GOOS and look exec.LookPath.
func Browser(getenv func(string) string, look func(string) (string, error), goos, profile string) Finding {
	const check = "browser"
	without := "'fob login " + profile + " --no-browser'"
	if getenv("FOB_NO_BROWSER") != "" {
		return Fine(check, "FOB_NO_BROWSER is set: logins show the URL")
	}
	if command := getenv("BROWSER"); command != "" {
		return browserVariable(check, command, look)
	}
	launchers := map[string][]string{
		"linux":  {"xdg-open", "x-www-browser", "www-browser"}, // as pkg/browser tries them
		"darwin": {"osascript"},
	}[goos]
	switch {
	case getenv("SSH_CONNECTION") != "":
		return Fine(check, "this is an SSH session: use %s", without)
	case goos == "linux" && getenv("DISPLAY") == "" && getenv("WAYLAND_DISPLAY") == "":
		return Fine(check, "there is no display here: use %s", without)
	case launchers == nil:
		return Fine(check, "the system's own")
	}
	for _, name := range launchers {
		if path, err := look(name); err == nil {
			return Fine(check, "%s", path)
		}
	}
	return Warn(check, "there is a display, and none of "+strings.Join(launchers, ", "), "install xdg-utils, set BROWSER, or use "+without)
}

// browserVariable interprets BROWSER like the launcher.
func browserVariable(check, command string, look func(string) (string, error)) Finding {
	path, err := "", exec.ErrNotFound
	for _, words := range browser.Commands(command, look) {
		if path, err = look(words[0]); err == nil {
			break
		}
	}
	if err != nil {
		return Warn(check, fmt.Sprintf("BROWSER is %q, which is not found", sanitize.Line(command)), "set BROWSER to a program in PATH, or unset it")
	}
	return Fine(check, "BROWSER: %s", sanitize.Line(path))
}

// proxyVariables are in net/http's order: the first spelling that is set applies.
var proxyVariables = [][2]string{{"HTTPS_PROXY", "https_proxy"}, {"HTTP_PROXY", "http_proxy"}}

// Proxy reports the proxy variables as net/http interprets them, without user name and
// password.
func Proxy(getenv func(string) string) Finding {
	const check = "proxy"
	var shown []string
	for _, names := range proxyVariables {
		name, value := firstVariable(getenv, names)
		if value == "" {
			continue
		}
		proxy, err := parseProxy(value)
		if err != nil {
			return Failed(check, fmt.Errorf("%s %w", name, err), fmt.Sprintf("set it like %s=http://proxy.example.com:8080, or unset it", name))
		}
		shown = append(shown, name+"="+proxy)
	}
	if _, value := firstVariable(getenv, [2]string{"ALL_PROXY", "all_proxy"}); value != "" && len(shown) == 0 {
		return Warn(check, "ALL_PROXY is set, which fob does not read", "set HTTPS_PROXY if a proxy is needed")
	}
	if len(shown) == 0 {
		return Fine(check, "none")
	}
	if name, value := firstVariable(getenv, [2]string{"NO_PROXY", "no_proxy"}); value != "" {
		shown = append(shown, name+"="+sanitize.Line(value))
	}
	return Fine(check, "%s (loopback addresses are never proxied)", strings.Join(shown, " "))
}

func firstVariable(getenv func(string) string, names [2]string) (name, value string) {
	if value := getenv(names[0]); value != "" {
		return names[0], value
	}
	return names[1], getenv(names[1])
}

// parseProxy returns scheme, host and port of a proxy's URL. Its errors do not quote the
// value, because it may contain a password.
func parseProxy(value string) (string, error) {
	if !strings.Contains(value, "://") { // for net/http, host:port is an HTTP proxy
		value = "http://" + value
	}
	u, err := url.Parse(value)
	switch {
	case err != nil || u.Hostname() == "":
		return "", fmt.Errorf("is not a URL")
	case !slices.Contains([]string{"http", "https", "socks5", "socks5h"}, u.Scheme):
		return "", fmt.Errorf("has a scheme that is none of http, https, socks5")
	}
	shown := sanitize.Line(u.Scheme + "://" + u.Host)
	if u.User != nil {
		shown += " (with a user name)"
	}
	return shown, nil
}

// DBus reports whether the keyring can be reached (credstore.KeyringReachable), with the
// D-Bus address. A login with profile is an example.
func DBus(unreachable error, address, profile string) Finding {
	const check = "D-Bus"
	if unreachable != nil {
		return Failed(check, unreachable, "log in to a desktop, or store logins in an encrypted file: 'fob login "+profile+" --storage file'")
	}
	return Fine(check, "%s", sanitize.Line(address))
}

// KeyringLock reports from a round trip whether the keyring is locked. If the round trip
// failed before that, its own finding explains why.
func KeyringLock(roundTrip error, profile string) Finding {
	const check = "keyring lock"
	switch {
	case errors.Is(roundTrip, credstore.ErrLocked):
		return Failed(check, roundTrip, "unlock it, for instance by logging in to the desktop; over SSH and in cron use a file: 'fob login "+profile+" --storage file'")
	case errors.Is(roundTrip, credstore.ErrAbsent):
		return Skipped(check, "there is no keyring")
	case roundTrip != nil:
		return Skipped(check, "the keyring did not answer")
	}
	return Fine(check, "unlocked")
}

// RoundTrip reports on a record of size bytes that was written, read back and deleted.
func RoundTrip(check string, size int, err error, fix string) Finding {
	if err != nil {
		return Failed(check, err, fix)
	}
	return Fine(check, "a record of %d bytes was written, read back and deleted", size)
}

// SealKey reports on the key of a storage. A fresh storage has none yet.
func SealKey(check, source string, fresh bool, err error, fix string) Finding {
	switch {
	case err != nil && fresh:
		return Fine(check, "%s: created at the first login", source)
	case err != nil:
		return Failed(check, err, fix)
	}
	return Fine(check, "%s", source)
}
