package topic

import "github.com/spf13/cobra"

// Files is the page for 'fob help files'.
func Files() *cobra.Command {
	return page("files", "Where fob stores its files", `Where fob stores its files. FOB_HOME moves all of them below one folder.

  ~/.config/fob/config.toml   profiles and settings; nothing secret
  ~/.local/share/fob/
      records/                sealed logins, secrets, peppers (storage "file")
      seal.key                the key that seals what is in the OS keyring
      registry.db             the registry of API keys, unless another is named
      locks/                  one lock per login
      env-files/              the env files that 'fob allow' has approved
  ~/.cache/fob/               sealed copies and counters; safe to delete
  $XDG_RUNTIME_DIR/fob/       sockets of the agent
  .fob.toml                   in a project: the profile to use below it

The XDG variables move the first three. On Windows they are %AppData%\fob and
%LocalAppData%\fob.

Back up config.toml by copying it, and what is sealed with 'fob storage backup'. A
copy of the folders is not enough: another machine cannot open it, because the
keyring or the passphrase is missing there.

'fob logout --all --purge' removes everything except a registry of API keys.`)
}
