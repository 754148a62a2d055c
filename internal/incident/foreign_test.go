package incident

import (
	"errors"
	"strings"
	"testing"

	"github.com/fobcli/fob/internal/apikey"
	"github.com/fobcli/fob/internal/app"
	"github.com/fobcli/fob/internal/cli"
	"github.com/fobcli/fob/internal/config"
	"github.com/fobcli/fob/internal/secret"
)

// A value that is not one of our keys is named, and nothing of it is shown.
func TestRun_NotOurKey(t *testing.T) {
	s := newSite(t)
	cfg, err := s.Config()
	if err != nil {
		t.Fatal(err)
	}
	const value = "sk_live_abcdefghijklmnopqrstuvwx"
	if err := config.SaveSecret(cfg.Paths.Config, config.Secret{Name: "shop/stripe"}); err != nil {
		t.Fatal(err)
	}
	stored, err := s.SealedSecret(config.Secret{Name: "shop/stripe"})
	if err == nil {
		err = stored.Set(t.Context(), secret.New(value))
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := config.SaveProfile(cfg.Paths.Config, config.Profile{Name: "work", Issuer: "https://sso.example.com", ClientID: "fob"}); err != nil {
		t.Fatal(err)
	}
	s.Environ["FOB_TOKEN_WORK"] = "token-of-the-environment"
	s.Environ["FOB_SECRET_SHOP_STRIPE"] = "in-the-environment-only"
	stranger, err := apikey.Mint("fob", "live")
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct{ stdin, text, hint string }{
		{value + "\n", `the secret "shop/stripe"`, "'fob secret rotate shop/stripe'"},
		{"in-the-environment-only", `the secret "shop/stripe"`, "'fob secret rotate shop/stripe'"},
		{"token-of-the-environment", "the token in FOB_TOKEN_WORK", "https://sso.example.com"},
		{"ghp_" + strings.Repeat("a", 36), "GitHub", "https://github.com/settings/tokens"},
		{"AKIAIOSFODNN7EXAMPLE", "AWS", "https://console.aws.amazon.com/"},
		{"nobody-knows-this-value", "unknown", "FOB_REGISTRY"},
		{stranger.Key.Reveal(), "unknown", "FOB_REGISTRY"},
	} {
		for _, opts := range []Options{{Yes: true}, {DryRun: true}} {
			report, err := s.run(test.stdin, opts)
			if err == nil || report != "" || !strings.Contains(err.Error(), test.text) || !strings.Contains(cli.CarriedHint(err), test.hint) {
				t.Errorf("%s: %v (hint %q)", test.text, err, cli.CarriedHint(err))
			}
			if shown := err.Error() + cli.CarriedHint(err) + s.Err.String() + s.Out.String(); strings.Contains(shown, strings.TrimSpace(test.stdin)) || strings.Contains(shown, "copy") {
				t.Errorf("shown: %s", shown)
			}
		}
	}
	s.Environ["FOB_SEAL_KEY"] = strings.Repeat("cd", 32)
	s.App = app.New(s.In, &s.Out, &s.Err, s.Environ) // the store has its key
	if _, err := s.run(value, Options{Yes: true}); err == nil || !strings.Contains(err.Error(), "not compared with a secret") || !strings.Contains(err.Error(), "Stripe") {
		t.Errorf("a secret that cannot be read: %v", err)
	}
}

// A provider without revocation is named, with the page where its tokens are revoked.
func TestRevoke_ProviderWithoutRevocation(t *testing.T) {
	s := newSite(t)
	f := &foreign{a: s.App, opts: Options{Yes: true}}
	f.revoke(t.Context(), config.Profile{Name: "hub", Provider: "github"}, "access token")
	if err := f.failed.Err(); err == nil || !strings.Contains(err.Error(), `the access token of "hub" was not revoked: GitHub offers no revocation`) || !strings.Contains(cli.CarriedHint(err), "https://github.com/settings/applications, then run 'fob login hub'") {
		t.Errorf("%v (hint %q)", err, cli.CarriedHint(err))
	}
}

// A key that may be in a registry that was not reached is not looked for elsewhere.
func TestNotAKey_UnreachableRegistry(t *testing.T) {
	s := newSite(t)
	text, _ := s.issue(apikey.Record{})
	cause := errors.New("unreachable")
	if err := notAKey(t.Context(), s.App, Options{}, secret.New(text), cause); err != cause { //nolint:errorlint // the very one
		t.Errorf("%v", err)
	}
	err := notAKey(t.Context(), s.App, Options{}, secret.New("hvs."+strings.Repeat("a", 24)), cause)
	if err == nil || !strings.Contains(err.Error(), "HashiCorp") {
		t.Errorf("%v", err)
	}
	if err := notAKey(t.Context(), s.App, Options{}, secret.Secret{}, cause); err != cause { //nolint:errorlint // the very one
		t.Errorf("of a report: %v", err)
	}
}
