//go:build unix

package cmd

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fobcli/fob/internal/agent"
	"github.com/fobcli/fob/internal/cli"
	"github.com/fobcli/fob/internal/hostiletest"
)

// fakeAgent listens on FOB_AGENT as another machine's forwarded agent would.
func fakeAgent(t *testing.T, answer agent.Answerer) {
	t.Helper()
	dir, err := os.MkdirTemp("", "fob") // t.TempDir may be too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	path := filepath.Join(dir, "agent.sock")
	l, err := agent.Listen(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- agent.Serve(ctx, l, 16, answer) }()
	t.Cleanup(func() {
		stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	t.Setenv("FOB_AGENT", path)
}

func TestI75_AForwardedAgentsTextIsInert(t *testing.T) {
	run, _ := fobOf(t)
	for _, text := range hostiletest.Texts() {
		for name, answer := range map[string]agent.Answer{
			"status of one that is forwarded": {Status: &agent.Status{Forwarded: true, Profiles: []string{text, "work", text}}},
			"status of one that is not":       {Status: &agent.Status{PID: 1, Profiles: []string{text}, Files: true, NeedsKey: true}},
			"failure":                         {Failure: &agent.Failure{Error: text, Hint: text, Status: cli.ExitRefused}},
			"token":                           {Token: &agent.Token{AccessToken: "t", TokenType: text, Scope: text}},
			"token that is none":              {Token: &agent.Token{AccessToken: text, TokenType: "Bearer"}},
			"scope":                           {Token: &agent.Token{AccessToken: "t", TokenType: "Bearer", Scope: text}},
		} {
			t.Run("", func(t *testing.T) {
				asked := 0
				fakeAgent(t, func(_ context.Context, _ agent.Request, note func(string)) agent.Answer {
					asked++
					note(text)
					return answer
				})
				for _, args := range [][]string{
					{"agent", "status"}, {"agent", "status", "--json"}, {"agent", "lock"}, {"agent", "unlock"}, {"agent", "stop"},
					{"token", "work"}, {"token", "work", "--json"}, {"ci", "export", "--env", "A=token/work", "--format", "dotenv", "--file", filepath.Join(t.TempDir(), "env")},
				} {
					before := asked
					stdout, stderr := run("", args...)
					if asked == before {
						t.Fatalf("%q did not ask the agent: %s", args, stderr)
					}
					for _, out := range []string{stdout, stderr} {
						if bad := hostiletest.Recognised(out); bad != "" {
							t.Errorf("%s %q: %q printed %s", name, text, args, bad)
						}
					}
					if strings.Contains(stderr, "\nerror: all is well\n") && args[0] == "agent" && answer.Failure == nil {
						t.Errorf("%q printed a line of its own: %q", args, stderr)
					}
				}
			})
		}
	}
}
