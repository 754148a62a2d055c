package app

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/fobcli/fob/internal/cli"
	"github.com/fobcli/fob/internal/config"
	"github.com/fobcli/fob/internal/credstore"
	"github.com/fobcli/fob/internal/session"
)

// LoginStatus is what `fob status --json` prints of one profile.
type LoginStatus struct {
	Profile        string        `json:"profile"`
	Selected       bool          `json:"selected"`              // the default for calls without a profile
	SelectedBy     string        `json:"selected_by,omitempty"` // FOB_PROFILE, a path, default or only profile
	State          session.State `json:"state"`
	Account        Account       `json:"account,omitzero"`
	Server         string        `json:"server"`
	ClientID       string        `json:"client_id"`
	Scopes         []string      `json:"scopes,omitempty"`
	Grant          string        `json:"grant,omitempty"`      // empty: a user has logged in
	DPoP           bool          `json:"dpop,omitempty"`       // tokens are bound to a key
	Registered     bool          `json:"registered,omitempty"` // fob has registered the client
	Storage        string        `json:"storage"`
	LoggedInAt     time.Time     `json:"logged_in_at,omitzero"`
	ExpiresAt      time.Time     `json:"expires_at,omitzero"`       // of the access token
	LoginExpiresAt time.Time     `json:"login_expires_at,omitzero"` // of the login itself
	Problem        string        `json:"problem,omitempty"`

	Err error `json:"-"`
}

// LocalStatus returns the status of a profile's login without the network. A profile with
// settings that cannot be used has a status too.
func LocalStatus(ctx context.Context, a *App, cfg *config.Config, p config.Profile) (LoginStatus, error) {
	out := LoginStatus{Profile: p.Name, Server: p.WithProvider().Authority(), ClientID: p.ClientID, Storage: p.Storage}
	storage, err := cfg.StorageFor(p.Storage)
	if err != nil {
		out.State, out.Problem, out.Err = session.StateUnreadable, err.Error(), err
		return out, nil //nolint:nilerr // the status has it
	}
	out.Storage = storage
	variable, refreshes := a.TokenVariable(p.Name)
	switch {
	case variable != "":
		out.State, out.Storage = session.StateValid, FromEnv+": "+variable
		if refreshes {
			out.State = session.StateRefreshable
		}
		return out, nil
	case ShowsIdentity(p):
		out.State, out.Grant, out.Scopes, out.Storage = session.StateRefreshable, p.Grant, p.Scopes, "nothing: the machine's identity"
		return out, nil
	case storage == config.StorageNone, cfg.StoresNothing():
		out.State, out.Storage, out.Err = session.StateLoggedOut, config.StorageNone, errNotInEnviron(p.Name)
		return out, nil
	}
	s, err := a.LocalSession(p)
	if err != nil {
		return LoginStatus{}, err
	}
	status := s.Status(ctx)
	if errors.Is(status.Err, context.Canceled) {
		return LoginStatus{}, status.Err
	}
	out.State, out.Err = status.State, status.Err
	out.Account, out.Scopes = NewAccount(status.Account), cli.InertRow(strings.Fields(status.Scope)...)
	out.Grant, out.DPoP, out.Registered = status.Grant, status.DPoP, status.Registered
	out.LoggedInAt, out.ExpiresAt, out.LoginExpiresAt = cli.UTCSeconds(status.LoggedInAt), cli.UTCSeconds(status.AccessExpiresAt), cli.UTCSeconds(status.RefreshExpiresAt)
	if status.Err != nil {
		out.Problem = status.Err.Error()
	}
	return out, nil
}

// QuickStatuses returns the logins, with the part of their state that can be read without
// asking the user, and before ctx ended.
func QuickStatuses(ctx context.Context, a *App, cfg *config.Config) []LoginStatus {
	var unnamed config.Choice // the default for calls without a profile
	if named, err := a.Choice(nil); err == nil {
		_, unnamed, _ = cfg.Select(named)
	}
	var all []LoginStatus
	for _, name := range cfg.Names() {
		p := cfg.Profiles[name]
		s := LoginStatus{Profile: name, Server: p.WithProvider().Authority()}
		s.Storage, _ = cfg.StorageFor(p.Storage)
		if ctx.Err() == nil && ReadsWithoutPrompt(a, p) {
			if known, err := cli.Await(ctx, func() (LoginStatus, error) { return LocalStatus(ctx, a, cfg, p) }); err == nil {
				s = known
			}
		}
		s.Select(unnamed)
		all = append(all, s)
	}
	return all
}

// ReadsWithoutPrompt reports whether a login can be read without a passphrase, and without
// the keyring asking the user.
func ReadsWithoutPrompt(a *App, p config.Profile) bool {
	cfg, err := a.Config()
	if err != nil {
		return false
	}
	storage, err := cfg.StorageFor(p.Storage)
	switch variable, _ := a.TokenVariable(p.Name); {
	case err != nil:
		return false
	case variable != "" || storage == config.StorageNone || cfg.StoresNothing() || ShowsIdentity(p):
		return true
	case storage == config.StorageKeyring:
		return !credstore.KeyringMayAsk(a.Getenv)
	}
	return a.FileKey(cfg).Name != PassphraseSource
}

// Select marks the login if choice is its profile.
func (s *LoginStatus) Select(choice config.Choice) {
	if s.Selected = s.Profile == choice.Name; s.Selected {
		s.SelectedBy = choice.By
	}
}

// Failure is the error of a command about only this login.
func (s LoginStatus) Failure() error {
	if s.Err != nil {
		return s.Err
	}
	switch s.State {
	case session.StateLoggedOut, session.StateExpired:
		return fmt.Errorf("profile %q is %s%.0w", s.Profile, s.State, session.ErrLoginRequired)
	case session.StateEnded:
		return fmt.Errorf("the login of profile %q was ended at the server%.0w", s.Profile, session.ErrLoginRequired)
	}
	return nil
}

// AccountElsewhere returns the account of the profile's login in another storage than
// this login's. An unknown storage has none.
func AccountElsewhere(ctx context.Context, a *App, p config.Profile, mayReplace bool) (session.Account, error) {
	cfg, err := a.Config()
	if err != nil {
		return session.Account{}, err
	}
	before, known := cfg.Profiles[p.Name]
	storage, _ := cfg.StorageFor(before.Storage)
	if mayReplace || !known || storage == "" || storage == config.StorageNone ||
		storage == p.Storage && before.ClientID == p.ClientID && before.WithProvider().Authority() == p.WithProvider().Authority() {
		return session.Account{}, nil
	}
	s, err := a.LocalSession(before)
	if err != nil {
		return session.Account{}, err
	}
	account, err := s.StoredAccount(ctx)
	if err != nil && storage != p.Storage {
		err = cli.WithHint(err, "make the storage %q readable, or replace the login of any account: 'fob login %s --storage %s --switch-account'", storage, p.Name, p.Storage)
	}
	return account, err
}

// Summary describes the login in a few words.
func (s LoginStatus) Summary(now time.Time) string {
	switch s.State {
	case "":
		if s.Storage == config.StorageFile {
			return "stored in an encrypted file"
		}
		return "stored in the " + s.Storage
	case session.StateExpired, session.StateEnded:
		return "login required"
	case session.StateLoggedOut, session.StateUnreadable:
		return string(s.State)
	}
	switch {
	case !s.LoginExpiresAt.IsZero():
		return "logged in, expires " + cli.LeftText(s.LoginExpiresAt, now)
	case !s.ExpiresAt.IsZero():
		return "logged in, token expires " + cli.LeftText(s.ExpiresAt, now)
	}
	return "logged in"
}
