// Package browser opens web pages for the user.
package browser

import (
	"context"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"

	"github.com/pkg/browser"

	"github.com/fobcli/fob/internal/process"
)

// Launcher starts $BROWSER, or the system's program for URLs.
type Launcher struct {
	Getenv func(string) string
	Output io.Writer // output of the browser or its launcher
}

// IsAvailable reports whether a browser on this machine could show the user a page that leads
// back to a loopback address.
func (l Launcher) IsAvailable() bool {
	switch {
	case l.Getenv("BROWSER") != "":
		return true
	case l.Getenv("SSH_CONNECTION") != "":
		return false
	case runtime.GOOS != "linux":
		return true
	case l.Getenv("WSL_DISTRO_NAME") != "", l.inContainer():
		return false // in WSL, URLs are often opened by a browser in the terminal, or not at all
	}
	return l.Getenv("DISPLAY") != "" || l.Getenv("WAYLAND_DISPLAY") != ""
}

func (l Launcher) inContainer() bool {
	if l.Getenv("container") != "" || l.Getenv("KUBERNETES_SERVICE_HOST") != "" {
		return true
	}
	for _, mark := range []string{"/.dockerenv", "/run/.containerenv"} {
		if _, err := os.Stat(mark); err == nil {
			return true
		}
	}
	return false
}

// Open opens a URL. The browser may outlive fob.
func (l Launcher) Open(url string) error {
	command := l.Getenv("BROWSER")
	argv, stdin := []string{command}, ""
	_, notFound := exec.LookPath(command)
	switch {
	case command == "" && runtime.GOOS == "darwin":
		// All users of a Mac can see the arguments of 'open'. If osascript is forbidden,
		// the user still has the URL that fob prints.
		argv, stdin = []string{"/usr/bin/osascript", "-"}, openLocation(url)
	case command == "":
		browser.Stdout, browser.Stderr = l.Output, l.Output
		return browser.OpenURL(url)
	case notFound != nil:
		argv = append(strings.Fields(command), url)
	default:
		argv = append(argv, url)
	}
	child := process.Command(context.Background(), argv[0], argv[1:]...)
	child.Stdin, child.Stdout, child.Stderr = strings.NewReader(stdin), l.Output, l.Output
	return child.Run()
}

// openLocation returns AppleScript that opens a URL.
func openLocation(url string) string {
	return `open location "` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(url) + "\"\n"
}
