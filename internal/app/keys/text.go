package keys

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/fobcli/fob/internal/apikey"
	"github.com/fobcli/fob/internal/apikey/keys"
	"github.com/fobcli/fob/internal/app"
	"github.com/fobcli/fob/internal/cli"
	"github.com/fobcli/fob/internal/sanitize"
)

// JSON is a key as fob prints it.
type JSON struct {
	ID           string            `json:"id"`
	Owner        string            `json:"owner"`
	Environment  string            `json:"environment"`
	Scopes       []string          `json:"scopes"`
	Rate         string            `json:"rate,omitempty"`
	Note         string            `json:"note,omitempty"`
	Metadata     map[string]string `json:"metadata,omitempty"`
	State        apikey.State      `json:"state"`
	CreatedAt    time.Time         `json:"created_at"`
	ExpiresAt    time.Time         `json:"expires_at,omitzero"`
	ExpiresOn    int64             `json:"expires_on,omitempty"`
	RetiresAt    time.Time         `json:"retires_at,omitzero"`
	RevokedAt    time.Time         `json:"revoked_at,omitzero"`
	Predecessor  string            `json:"predecessor,omitempty"`
	Destinations []string          `json:"destinations,omitempty"`
	Unfinished   apikey.Phase      `json:"unfinished,omitempty"` // of the key's rotation
	LastUsedAt   time.Time         `json:"last_used_at,omitzero"`
	Uses         int64             `json:"uses,omitempty"`
}

// NewJSON returns a key as fob prints it.
func NewJSON(r apikey.Record, now time.Time) JSON {
	k := JSON{
		ID: r.ID, Owner: r.Owner, Environment: r.Environment, Scopes: r.Scopes, Rate: r.Rate, Note: r.Note, Metadata: r.Metadata,
		State: r.State(now), CreatedAt: cli.UTCSeconds(r.CreatedAt), ExpiresAt: cli.UTCSeconds(r.ExpiresAt), RetiresAt: cli.UTCSeconds(r.RetiresAt),
		RevokedAt: cli.UTCSeconds(r.RevokedAt), Predecessor: r.Predecessor, Destinations: r.Destinations, LastUsedAt: cli.UTCSeconds(r.LastUsedAt), Uses: r.Uses,
	}
	if k.Scopes == nil {
		k.Scopes = []string{}
	}
	if !r.ExpiresAt.IsZero() {
		k.ExpiresOn = r.ExpiresAt.Unix()
	}
	return k
}

// ScopesText shows what a key may do.
func ScopesText(scopes []string) string {
	return strings.Join(cli.InertRow(slices.Clone(scopes)...), " ")
}

// Text describes a key within a sentence.
func Text(r apikey.Record) string {
	return fmt.Sprintf("%s (%s, %s)", sanitize.Line(r.ID), sanitize.Line(r.Environment), sanitize.Line(r.Owner))
}

// NoteUnfinished prints the unfinished rotations as a reminder.
func NoteUnfinished(a *app.App, open []keys.Unfinished) {
	const most = 5
	for _, u := range open[:min(most, len(open))] {
		what := "rotation"
		if u.Old.ID == u.New.ID {
			what = "delivery"
		}
		a.Note("The %s of %s is unfinished (%s): run 'fob key rotate --resume %s'.", what, Text(u.Old), u.Rotation.Phase, sanitize.Line(u.Old.ID))
	}
	if more := len(open) - most; more > 0 {
		a.Note("And %s: 'fob key rotate --resume' finishes all.", cli.Plural(more, "more rotation", "more rotations"))
	}
}
