package e2e

import (
	"bytes"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
)

// flow is a provider, and a machine that logs in there.
type flow struct {
	*testing.T
	p  *provider
	m  *machine
	at []string // tells fob where the provider is
}

// The ways in which a flow is run.
const (
	overHTTP   = "HTTP"
	overTLS    = "TLS"      // with a private CA
	inChromium = "Chromium" // over TLS, with a real browser
)

// eachWay runs a flow several ways, each with a provider and a machine of its own.
func eachWay(t *testing.T, options providerOptions, ways []string, run func(f *flow)) {
	t.Parallel()
	for _, way := range ways {
		t.Run(way, func(t *testing.T) {
			t.Parallel()
			run(newFlow(t, options, way))
		})
	}
}

func newFlow(t *testing.T, options providerOptions, way string) *flow {
	t.Helper()
	if way != overHTTP && options.TLS == nil {
		options.TLS = newPKI(t)
	}
	f := &flow{T: t, p: startProviderWith(t, options), m: newMachine(t, sealed...)}
	f.at = []string{"--issuer", f.p.issuer}
	if options.TLS != nil {
		f.at = append(f.at, "--ca-file", options.TLS.CA)
		f.m.env = append(f.m.env, "E2E_CA="+options.TLS.CA)
	}
	if way == inChromium {
		f.m.env = append(f.m.env, "BROWSER="+strings.Join(chromium(t), " "), "PROFILE="+t.TempDir())
	}
	return f
}

// chromium is the program that drives it; the URL comes behind.
func chromium(t testing.TB) []string {
	t.Helper()
	path, err := filepath.Abs("login.mjs")
	if err != nil {
		t.Fatal(err)
	}
	return []string{"node", path}
}

// login logs in to a profile at the provider, and returns what fob says.
func (f *flow) login(profile string, flags ...string) string {
	f.Helper()
	r := f.m.fob("", f.loginArgs(profile, flags...)...)
	if r.status != 0 {
		f.Fatalf("login %s %v: exit status %d\n%s%s", profile, flags, r.status, r.stderr, f.p.refusals())
	}
	return r.stderr
}

func (f *flow) loginArgs(profile string, flags ...string) []string {
	return slices.Concat([]string{"login", profile}, f.at, flags)
}

// token asks fob for a token and looks it up at the server.
func (f *flow) token(args ...string) (string, introspection) {
	f.Helper()
	token := strings.TrimSpace(f.m.ok(append([]string{"token"}, args...)...))
	known := f.p.introspect(token)
	if !known.Active {
		f.Errorf("fob token %v: the server does not know what fob has printed", args)
	}
	return token, known
}

// refused runs fob and expects an exit status, a word on stderr and nothing on stdout.
func (f *flow) refused(status int, says string, args ...string) {
	f.Helper()
	if r := f.m.fob("", args...); r.status != status || r.stdout != "" || !strings.Contains(r.stderr, says) {
		f.Errorf("fob %v: exit status %d, not %d with %q, and prints %q\n%s", args, r.status, status, says, r.stdout, r.stderr)
	}
}

// running is a fob that has been started and not waited for.
type running struct {
	t   testing.TB
	cmd *exec.Cmd

	mu     sync.Mutex // guards stderr
	stderr bytes.Buffer
	closed chan struct{}
}

// start runs fob beside the test.
func (m *machine) start(args ...string) *running {
	m.t.Helper()
	r := &running{t: m.t, cmd: m.fobCommand(args...), closed: make(chan struct{})}
	pipe, err := r.cmd.StderrPipe()
	if err != nil {
		m.t.Fatal(err)
	}
	if err := r.cmd.Start(); err != nil {
		m.t.Fatal(err)
	}
	go func() {
		defer close(r.closed)
		_, _ = io.Copy(r, pipe)
	}()
	return r
}

// Write takes what fob says on stderr.
func (r *running) Write(text []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.stderr.Write(text)
}

func (r *running) shown() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.stderr.String()
}

// find waits until fob has said something, and returns the expression's group.
func (r *running) find(expression string) string {
	r.t.Helper()
	wanted := regexp.MustCompile(expression)
	var found string
	eventually(r.t, func() error {
		ended := r.ended() // before the last look
		if match := wanted.FindStringSubmatch(r.shown()); match != nil {
			found = match[len(match)-1]
			return nil
		}
		if ended {
			r.t.Fatalf("fob has ended without printing %s:\n%s", expression, r.shown())
		}
		return fmt.Errorf("fob does not print %s:\n%s", expression, r.shown())
	})
	return found
}

func (r *running) ended() bool {
	select {
	case <-r.closed:
		return true
	default:
		return false
	}
}

// shownURL is the URL on a line of its own.
const shownURL = `(?m)^  (https?://\S+)$`

// end waits for fob.
func (r *running) end() result {
	<-r.closed
	_ = r.cmd.Wait()
	return result{stderr: r.shown(), status: r.cmd.ProcessState.ExitCode()}
}
