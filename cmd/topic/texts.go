package topic

const chooseText = `Which one do I need?

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
        fob exec --env STRIPE_KEY=secret/stripe/prod -- ./shop`

const configText = `config.toml contains profiles and other settings, and no secrets. 'fob help files'
shows where it is; FOB_CONFIG overrides that. Commands such as 'fob login' and 'fob
profile set' edit it, and preserve your comments and the order.

'fob help config --all' lists every setting with its type and default, and
'fob help config --schema' prints a JSON Schema for editors.

  default = "work"           # the profile to use where none is named
  storage = "file"           # where new logins and secrets are stored

  [profile.work]
  issuer = "https://sso.example.com"
  client_id = "fob-cli"
  scopes = ["openid", "orders:read"]

  [keys]
  brand = "acme"             # what every API key starts with
  registry = "postgres://fob@db.example.com/keys"

  [secret."stripe/prod"]
  to = ["github:acme/shop#STRIPE_KEY"]
  expires = 2027-01-31`

const filesText = `Where fob stores its files. FOB_HOME moves all of them below one folder.

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

'fob logout --all --purge' removes everything except a registry of API keys.`

const scriptingText = `How to use fob in scripts.

The result goes to stdout, messages and prompts to stderr. Without a terminal, fob
never asks: it fails with a hint that names the flag or the variable to set. Commands
that print data accept --json; later versions only ever add members to it.

  fob token work --header | curl -H @- https://api.example.com/me
  fob exec --env API_TOKEN=token/work -- ./deploy
  token=$(fob token work --min-ttl 30m)

Do not put a token in an argument, as in curl -H "Authorization: Bearer $token": other
users see the arguments of every program.

If a job runs for longer than a token is valid, run 'fob token' again for each
request, or use 'fob proxy'. 'fob refresh --all' in a weekly cron job keeps unused
logins alive; 'fob doctor --cron' checks that the job can read them.

'fob help exit-codes' lists the statuses, 'fob help environment' the variables.`
