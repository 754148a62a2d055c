package usage

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"github.com/fobcli/fob/internal/cli"
)

// newTree returns fob with a few commands, none of which does anything.
func newTree() *cobra.Command {
	run := func(*cobra.Command, []string) error { return nil }
	root := &cobra.Command{Use: "fob", SilenceErrors: true, SilenceUsage: true, Args: NoSuchCommand, RunE: run}
	root.SetFlagErrorFunc(WrongFlag)
	type options struct {
		Issuer  string        `flag:"issuer" empty:"refused"`
		Quiet   bool          `flag:"quiet"`
		Count   int           `flag:"count" not:"quiet"`
		Timeout time.Duration `flag:"timeout"`
		Scopes  []string      `flag:"scope" empty:"refused"`
	}
	login := Command("app", &cobra.Command{Use: "login", Args: AtMostProfile}, options{}, func(context.Context, string, []string, options) error { return nil })
	key := &cobra.Command{Use: "key", RunE: run, Args: NoSuchCommand}
	key.AddCommand(&cobra.Command{Use: "create", RunE: run, Args: NoKeyArgs}, &cobra.Command{Use: "rotate", RunE: run, Args: KeyIDs(1)},
		&cobra.Command{Use: "show", RunE: run, Args: OneKeyID})
	secret := &cobra.Command{Use: "secret", RunE: run, Args: NoSuchCommand}
	secret.AddCommand(&cobra.Command{Use: "rotate", RunE: run})
	storage := &cobra.Command{Use: "storage", RunE: run, Args: RecordArgs}
	root.AddCommand(login, key, secret, storage, &cobra.Command{Use: "logout", RunE: run, Args: OneProfile}, &cobra.Command{Use: "environment", Short: "a topic"})
	return root
}

func TestUsage(t *testing.T) {
	const key = "acme_live_1OOivdDZfQCU_bt6gO89NcUzYEW1pIKnvsU7LGdgMmGxA18PCV4"
	for call, want := range map[string]struct{ err, hint string }{
		"login":                                 {},
		"login work":                            {},
		"login work home":                       {"'fob login' takes one profile at most", "see 'fob login --help'"},
		"login Work":                            {"invalid profile name", ""},
		"logout":                                {"takes the name of one profile", "see 'fob logout --help'"},
		"logout work":                           {},
		"storage work secret/stripe":            {},
		"storage secret/Str*pe":                 {"Str*pe", ""},
		"login --quiet --count 2":               {"--quiet and --count cannot be combined", "see 'fob login --help'"},
		"login --quiet":                         {},
		"login --issuer=":                       {"--issuer is empty", HintEmpty},
		"login --issuer=x":                      {},
		"login --scope=x --scope=":              {"--scope is empty", HintEmpty},
		"login --scope=x --scope=y":             {},
		"login --isuer x":                       {"unknown flag: --isuer", "did you mean '--issuer'? See 'fob login --help'"},
		"login -quiet":                          {"unknown shorthand flag", "did you mean '--quiet'? See 'fob login --help'"},
		"login --nothing-like-it":               {"unknown flag", "see 'fob login --help'"},
		"login --count many":                    {"invalid argument \"many\" for \"--count\" flag", "use a number"},
		"login --quiet=maybe":                   {"invalid argument \"maybe\" for \"--quiet\" flag", "use true or false, or no value"},
		"login --timeout 5":                     {"time: missing unit in duration", "write a duration with its unit: 10s, 5m, 2h"},
		"login --issuer":                        {"flag needs an argument", "see 'fob login --help'"},
		"lgoin":                                 {"there is no command \"lgoin\"", "did you mean 'fob login'?"},
		"sto":                                   {"there is no command \"sto\"", "did you mean 'fob storage'?"},
		"create":                                {"there is no command \"create\"", "did you mean 'fob key create'?"},
		"rotate":                                {"there is no command \"rotate\"", "did you mean 'fob key rotate', or 'fob secret rotate'?"},
		"environmentz":                          {"there is no command \"environmentz\"", "did you mean 'fob help environment'?"},
		"deploy":                                {"there is no command \"deploy\"", "'fob --help' lists the commands"},
		"key crate":                             {"there is no command \"crate\"", "did you mean 'fob key create'?"},
		"key rotate":                            {"takes the id of a key", "'fob key list' shows the ids"},
		"key rotate 1OOivdDZfQCU":               {},
		"key rotate 1OOivdDZfQCU 2abc":          {"\"2abc\" is not a key id", "'fob key list' shows the ids"},
		"key show 1OOivdDZfQCU 1OOivdDZfQCU":    {"takes the id of one key", "see 'fob key show --help'"},
		"key rotate " + key:                     {"an API key was passed as an argument", "use the key's id"},
		"key create " + key:                     {"an API key was passed as an argument", "use the key's id"},
		"key create x":                          {"'fob key create' takes no argument", "see 'fob key create --help'"},
		"key create " + strings.Repeat("x", 20): {"an API key was passed as an argument", "use the key's id"},
	} {
		root := newTree()
		root.SetArgs(strings.Fields(call))
		err := root.Execute()
		switch {
		case want.err == "" && err != nil, want.err != "" && err == nil:
			t.Errorf("%s: %v", call, err)
		case err == nil:
		case !cli.IsUsage(err):
			t.Errorf("%s: not a usage error: %v", call, err)
		case !strings.Contains(err.Error(), want.err) || !strings.HasPrefix(cli.CarriedHint(err), want.hint) || want.hint == "" && cli.CarriedHint(err) != "":
			t.Errorf("%s: %q with the hint %q", call, err, cli.CarriedHint(err))
		}
		if err != nil && strings.Contains(err.Error()+cli.CarriedHint(err), "MmGxA18PCV4") {
			t.Errorf("%s: the key is shown: %v", call, err)
		}
	}
}

func TestExitHelp(t *testing.T) {
	got := ExitHelp(cli.ExitDone, cli.ExitFailed, cli.ExitUsage, cli.ExitFindings, cli.ExitLoginRequired, cli.ExitUnavailable, cli.ExitInterrupted)
	const want = "Exit statuses: 0 done, 1 failed, 2 wrong usage, 3 something was found,\n  4 login required, 5 server unreachable, 130 interrupted"
	if got != want {
		t.Errorf("%s", got)
	}
	for line := range strings.SplitSeq(got, "\n") {
		if len(line) > MaxWidth {
			t.Errorf("%d characters: %s", len(line), line)
		}
	}
}

func TestURLPlace(t *testing.T) {
	for url, want := range map[string]string{
		"https://git.example.com": "https://git.example.com", "https://git.example.com:443/team/": "https://git.example.com/team",
		"http://127.0.0.1:3000": "http://127.0.0.1:3000", "http://git.example.com": "", "git.example.com": "", "https://git.example.com/../x": "", "": "",
	} {
		got, err := URLPlace(url)
		if (err == nil) != (want != "") || err == nil && got.String() != want {
			t.Errorf("%q: %s, %v", url, got, err)
		}
	}
}
