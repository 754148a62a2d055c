package topic

import (
	"github.com/spf13/cobra"

	"github.com/fobcli/fob/cmd/internal/usage"
)

// Choose is the page for 'fob help choose'.
func Choose() *cobra.Command {
	return &cobra.Command{
		Use:   "choose",
		Short: "Which one do I need: an API key, or OAuth?",
		Long: `Which one do I need?

  You run a service, and other people's programs call it.
      Give each program an API key: it identifies the application, and you can
      revoke it. It does not identify the person.
        fob key create --owner billing --env live --scope orders:read
        fob key verify --scope orders:read <key.txt

  You call another party's API as yourself, or for your users.
      Use OAuth: you log in once in a browser, and short-lived tokens come
      from that login.
        fob login github
        fob token github --header | curl -H @- https://api.github.com/user

  A machine calls an API, and there is no user to log in.
      If the API takes OAuth, let the machine log in as itself.
        fob login ci --issuer URL --client-id ID --grant client_credentials
      In GitHub Actions or GitLab it needs no secret at all.
        fob login ci --issuer URL --grant token-exchange --identity github

  An API key                              An OAuth token
  identifies the application              identifies the user, and their consent
  is valid until you revoke or rotate it  is valid for minutes, refreshed by fob
  you check it, in your registry          its issuer defines how to check it
  fits calls between your own services    fits calls to users' data

  Another party gave you only an API key: store it outside your code and
  arguments, and replace it when people leave.
        fob secret set stripe/prod
        fob exec --env STRIPE_KEY=secret/stripe/prod -- ./shop`,
		Args: usage.NoArgs,
	}
}
