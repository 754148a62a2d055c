//go:build unix

package agent

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fobcli/fob/cmd/internal/cmdtest"
	"github.com/fobcli/fob/internal/agent"
	"github.com/fobcli/fob/internal/app"
	"github.com/fobcli/fob/internal/cli"
	"github.com/fobcli/fob/internal/config"
	"github.com/fobcli/fob/internal/credstore"
	"github.com/fobcli/fob/internal/seal"
)

const profiles = "[profile.work]\nissuer = \"https://sso.example.com\"\nclient_id = \"fob\"\n[profile.home]\nprovider = \"github\"\n"

// socketPath is a path that is short enough for a socket.
func socketPath(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "fob")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return filepath.Join(dir, "agent.sock")
}

// startAgent runs 'fob agent' for an App until it is stopped.
func startAgent(t *testing.T, a *cmdtest.App) (path string, ended chan error) {
	t.Helper()
	path = socketPath(t)
	a.Environ["FOB_AGENT"] = path
	ctx, stop := context.WithCancel(t.Context())
	ended = make(chan error, 1)
	go func() { ended <- runAgent(ctx, a.App, nil, agentOptions{ForgetAfter: time.Hour}) }()
	t.Cleanup(stop)
	await(t, path, ended)
	return path, ended
}

// await waits until a socket answers; ended has an error if it never will.
func await(t *testing.T, path string, ended chan error) {
	t.Helper()
	for {
		if _, err := agent.Ask(t.Context(), path, agent.Request{Do: agent.DoStatus}, func(string) {}); err == nil {
			return
		}
		select {
		case err := <-ended:
			t.Fatal(err)
		case <-time.After(time.Millisecond):
		}
	}
}

func client(t *testing.T, a *cmdtest.App, path string, environ ...string) *cmdtest.App {
	t.Helper()
	return cmdtest.New(t, "", append([]string{"FOB_HOME=" + a.Home, "FOB_AGENT=" + path}, environ...)...)
}

func TestAgent_StatusLockUnlockStop(t *testing.T) {
	a := cmdtest.New(t, profiles)
	path, ended := startAgent(t, a)
	c := client(t, a, path)
	for _, step := range []struct {
		args           []string
		stdout, stderr string // parts of them
	}{
		{[]string{"status"}, "the key of the sealed files", ""},
		{[]string{"lock"}, "", "The agent is locked, and has forgotten everything. Commands on this machine still open logins themselves."},
		{[]string{"status"}, "nothing: it is locked ('fob agent unlock' unlocks it); commands on this machine open logins themselves", ""},
		{[]string{"unlock"}, "", "The agent is unlocked."},
		{[]string{"status"}, "the key of the sealed files", ""},
		{[]string{"stop"}, "", "The agent has stopped."},
	} {
		stdout, stderr, err := c.Run(New, step.args...)
		if err != nil || !strings.Contains(stdout, step.stdout) || !strings.Contains(stderr, step.stderr) {
			t.Errorf("%q: %q, %q, %v", step.args, stdout, stderr, err)
		}
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if _, _, err := c.Run(New, "status"); !errors.Is(err, agent.ErrAbsent) || !strings.Contains(cli.CarriedHint(err), "FOB_AGENT names this socket") {
		t.Errorf("afterwards: %v, hint %q", err, cli.CarriedHint(err))
	}
}

func TestAgent_StatusJSON(t *testing.T) {
	a := cmdtest.New(t, profiles)
	path, _ := startAgent(t, a)
	stdout, _, err := client(t, a, path).Run(New, "status", "--json")
	var got map[string]any
	if err != nil || json.Unmarshal([]byte(stdout), &got) != nil {
		t.Fatalf("%q, %v", stdout, err)
	}
	if got["socket"] != path || got["pid"] != float64(os.Getpid()) || got["locked"] != false || got["files"] != true || got["forget_after"] != 3600.0 {
		t.Errorf("%v", got)
	}
	if _, ok := got["profiles"].([]any); !ok {
		t.Errorf("profiles is no list: %v", got["profiles"])
	}
}

// Without FOB_SEAL_KEY the agent gets the key from 'fob agent unlock', and keeps it until
// it is locked.
func TestAgent_UnlockSendsTheKey(t *testing.T) {
	a := cmdtest.New(t, profiles)
	key := a.Environ["FOB_SEAL_KEY"]
	a.Environ["FOB_SEAL_KEY"] = ""
	path, _ := startAgent(t, a)
	without, with := client(t, a, path, "FOB_SEAL_KEY="), client(t, a, path, "FOB_SEAL_KEY="+key)
	if stdout, _, err := without.Run(New, "status"); err != nil || !strings.Contains(stdout, "the key of the sealed files is missing") {
		t.Errorf("before: %q, %v", stdout, err)
	}
	if _, stderr, err := without.Run(New, "unlock"); err == nil && !strings.Contains(stderr, "open logins in files yet") {
		t.Errorf("without a key: %q, %v", stderr, err)
	}
	if _, stderr, err := with.Run(New, "unlock"); err != nil || !strings.Contains(stderr, "The agent is unlocked.") {
		t.Errorf("with a key: %q, %v", stderr, err)
	}
	if stdout, _, err := without.Run(New, "status"); err != nil || strings.Contains(stdout, "missing") || !strings.Contains(stdout, "the key of the sealed files") {
		t.Errorf("after: %q, %v", stdout, err)
	}
	if _, _, err := client(t, a, path, "FOB_SEAL_KEY=short").Run(New, "lock"); err != nil {
		t.Error(err)
	}
	if _, _, err := client(t, a, path, "FOB_SEAL_KEY=short").Run(New, "unlock"); !errors.As(err, new(*credstore.KeyError)) {
		t.Errorf("a wrong key: %v", err)
	}
}

func TestAgent_Usage(t *testing.T) {
	for name, test := range map[string]struct {
		args    []string
		agent   string
		problem string
	}{
		"it forgets at once":    {[]string{"--forget-after", "0s"}, "", "must be positive"},
		"FOB_AGENT is off":      {nil, "off", "FOB_AGENT is off"},
		"status of none":        {[]string{"status"}, "off", "FOB_AGENT is off"},
		"a relative path":       {[]string{"lock"}, "agent.sock", "FOB_AGENT"},
		"an unknown command":    {[]string{"start"}, "", `there is no command "start"`},
		"forward nothing":       {[]string{"forward"}, "", "--profile is required"},
		"forward an empty name": {[]string{"forward", "--profile", ""}, "", "--profile is empty"},
		"a profile as socket":   {[]string{"forward", "work", "--profile", "work"}, "RUNNING", "is not the path of a socket"},
		"too long a socket":     {[]string{"forward", "/" + strings.Repeat("x", 200), "--profile", "work"}, "RUNNING", "longer than the"},
		"nobody can confirm":    {[]string{"forward", "--profile", "work", "--confirm"}, "RUNNING", "--confirm requires a terminal"},
	} {
		t.Run(name, func(t *testing.T) {
			a := cmdtest.New(t, profiles)
			c := a
			switch test.agent {
			case "RUNNING":
				path, _ := startAgent(t, a)
				c = client(t, a, path)
			case "":
				a.Environ["FOB_AGENT"] = socketPath(t)
			default:
				a.Environ["FOB_AGENT"] = test.agent
			}
			_, _, err := c.Run(New, test.args...)
			if !app.IsUsage(err) || !strings.Contains(err.Error(), test.problem) || cli.CarriedHint(err) == "" {
				t.Errorf("%v, hint %q", err, cli.CarriedHint(err))
			}
		})
	}
}

func TestForward_UnknownProfile(t *testing.T) {
	a := cmdtest.New(t, profiles)
	path, _ := startAgent(t, a)
	if _, _, err := client(t, a, path).Run(New, "forward", "--profile", "none"); !errors.As(err, new(*config.SelectError)) {
		t.Errorf("%v", err)
	}
}

// A forwarded socket answers for its profiles only, and ends with the command.
func TestForward(t *testing.T) {
	a := cmdtest.New(t, profiles)
	path, _ := startAgent(t, a)
	c := client(t, a, path)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	ended := make(chan error, 1)
	socket := filepath.Join(filepath.Dir(path), app.ForwardSocketName)
	go func() { ended <- runAgentForward(ctx, c.App, nil, agentForwardOptions{Profiles: []string{"work"}}) }()
	await(t, socket, ended)
	remote := cmdtest.New(t, "", "FOB_AGENT="+socket)
	if stdout, _, err := remote.Run(New, "status"); err != nil || !strings.Contains(stdout, "forwarded") || !strings.Contains(stdout, "work") || strings.Contains(stdout, "home") {
		t.Errorf("%q, %v", stdout, err)
	}
	for _, do := range []string{"lock", "unlock", "stop"} {
		if _, _, err := remote.Run(New, do); err == nil || !strings.Contains(err.Error(), "provides only access tokens") {
			t.Errorf("%s: %v", do, err)
		}
	}
	if _, _, err := c.Run(New, "forward", "--profile", "work"); !errors.Is(err, agent.ErrRunning) || !strings.Contains(cli.CarriedHint(err), "another SOCKET") {
		t.Errorf("a second one: %v", err)
	}
	stop()
	if err := <-ended; err != nil || app.PathExists(socket) {
		t.Errorf("%v, and the socket is there: %v", err, app.PathExists(socket))
	}
}

func TestTokens_Requests(t *testing.T) {
	const ci = "[profile.ci]\nissuer = \"https://sso.example.com\"\nclient_id = \"fob\"\ngrant = \"token-exchange\"\nidentity = \"gitlab\"\n"
	a := cmdtest.New(t, profiles+ci, "FOB_TOKEN_WORK=from-the-agents-environment")
	memory, err := agent.NewMemory(time.Hour, func() time.Duration { return 0 })
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = memory.Close() }()
	logins := tokens{a.App, memory}
	folder := agent.FolderID(filepath.Join(a.Home, "config.toml"))
	negative := -time.Second
	for name, test := range map[string]struct {
		r     agent.Request
		is    error
		usage bool
	}{
		"a wrong name":         {agent.Request{Profile: "a/b"}, nil, true},
		"an unknown profile":   {agent.Request{Profile: "none"}, nil, true},
		"a negative lifetime":  {agent.Request{Profile: "work", MinTTL: &negative}, nil, true},
		"another issuer":       {agent.Request{Profile: "work", Issuer: "https://other.example.com", ClientID: "fob"}, agent.ErrOtherProfile, false},
		"the client's machine": {agent.Request{Do: agent.DoNamed, Profile: "ci", Folder: folder}, agent.ErrOtherProfile, false},
		"a container's folder": {agent.Request{Do: agent.DoNamed, Profile: "work", Folder: agent.FolderID(filepath.Join(t.TempDir(), "config.toml"))}, agent.ErrOtherProfile, false},
		"no folder":            {agent.Request{Do: agent.DoNamed, Profile: "work"}, agent.ErrOtherProfile, false},
		"another client":       {agent.Request{Profile: "work", Issuer: "https://sso.example.com", ClientID: "x"}, agent.ErrOtherProfile, false},
	} {
		_, err := logins.Token(t.Context(), test.r, func(string) {})
		if err == nil || test.is != nil && !errors.Is(err, test.is) || app.IsUsage(err) != test.usage {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, r := range []agent.Request{{Profile: "work", Issuer: "https://sso.example.com", ClientID: "fob"}, {Profile: "work"}, {Do: agent.DoNamed, Profile: "work", Folder: folder}} {
		if token, err := logins.Token(t.Context(), r, func(string) {}); err != nil || token.AccessToken != "from-the-agents-environment" {
			t.Errorf("%v: %v", r, err)
		}
	}
}

func TestTokens_Failure(t *testing.T) {
	a := cmdtest.New(t, profiles)
	a.Hint = func(err error) string { return "hint" }
	a.Status = func(error) int { return 5 }
	for _, test := range []struct {
		err      error
		fallback bool
	}{
		{cli.Usagef("wrong\x1b"), true}, {credstore.ErrNoKey, true}, {credstore.ErrAbsent, true}, {seal.ErrWrongKey, true},
		{seal.ErrTampered, false}, {errors.New("other"), false},
	} {
		f := tokens{a: a.App}.Failure(agent.Request{Profile: "work"}, test.err)
		if f.Fallback != test.fallback || f.Status != 5 || f.Hint != "hint" || strings.Contains(f.Error, "\x1b") || f.Error == "" {
			t.Errorf("%v: %+v", test.err, f)
		}
	}
}

func TestTokens_NeedsKey(t *testing.T) {
	for name, test := range map[string]struct {
		config  string
		environ []string
		want    bool
	}{
		"a passphrase":           {"", []string{"FOB_SEAL_KEY="}, true},
		"a key in a variable":    {"", nil, true}, // which an agent is not started with
		"a file of passphrases":  {"", []string{"FOB_SEAL_KEY=", "FOB_PASSPHRASE_FILE=/x"}, false},
		"a passphrase's command": {"passphrase_command = [\"pass\"]\n", []string{"FOB_SEAL_KEY="}, false},
		"a key file":             {"key_file = \"/etc/fob.key\"\n", []string{"FOB_SEAL_KEY="}, false},
		"the keyring":            {"", []string{"FOB_SEAL_KEY=", "FOB_STORAGE=keyring"}, false},
		"a profile in files":     {"[profile.work]\nprovider = \"github\"\nstorage = \"file\"\n", []string{"FOB_SEAL_KEY=", "FOB_STORAGE="}, true},
	} {
		a := cmdtest.New(t, test.config, test.environ...)
		if got := (tokens{a: a.App}).NeedsKey(); got != test.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestCacheText(t *testing.T) {
	for _, test := range []struct {
		status agent.Status
		want   string
	}{
		{agent.Status{}, "nothing yet"},
		{agent.Status{Profiles: []string{"a", "b"}, Files: true}, "a, b, the key of the sealed files"},
		{agent.Status{Profiles: []string{"a"}, NeedsKey: true}, "a; the key of the sealed files is missing: 'fob agent unlock'"},
		{agent.Status{Profiles: []string{"a"}, Locked: true}, "nothing: it is locked ('fob agent unlock' unlocks it); commands on this machine open logins themselves"},
	} {
		if got := cacheText(&test.status); got != test.want {
			t.Errorf("%+v: %q", test.status, got)
		}
	}
}

// What was typed before a question could be read answers none, and the end of the terminal
// ends the forwarding.
func TestConfirmLines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := cmdtest.New(t, "")
		in, typed := io.Pipe()
		a.In = in
		gone := make(chan struct{})
		ask := confirmLines(a.App, func() { close(gone) })
		write := func(line string) {
			if _, err := io.WriteString(typed, line+"\n"); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
		}
		write("y") // before any question
		for answer, want := range map[string]bool{"y": true, "yes": true, "n": false, "": false, "perhaps": false} {
			result := make(chan bool, 1)
			go func() { result <- ask(t.Context(), "Give it one?") }()
			synctest.Wait()
			write("y") // too soon to have been read: the question comes once more
			if len(result) != 0 {
				t.Fatal("an answer that was typed too soon counts")
			}
			<-time.After(tooSoon)
			write(answer)
			if got := <-result; got != want {
				t.Errorf("%q: %v", answer, got)
			}
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if ask(ctx, "?") {
			t.Error("a question that is withdrawn is confirmed")
		}
		_ = typed.Close()
		<-gone
		if text := a.Stderr(); strings.Count(text, "Give it one? [y/N] ") != 10 || !strings.Contains(text, "The terminal was closed: no more questions.") {
			t.Errorf("%q", text)
		}
	})
}

func TestNewConfirmer_Askpass(t *testing.T) {
	dir := t.TempDir()
	seen := filepath.Join(dir, "seen")
	for name, test := range map[string]struct {
		script string
		want   bool
	}{"yes": {"exit 0", true}, "no": {"exit 1", false}} {
		program := filepath.Join(dir, "askpass-"+name)
		if err := os.WriteFile(program, []byte("#!/bin/sh\necho \"$SSH_ASKPASS_PROMPT $1\" >"+seen+"\n"+test.script+"\n"), 0o700); err != nil {
			t.Fatal(err)
		}
		a := cmdtest.New(t, "", "SSH_ASKPASS="+program)
		c, err := newConfirmer(a.App, func() {})
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Ask(t.Context(), "Give it one?"); (err == nil) != test.want {
			t.Errorf("%s: %v", name, err)
		}
		if text, err := os.ReadFile(seen); err != nil || string(text) != "confirm Give it one?\n" {
			t.Errorf("%q, %v", text, err)
		}
	}
	if _, err := newConfirmer(cmdtest.New(t, "", "SSH_ASKPASS="+dir+"/none").App, nil); !cli.IsUsage(err) {
		t.Errorf("a program that is not there: %v", err)
	}
}
