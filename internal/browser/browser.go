// Package browser opens web pages for the user.
package browser

import (
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"unicode"

	"github.com/pkg/browser"

	"github.com/fobcli/fob/internal/process"
)

// Launcher starts a command of $BROWSER, or the system's program for URLs.
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
	switch value := l.Getenv("BROWSER"); {
	case value != "":
		err := errors.New("BROWSER names no program")
		for _, command := range Commands(value, exec.LookPath) {
			if err = l.run("", withURL(command, url)); err == nil {
				break
			}
		}
		return err
	case runtime.GOOS == "darwin":
		// All users of a Mac can see the arguments of 'open'. If osascript is forbidden,
		// the user still has the URL that fob prints.
		return l.run(openLocation(url), []string{"/usr/bin/osascript", "-"})
	}
	browser.Stdout, browser.Stderr = l.Output, l.Output
	return browser.OpenURL(url)
}

func (l Launcher) run(stdin string, argv []string) error {
	child := process.Command(context.Background(), argv[0], argv[1:]...)
	child.Stdin, child.Stdout, child.Stderr = strings.NewReader(stdin), l.Output, l.Output
	return child.Run()
}

// withURL puts the URL in place of %s, or at the end; %% is %.
func withURL(command []string, url string) []string {
	argv := []string{command[0]}
	replacer := strings.NewReplacer("%s", url, "%%", "%")
	for _, word := range command[1:] {
		argv = append(argv, replacer.Replace(word))
	}
	if !slices.ContainsFunc(argv, func(word string) bool { return strings.Contains(word, url) }) {
		argv = append(argv, url)
	}
	return argv
}

// Commands parses BROWSER: a program, or a list of commands to try in turn, separated like
// PATH. Their words may be quoted.
func Commands(value string, look func(string) (string, error)) (commands [][]string) {
	if _, err := look(value); err == nil {
		return [][]string{{value}}
	}
	var words []string
	var word strings.Builder
	quote, inWord := rune(0), false
	endWord := func() {
		if inWord {
			words, inWord = append(words, word.String()), false
			word.Reset()
		}
	}
	for _, char := range value + string(os.PathListSeparator) {
		switch {
		case char == quote:
			quote = 0
		case quote == 0 && (char == '"' || char == '\''):
			quote, inWord = char, true
		case quote == 0 && unicode.IsSpace(char):
			endWord()
		case quote == 0 && char == os.PathListSeparator:
			if endWord(); len(words) > 0 {
				commands, words = append(commands, words), nil
			}
		default:
			word.WriteRune(char)
			inWord = true
		}
	}
	return commands
}

// openLocation returns AppleScript that opens a URL.
func openLocation(url string) string {
	return `open location "` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(url) + "\"\n"
}
