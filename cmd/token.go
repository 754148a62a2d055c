package cmd

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/fobcli/fob/internal/config"
	"github.com/fobcli/fob/internal/credstore"
	"github.com/fobcli/fob/internal/session"
)

type tokenOptions struct {
	args         []string
	minTTL       time.Duration
	minTTLGiven  bool
	forceRefresh bool
	header       bool
	json         bool
}

func newTokenCmd(a *app) *cobra.Command {
	var opts tokenOptions
	c := &cobra.Command{
		Use:   "token [PROFILE]",
		Short: "Print a fresh access token",
		Long: `Print an access token that is still good for a while, and nothing else.

A cached token is printed without network or lock. One that is about to expire is
refreshed first; however many scripts ask at once, the server sees one refresh.
A browser is never opened: where only a new login helps, the status is 4.

In CI a variable may answer: FOB_TOKEN_<PROFILE>, or FOB_TOKEN where no PROFILE is
named, holds an access token, and FOB_REFRESH_TOKEN_<PROFILE> a refresh token.

` + exitHelp(exitDone, exitFailed, exitUsage, exitLoginRequired, exitUnavailable, exitStorage, exitLockTimeout, exitInterrupted),
		Example: `  fob token work --header | curl -H @- https://api.example.com/me
  TOKEN=$(fob token work) || exit
  fob token work --json --min-ttl 10m`,
		Args:              atMostProfile,
		ValidArgsFunction: a.completeProfiles,
		RunE: func(cmd *cobra.Command, args []string) error {
			opts.args = args
			opts.minTTLGiven = cmd.Flags().Changed("min-ttl")
			return runToken(cmd.Context(), a, opts)
		},
	}
	c.Flags().DurationVar(&opts.minTTL, "min-ttl", session.DefaultMinTTL, "how long the token must stay good; by default at most a tenth of its lifetime")
	c.Flags().BoolVar(&opts.forceRefresh, "force-refresh", false, "refresh even if the cached token is good")
	c.Flags().BoolVar(&opts.header, "header", false, "print an Authorization header, for curl -H @-")
	c.Flags().BoolVar(&opts.json, "json", false, "print JSON")
	c.MarkFlagsMutuallyExclusive("header", "json")
	return c
}

func runToken(ctx context.Context, a *app, opts tokenOptions) error {
	want, err := a.tokenRequest(opts)
	if err != nil {
		return err
	}
	given, err := a.givenToken(cmp.Or(first(opts.args), a.getenv("FOB_PROFILE")), want)
	if err != nil {
		return err
	}
	if given != nil {
		return a.printToken(given, opts)
	}
	p, err := a.profile(opts.args)
	if err != nil {
		return err
	}
	token, err := a.token(ctx, p, want)
	if err != nil {
		return forProfile(err, p.Name)
	}
	return a.printToken(token, opts)
}

// token asks the profile's login for an access token, and once more where the login
// was moved to another storage meanwhile.
func (a *app) token(ctx context.Context, p config.Profile, want session.TokenOptions) (*session.Token, error) {
	switch name, refreshes := a.givenVariable(p.Name); {
	case refreshes:
		return a.givenRefresh(ctx, p, name, want)
	case name != "":
		return a.givenToken(p.Name, want)
	}
	s, err := a.session(p)
	if err != nil {
		return nil, err
	}
	s.Current = func() error { return a.stillIn(s.Store, p.Name) }
	token, err := s.Token(ctx, want)
	if !errors.Is(err, session.ErrMoved) {
		return token, err
	}
	if p, err = a.profile([]string{p.Name}); err != nil {
		return nil, err
	}
	if s, err = a.session(p); err != nil {
		return nil, err
	}
	return s.Token(ctx, want)
}

// stillIn compares a storage with the one that the configuration names by now.
func (a *app) stillIn(store *credstore.Store, profile string) error {
	paths, err := a.paths()
	if err != nil {
		return err
	}
	cfg, err := a.config()
	if err != nil {
		return err
	}
	now, err := a.store(paths, cfg, cfg.Profiles[profile])
	if err == nil && now != store {
		err = session.ErrMoved
	}
	return err
}

// tokenRequest reads --min-ttl, else FOB_MIN_TTL.
func (a *app) tokenRequest(opts tokenOptions) (session.TokenOptions, error) {
	want := session.TokenOptions{ForceRefresh: opts.forceRefresh}
	if env := a.getenv("FOB_MIN_TTL"); env != "" && !opts.minTTLGiven {
		ttl, err := time.ParseDuration(env)
		if err != nil {
			return want, withHint(usagef("FOB_MIN_TTL is not a duration: %q", env), "write it like 90s or 10m")
		}
		opts.minTTL, opts.minTTLGiven = ttl, true
	}
	if opts.minTTL < 0 {
		return want, withHint(usagef("a token cannot be good for %s", opts.minTTL), "write --min-ttl like 90s or 10m")
	}
	if opts.minTTLGiven {
		want.MinTTL = &opts.minTTL
	}
	return want, nil
}

func (a *app) printToken(token *session.Token, opts tokenOptions) error {
	var err error
	switch {
	case opts.json:
		err = a.printJSON(newTokenJSON(token))
	case opts.header:
		_, err = fmt.Fprintf(a.stdout, "Authorization: %s %s\n", token.Type, token.Value.Reveal())
	default:
		_, err = fmt.Fprintln(a.stdout, token.Value.Reveal())
	}
	return err
}

// tokenJSON is what `fob token --json` prints.
type tokenJSON struct {
	AccessToken string    `json:"access_token"`
	TokenType   string    `json:"token_type"`
	Scope       string    `json:"scope,omitempty"`
	ExpiresAt   time.Time `json:"expires_at,omitzero"` // RFC 3339, UTC
	ExpiresOn   int64     `json:"expires_on,omitzero"` // Unix seconds
}

func newTokenJSON(token *session.Token) tokenJSON {
	out := tokenJSON{AccessToken: token.Value.Reveal(), TokenType: token.Type, Scope: token.Scope}
	if !token.ExpiresAt.IsZero() {
		out.ExpiresAt = token.ExpiresAt.UTC().Truncate(time.Second)
		out.ExpiresOn = token.ExpiresAt.Unix()
	}
	return out
}
