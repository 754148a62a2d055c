package usage

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"github.com/fobcli/fob/internal/cli"
)

func TestCommand(t *testing.T) {
	type shared struct {
		Names []string `flag:"name" empty:"refused" help:"a {NAME}; repeatable"`
	}
	type options struct {
		shared
		JSONFlag
		File    string        `flag:"output,o" required:"use - for stdout" help:"write to {FILE}"`
		Wait    time.Duration `flag:"wait" not:"json" values:"1s 2s" help:"wait for this {TIME}"`
		Count   int           `flag:"count" help:"make {N}"`
		Given   Given
		skipped string
	}
	var got options
	run := func(args ...string) error {
		got = options{}
		c := Command("app", &cobra.Command{Use: "x", SilenceUsage: true, SilenceErrors: true}, options{Count: 1, skipped: "kept"},
			func(_ context.Context, a string, args []string, o options) error {
				if got = o; a != "app" || strings.Join(args, " ") != "one two" {
					t.Errorf("%q %q", a, args)
				}
				return nil
			})
		if help := c.Flags().FlagUsages(); !strings.Contains(help, "-o, --output FILE   write to FILE\n") || !strings.Contains(help, "(default 1)") {
			t.Error(help)
		}
		c.SetArgs(append(args, "one", "two"))
		return c.Execute()
	}
	if err := run("-o", "f", "--json", "--wait", "2s"); err == nil || !strings.Contains(err.Error(), "--json and --wait cannot be combined") {
		t.Error(err)
	}
	if err := run("-o", "f", "--name", "a", "--name", "b", "--wait", "2s"); err != nil {
		t.Fatal(err)
	}
	if got.File != "f" || got.JSON || strings.Join(got.Names, " ") != "a b" || got.Wait != 2*time.Second || got.Count != 1 || got.skipped != "kept" {
		t.Errorf("%+v", got)
	}
	if !got.Given("wait") || got.Given("count") {
		t.Error("which flags were given")
	}
	for _, args := range [][]string{nil, {"--output", ""}} {
		if err := run(args...); err == nil || err.Error() != "--output is required" || cli.CarriedHint(err) != "use - for stdout" {
			t.Errorf("%q: %v", args, err)
		}
	}
	if err := run("-o", "f", "--name", " "); err == nil || !strings.Contains(err.Error(), "--name is empty") {
		t.Error(err)
	}
}
