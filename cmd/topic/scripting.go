package topic

import "github.com/spf13/cobra"

// Scripting is the page for 'fob help scripting'.
func Scripting() *cobra.Command {
	return page("scripting", "How to use fob in scripts", `How to use fob in scripts.

The result goes to stdout, messages and prompts to stderr. Without a terminal, fob
never asks: it fails with a hint that names the flag or the variable to set. Commands
that print data accept --json; later versions only ever add members to it.

  fob token work --header | curl -H @- https://api.example.com/me
  fob exec --env API_TOKEN=token/work -- ./deploy
  token=$(fob token work --min-ttl 30m)

Do not put a token in an argument, as in curl -H "Authorization: Bearer $token": other
users see the arguments of every program.

If a job runs for longer than a token is valid, run 'fob token' again for each
request, or use 'fob proxy'. 'fob refresh --all' in a weekly cron job keeps unused logins alive;
'fob doctor --cron' checks that the job can read them.

'fob help exit-codes' lists the statuses, 'fob help environment' the variables.`)
}
