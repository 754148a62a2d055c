package session

import (
	"cmp"
	"slices"
	"strings"

	"github.com/fobcli/fob/internal/config"
	"github.com/fobcli/fob/internal/oauth"
)

// Target is what an access token is for, if not what the login was made for: fewer scopes (RFC
// 6749 §6), or another of its resources (RFC 8707). The zero value is the login's own.
type Target struct {
	Scope    string // separated by blanks
	Resource string
}

// NewTarget normalizes a target, whatever the order of its scopes.
func NewTarget(scopes []string, resource string) Target {
	scopes = strings.Fields(strings.Join(scopes, " "))
	slices.Sort(scopes)
	return Target{strings.Join(slices.Compact(scopes), " "), resource}
}

// request is the target in a request. A login for a resource stays with it.
func (t Target) request(r *record) oauth.Target {
	want := oauth.Target{Scope: t.Scope, Resource: cmp.Or(t.Resource, r.Resource)}
	if want.Scope == "" && r.Grant == config.GrantClientCredentials {
		want.Scope = r.Scope
	}
	return want
}
