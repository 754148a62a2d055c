package ci

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/fobcli/fob/cmd/internal/usage"
	"github.com/fobcli/fob/internal/app"
	"github.com/fobcli/fob/internal/ci"
	"github.com/fobcli/fob/internal/cli"
	"github.com/fobcli/fob/internal/config"
	"github.com/fobcli/fob/internal/jwt"
	"github.com/fobcli/fob/internal/sanitize"
)

func newCIStatusCmd(a *app.App) *cobra.Command {
	return usage.Command(a, &cobra.Command{
		Use:   "status [PROFILE]",
		Short: "Show a CI job's identity, and what fob would use",
		Long: `Show this job's identity: issuer, subject, audience and expiry, which the rules of a
server compare. Nothing is verified here, and the identity token is never shown. On
GitHub fob requests a token for the profile's server; elsewhere it reads the one that
the profile names.

Also show the configuration, profile and storage that other commands would use, what
they would send to which server, and what is missing. Nothing is sent to that server,
and no identity command is run. The exit status is not 0 if the profile needs an
identity and there is none, or it would not be sent.`,
		Example: `  fob ci status
  fob ci status deploy --json`,
		Args: usage.AtMostProfile,
	}, usage.JSONFlag{}, runCIStatus, cli.ExitDone, cli.ExitFailed, cli.ExitUsage, cli.ExitUnavailable, cli.ExitInterrupted)
}

type ciStatusJSON struct {
	System    string          `json:"system"` // github, gitlab, or empty
	Identity  *identityClaims `json:"identity,omitempty"`
	Problem   string          `json:"problem,omitempty"` // why there is no identity or profile
	Config    string          `json:"config"`
	Storage   string          `json:"storage"`
	Profile   string          `json:"profile,omitempty"`
	ProfileBy string          `json:"profile_by,omitempty"`
	Grant     string          `json:"grant,omitempty"`
	Variable  string          `json:"variable,omitempty"` // that overrides the profile's login
	Sends     string          `json:"sends,omitempty"`    // to the profile's server
	To        string          `json:"to,omitempty"`
	Hints     []string        `json:"hints"`
}

// identityClaims are the claims by which servers distinguish jobs, sanitized.
type identityClaims struct {
	Issuer      string    `json:"issuer"`
	Subject     string    `json:"subject"`
	Audience    []string  `json:"audience"`
	Repository  string    `json:"repository,omitempty"`
	Ref         string    `json:"ref,omitempty"`
	Environment string    `json:"environment,omitempty"`
	Workflow    string    `json:"workflow,omitempty"`
	ExpiresAt   time.Time `json:"expires_at,omitzero"`
}

func runCIStatus(ctx context.Context, a *app.App, args []string, opts usage.JSONFlag) error {
	status, p, err := ciSettings(a, args)
	if err != nil && !errors.As(err, new(*config.TrustError)) {
		return err
	}
	refusal, source := err, p
	if !app.ShowsIdentity(p) { // the identity would be for another server
		source = config.Profile{}
	}
	identity, _, problem := a.JobIdentity(ctx, source, false)
	if !identity.IsZero() { // even if it would not be sent
		seen, opaque := jwt.DecodeJWT(identity)
		if problem = cmp.Or(problem, opaque); opaque == nil {
			status.Identity = newIdentityClaims(seen.Claims)
		}
	}
	if errors.Is(problem, context.Canceled) {
		return problem
	}
	if refusal != nil || errors.Is(problem, app.ErrNotRun) {
		problem = refusal
	}
	status.advise(a, p, problem)
	if opts.JSON {
		err = a.PrintJSON(status)
	} else {
		err = printCIStatus(a, status)
	}
	if err == nil && problem != nil && (refusal != nil || app.ShowsIdentity(p)) && !errors.Is(problem, jwt.ErrOpaque) {
		err = cli.Silent(a.Status(problem)) // it was printed already
	}
	return err
}

// ciSettings returns what other commands would use here. The status is returned even if the
// configuration is refused.
func ciSettings(a *app.App, args []string) (*ciStatusJSON, config.Profile, error) {
	paths, err := a.Paths()
	if err != nil {
		return nil, config.Profile{}, err
	}
	status := &ciStatusJSON{System: string(ci.System(a.Getenv)), Config: sanitize.Line(paths.Config), Sends: "nothing", Hints: []string{}}
	cfg, err := a.Config()
	if err != nil {
		return status, config.Profile{}, err
	}
	named, err := a.Choice(args)
	if err != nil {
		return status, config.Profile{}, err
	}
	p, chosen, err := cfg.Select(named)
	switch {
	case err == nil:
		status.Profile, status.ProfileBy, status.Grant = p.Name, sanitize.Line(chosen.By), p.Grant
	case !errors.As(err, new(*config.SelectError)) || len(args) > 0:
		return nil, p, err
	default:
		p, status.Problem = config.Profile{}, sanitize.Line(err.Error())
	}
	if p.Name != "" {
		status.Variable, _ = a.TokenVariable(p.Name)
	}
	status.Sends, status.To = sanitize.Line(identityText(a, p)), sanitize.Line(p.WithProvider().Authority())
	status.Storage, err = cfg.StorageFor(p.Storage)
	return status, p, err
}

// identityText describes what 'fob token' would send to the profile's server.
func identityText(a *app.App, p config.Profile) string {
	name, refreshes := a.TokenVariable(p.Name)
	switch {
	case p.Name == "" || name != "" && !refreshes:
		return "nothing"
	case p.Identity == string(ci.Command):
		return "the output of: " + strings.Join(p.IdentityCommand, " ") + " (not run)"
	case app.ShowsIdentity(p):
		return "the machine's identity: " + cmp.Or(p.Identity, string(ci.System(a.Getenv)), "none")
	case refreshes:
		return "the refresh token in " + name
	}
	return "the stored login"
}

func (s *ciStatusJSON) advise(a *app.App, p config.Profile, problem error) {
	if problem != nil {
		s.Problem = strings.TrimPrefix(s.Problem+"; "+sanitize.Line(problem.Error()), "; ")
	}
	hint := func(text string) { s.Hints = append(s.Hints, text) }
	switch {
	case errors.Is(problem, jwt.ErrOpaque):
		hint("the identity is not a JWT: only its server can read it")
	case errors.Is(problem, ci.ErrUnknownPlace) && !app.ShowsIdentity(p):
		hint("run it in a job of GitHub Actions or GitLab CI")
	case problem != nil && a.Hint(problem) != "":
		hint(a.Hint(cli.ForProfile(problem, p.Name)))
	}
	if p.Name == "" && s.Storage != "" { // else the configuration was refused
		hint("set FOB_CONFIG to a configuration in the repository, such as .github/fob.toml, and FOB_PROFILE to a profile")
	}
	if s.Storage == config.StorageKeyring && s.System != "" {
		hint("CI jobs have no keyring: set FOB_STORAGE=none")
	}
}

// newIdentityClaims reads the claims of GitHub and GitLab, which differ in their names.
func newIdentityClaims(claims map[string]any) *identityClaims {
	text := func(names ...string) string {
		for _, name := range names {
			if value, ok := claims[name].(string); ok && value != "" {
				return sanitize.Line(value)
			}
		}
		return ""
	}
	id := &identityClaims{
		Issuer: text("iss"), Subject: text("sub"), Repository: text("repository", "project_path"), Ref: text("ref"),
		Environment: text("environment"), Workflow: text("job_workflow_ref", "workflow_ref", "ci_config_ref_uri"),
	}
	audiences := app.AudiencesOf(claims)
	for _, one := range audiences[:min(10, len(audiences))] {
		id.Audience = append(id.Audience, sanitize.Line(fmt.Sprint(one)))
	}
	if at, ok := jwt.TimeOf("exp", claims["exp"]); ok {
		id.ExpiresAt = at.UTC()
	}
	return id
}

func printCIStatus(a *app.App, s *ciStatusJSON) error {
	id, expires := cmp.Or(s.Identity, &identityClaims{}), ""
	if !id.ExpiresAt.IsZero() {
		expires = fmt.Sprintf("%s (%s)", cli.TimeText(id.ExpiresAt), cli.AgoText(id.ExpiresAt, a.Now()))
	}
	rows := cli.WithoutEmptyValues([][]string{
		{"system", cmp.Or(s.System, "not recognized")},
		{"issuer", id.Issuer},
		{"subject", id.Subject},
		{"audience", strings.Join(id.Audience, " ")},
		{"repository", id.Repository},
		{"ref", id.Ref},
		{"environment", id.Environment},
		{"workflow", id.Workflow},
		{"expires", expires},
		{"problem", s.Problem},
		{"config", s.Config},
		{"storage", s.Storage},
		{"profile", s.Profile},
		{"selected by", s.ProfileBy},
		{"grant", s.Grant},
		{"variable", s.Variable},
		{"would send", s.Sends},
		{"to", s.To},
	})
	if err := a.PrintTable(rows); err != nil {
		return err
	}
	for _, hint := range s.Hints {
		a.Note("hint: %s", hint)
	}
	return nil
}
