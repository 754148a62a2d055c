package helper

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/fobcli/fob/cmd/internal/usage"
	"github.com/fobcli/fob/internal/app"
	"github.com/fobcli/fob/internal/cli"
	"github.com/fobcli/fob/internal/config"
	"github.com/fobcli/fob/internal/credhelper"
	"github.com/fobcli/fob/internal/httpclient"
	"github.com/fobcli/fob/internal/oauth"
	"github.com/fobcli/fob/internal/secret"
	"github.com/fobcli/fob/internal/session"
)

type awsOptions struct {
	RoleARN     string        `flag:"role-arn" empty:"refused" help:"the {ARN} of the role"`
	SessionName string        `flag:"session-name" empty:"refused" help:"session {NAME} in AWS's logs (default fob-PROFILE)"`
	Duration    time.Duration `flag:"duration" help:"{DURATION} of the credentials, 15m to 12h"`
	Region      string        `flag:"region" empty:"refused" help:"{REGION} of the token service"`
	Endpoint    string        `flag:"endpoint" empty:"refused" help:"{URL} of the token service (AWS_ENDPOINT_URL_STS)"`
	Fresh       bool          `flag:"fresh" help:"request new credentials even if cached ones are valid"`
	tokenFlag
}

// awsReserve is how long printed credentials remain valid: the AWS CLIs request new ones
// when less is left.
const awsReserve = 5 * time.Minute

func newHelperAWSCmd(a *app.App) *cobra.Command {
	return usage.Command(a, &cobra.Command{
		Use:   "aws [PROFILE] --role-arn ARN",
		Short: "Print AWS credentials for the AWS CLI and SDKs",
		Long: `Print temporary credentials of a role, as a credential_process. Configure it in ~/.aws/config:

  [profile deploy]
  credential_process = fob helper aws work --role-arn ROLE

fob exchanges the profile's id_token (--token access: its access token) for the role
(AssumeRoleWithWebIdentity), whose trust policy must name the issuer, and the client ID
as audience. The credentials are cached, sealed, until five minutes before they expire.
The region is --region, else AWS_REGION or AWS_DEFAULT_REGION.`,
		Example: `  fob helper aws work --role-arn arn:aws:iam::123456789012:role/deploy
  fob helper aws --role-arn arn:aws:iam::123456789012:role/ops --duration 1h`,
		Args: usage.AtMostProfile,
	}, awsOptions{tokenFlag: tokenFlag{tokenID}}, runHelperAWS, cli.ExitDone, cli.ExitFailed, cli.ExitUsage, cli.ExitLoginRequired, cli.ExitUnavailable, cli.ExitStorage, cli.ExitLockTimeout, cli.ExitInterrupted)
}

func runHelperAWS(ctx context.Context, a *app.App, args []string, opts awsOptions) error {
	p, err := a.Profile(args)
	if err != nil {
		return err
	}
	role, endpoint, err := checkAWS(a, opts, p)
	if err != nil {
		return err
	}
	fetch := func(ctx context.Context) (secret.Secret, time.Time, error) {
		c, err := credential(ctx, a, p, opts.Token)
		if err != nil {
			return secret.Secret{}, time.Time{}, err
		}
		role.Token = c.Token
		return assumeRole(ctx, a, p, endpoint, role)
	}
	login, err := storedLogin(a, p)
	if err != nil {
		return err
	}
	var credentials secret.Secret
	if login == nil {
		credentials, _, err = fetch(ctx)
	} else {
		key := fmt.Sprintf("aws\n%s\n%s\n%s\n%s\n%s", endpoint, role.RoleARN, role.SessionName, role.Duration, opts.Token)
		credentials, err = login.RoleCredentials(ctx, session.Role{Key: key, MinTTL: awsReserve, ForceRefresh: opts.Fresh, Fetch: fetch})
	}
	if err != nil {
		return cli.ForProfile(err, p.Name)
	}
	return credhelper.WriteAWS(a.Out.Raw(), credentials)
}

func checkAWS(a *app.App, opts awsOptions, p config.Profile) (role credhelper.WebIdentity, endpoint string, err error) {
	if opts.RoleARN == "" {
		return role, "", cli.WithHint(cli.Usagef("--role-arn is required"), "name the role: 'fob helper aws %s --role-arn arn:aws:iam::ACCOUNT:role/NAME'", p.Name)
	}
	role = credhelper.WebIdentity{RoleARN: opts.RoleARN, SessionName: cmp.Or(opts.SessionName, credhelper.SessionName(p.Name)), Duration: opts.Duration}
	if err := role.Check(); err != nil {
		return role, "", cli.WithHint(cli.AsUsage(err), "use --role-arn arn:aws:iam::ACCOUNT:role/NAME; see 'fob helper aws --help'")
	}
	if endpoint = cmp.Or(opts.Endpoint, a.Getenv("AWS_ENDPOINT_URL_STS")); endpoint != "" {
		return role, endpoint, cli.WithHint(cli.InvalidIn("--endpoint", oauth.CheckURL(endpoint)), "use an https URL; http is only for loopback addresses")
	}
	endpoint, err = role.Endpoint(cmp.Or(opts.Region, a.Getenv("AWS_REGION"), a.Getenv("AWS_DEFAULT_REGION")))
	return role, endpoint, cli.WithHint(cli.AsUsage(err), "set --region, such as eu-central-1")
}

// assumeRole sends the request. The client's certificate is only for the issuer.
func assumeRole(ctx context.Context, a *app.App, p config.Profile, endpoint string, role credhelper.WebIdentity) (credentials secret.Secret, expires time.Time, err error) {
	hc, err := a.HTTPClient(config.Profile{CAFile: p.CAFile})
	if err != nil {
		return credentials, expires, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, endpoint, strings.NewReader(role.Form().Encode()))
	if err != nil {
		return credentials, expires, err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	resp, err := httpclient.Do(hc, req)
	if err != nil {
		return credentials, expires, fmt.Errorf("assuming the AWS role: %w", err)
	}
	credentials, expires, err = role.ReadSTS(resp.Status, resp.Body)
	switch refused, ok := errors.AsType[*credhelper.STSError](err); {
	case ok && httpclient.IsTemporary(refused.Status):
		err = fmt.Errorf("%w: %w", httpclient.ErrUnavailable, err)
	case ok:
		err = cli.WithHint(err, "see the role's trust policy: it must name the issuer, and the client ID as audience; 'fob token %s --id-token --inspect' shows both", p.Name)
	}
	return credentials, expires, err
}
