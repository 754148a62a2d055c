package complete

import (
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/fobcli/fob/internal/apikey"
	"github.com/fobcli/fob/internal/app"
	appkeys "github.com/fobcli/fob/internal/app/keys"
	"github.com/fobcli/fob/internal/config"
)

const configuration = `
[keys]
environments = ["live", "test"]

[commands]
deploy = ["/bin/deploy"]

[profile.work]
issuer = "https://sso.example.com"
client_id = "fob"
scopes = ["openid", "orders:read", "$(id)"]
resources = ["https://api.example.com"]
storage = "file"

[profile.home]
provider = "github"
client_id = "fob"

[secret.stripe]
to = ["dotenv:/srv/app/.env#STRIPE"]
`

// newValues returns completions for a configuration and an empty registry.
func newValues(t *testing.T, text string) values {
	t.Helper()
	home := t.TempDir()
	if err := os.WriteFile(filepath.Join(home, "config.toml"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return values{app.New(strings.NewReader(""), io.Discard, io.Discard, map[string]string{"FOB_HOME": home, "FOB_STORAGE": "file"})}
}

// words joins completions without their descriptions.
func words(list []string) string {
	var plain []string
	for _, word := range list {
		word, _, _ = strings.Cut(word, "\t")
		plain = append(plain, word)
	}
	return strings.Join(plain, " ")
}

func TestValues(t *testing.T) {
	c := newValues(t, configuration)
	for _, test := range []struct {
		name     string
		complete cobra.CompletionFunc
		args     string
		word     string
		want     string
	}{
		{"profiles", first(c.offer((*config.Config).Names)), "", "", "home work"},
		{"profiles, one is named", first(c.offer((*config.Config).Names)), "work", "", ""},
		{"more profiles", more(c.offer((*config.Config).Names)), "work", "", "home"},
		{"credentials", more(c.offer(credentials)), "home", "", "work secret/stripe"},
		{"proxied", c.proxied, "", "", "home work secret/stripe"},
		{"proxied, the program", c.proxied, "work", "", ""},
		{"as", c.platformCredentials, "", "", "home work secret/stripe"},
		{"as, for a platform", c.platformCredentials, "", "github=w", "github=home github=work github=secret/stripe"},
		{"env, its name", c.variables, "", "TOK", ""},
		{"env, its value", c.variables, "", "TOKEN=", "TOKEN=token/home TOKEN=token/work TOKEN=secret/stripe"},
		{"scopes", c.scopes, "work", "", "openid orders:read"},
		{"scopes, another", c.scopes, "work", "openid or", "openid orders:read"},
		{"scopes of no profile", c.scopes, "missing", "", ""},
		{"resources", c.resources, "work", "", "https://api.example.com"},
		{"environments", c.environments, "", "", "live test"},
		{"secrets", first(c.offer((*config.Config).SecretNames)), "", "", "stripe"},
		{"secrets, one is named", first(c.offer((*config.Config).SecretNames)), "stripe", "", ""},
		{"commands", c.offer(commands), "", "", "deploy"},
		{"ids without a registry", c.keyIDs, "", "", ""},
	} {
		cmd := &cobra.Command{}
		cmd.SetContext(t.Context())
		got, directive := test.complete(cmd, strings.Fields(test.args), test.word)
		if words(got) != test.want {
			t.Errorf("%s: %q, not %q", test.name, words(got), test.want)
		}
		if offersFiles := directive&cobra.ShellCompDirectiveNoFileComp == 0; offersFiles != (test.name == "proxied, the program") {
			t.Errorf("%s: files are offered: %t", test.name, offersFiles)
		}
	}
	logins := logins(c.config())
	for _, want := range []string{"github", "gitlab", "home", "work"} {
		if !slices.Contains(logins, want) {
			t.Errorf("logins: no %s in %q", want, logins)
		}
	}
	destinations, _ := c.destinations(nil, nil, "")
	for _, want := range []string{"dotenv:/srv/app/.env#STRIPE", "exec:deploy", "github:"} {
		if !slices.Contains(destinations, want) {
			t.Errorf("destinations: no %s in %q", want, destinations)
		}
	}
}

// A configuration that cannot be read completes nothing, and prints nothing.
func TestValues_OfABrokenConfiguration(t *testing.T) {
	c := newValues(t, "[profile.x")
	for name, complete := range map[string]cobra.CompletionFunc{
		"profiles": c.offer((*config.Config).Names), "credentials": c.offer(credentials), "secrets": c.offer((*config.Config).SecretNames), "environments": c.environments, "scopes": c.scopes, "as": c.platformCredentials, "ids": c.keyIDs,
	} {
		cmd := &cobra.Command{}
		cmd.SetContext(t.Context())
		if got, _ := complete(cmd, nil, ""); len(got) > 0 {
			t.Errorf("%s: %q", name, got)
		}
	}
}

func TestKeyIDs(t *testing.T) {
	c := newValues(t, configuration)
	g, err := appkeys.Open(t.Context(), c.App, true)
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	ids := make(map[string]string)
	for _, owner := range []string{"billing", "shop", "gone"} {
		minted, _, err := g.Create(t.Context(), apikey.Record{Owner: owner, Environment: "test", Scopes: []string{"orders:read", owner + ":write"}}, 1)
		if err != nil {
			t.Fatal(err)
		}
		ids[owner] = minted[0].ID
	}
	if _, err := g.Revoke(t.Context(), []string{ids["gone"]}, ""); err != nil {
		t.Fatal(err)
	}
	cmd := &cobra.Command{}
	cmd.SetContext(t.Context())
	got, _ := c.keyIDs(cmd, nil, "")
	slices.Sort(got)
	want := []string{ids["billing"] + "\tbilling (test)", ids["shop"] + "\tshop (test)"}
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("%q, not %q", got, want)
	}
	if got, _ := c.keyIDs(cmd, []string{ids["shop"]}, ids["billing"][:4]); words(got) != ids["billing"] {
		t.Errorf("beside one: %q", got)
	}
	if got, _ := first(c.keyIDs)(cmd, []string{ids["shop"]}, ""); len(got) > 0 {
		t.Errorf("after the only one: %q", got)
	}
	if got, _ := c.keyValues(func(r apikey.Record) []string { return r.Scopes })(cmd, nil, ""); words(got) != "billing:write orders:read shop:write" {
		t.Errorf("scopes: %q", got)
	}
}

func TestWithoutSpecial(t *testing.T) {
	got := withoutSpecial([]string{"orders:read", "https://api.example.com/v1", "", "-x", "a b", "$(id)", "`id`", "a;b", "a'b", "a\nb", "é", "a*"})
	if want := "orders:read https://api.example.com/v1 a*"; words(got) != want {
		t.Errorf("%q", got)
	}
}

func TestAddTo(t *testing.T) {
	c := newValues(t, configuration)
	root := &cobra.Command{Use: "fob"}
	sub := &cobra.Command{Use: "push NAME"}
	sub.Flags().String("output", "", "write to a `FILE`")
	sub.Flags().String("to", "", "a `DESTINATION`")
	sub.Flags().String("scope", "", "")
	sub.Flags().Bool("quiet", false, "")
	files := &cobra.Command{Use: "scan [PATH…]"}
	root.AddCommand(sub, files)
	AddTo(root, c.App)
	for name, want := range map[string]bool{"output": false, "to": true, "scope": true, "quiet": true} {
		if _, got := sub.GetFlagCompletionFunc(name); got != want {
			t.Errorf("--%s has a completion: %t", name, got)
		}
	}
	if sub.ValidArgsFunction == nil || files.ValidArgsFunction != nil {
		t.Error("files are offered for a name, or not for a path")
	}
}

func TestArgCompletion_FollowsTheHelp(t *testing.T) {
	c := newValues(t, configuration)
	for _, test := range []struct{ group, use, want string }{
		{"auth", "status [PROFILE]", "home work"},
		{"auth", "refresh [PROFILE...]", "home work"},
		{"profile", "set PROFILE", "home work"},
		{"helper", "aws [PROFILE] --role-arn ARN", "home work"},
		{"storage", "migrate --to STORAGE [PROFILE|secret/NAME...]", "home work secret/stripe"},
		{"auth", "proxy PROFILE --allow HOST [flags] -- COMMAND [ARGUMENT…]", "home work secret/stripe"},
		{"secret", "get NAME", "stripe"},
		{"pepper", "use NAME", ""},
		{"ci", "export --env NAME=token/PROFILE", ""},
		{"key", "show ID", ""},
		{"key", "create --owner OWNER", ""},
		{"storage", "restore FILE", "files"},
	} {
		root, group, cmd := &cobra.Command{Use: "fob"}, &cobra.Command{Use: test.group}, &cobra.Command{Use: test.use}
		root.AddCommand(group)
		group.AddCommand(cmd)
		cmd.SetContext(t.Context())
		got := "files"
		if complete := c.argCompletion(cmd); complete != nil {
			offered, _ := complete(cmd, nil, "")
			got = strings.Join(offered, " ")
		}
		if got != test.want {
			t.Errorf("%s: %q, not %q", test.use, got, test.want)
		}
	}
}

func TestRequested(t *testing.T) {
	for args, want := range map[string]bool{"": false, "login": false, "__complete login": true, "__completeNoDesc": true, "login __complete": false} {
		if got := Requested(strings.Fields(args)); got != want {
			t.Errorf("%q: %t", args, got)
		}
	}
}
