package topic

import (
	"github.com/spf13/cobra"

	"github.com/fobcli/fob/cmd/internal/usage"
)

// Choose is the page behind 'fob help choose'.
func Choose() *cobra.Command {
	return &cobra.Command{
		Use:   "choose",
		Short: "Which one do I need: an API key, or OAuth?",
		Long: `Which one do I need?

  You run a service, and programs of others call it.
      Give each program an API key: it says which application calls, and you can
      end it. It does not say which person.
        fob key create --owner billing --env live --scope orders:read
        fob key verify --scope orders:read <key.txt

  You call somebody else's API as yourself, or for your users.
      Use OAuth: you log in once in a browser, and tokens that live for minutes
      come from it.
        fob login github
        fob token github --header | curl -H @- https://api.github.com/user

  A machine calls an API, and nobody is there to log in.
      If the API takes OAuth, let the machine log in as itself.
        fob login ci --issuer URL --grant client_credentials
      In GitHub Actions or GitLab it needs no secret at all.
        fob login ci --issuer URL --grant token-exchange --identity github

  An API key                              An OAuth token
  says which application calls            says who, and what they agreed to
  lives until you end or replace it       lives for minutes, renewed by fob
  is checked by you, in your registry     is checked by its issuer's rules
  is right between your own services      is right wherever people's data is

  Somebody else gave you an API key and nothing better: keep it out of your code
  and out of arguments, and replace it when people leave.
        fob secret set stripe/prod
        fob exec --env STRIPE_KEY=secret/stripe/prod -- ./shop`,
		Args: usage.NoArgs,
	}
}
