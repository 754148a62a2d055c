package app

// EnvVariable is an environment variable that fob reads.
type EnvVariable struct {
	Name   string // a trailing _ means a prefix
	Doc    string
	Secret bool // contains a secret: removed from the environment of children
}

// Variables are all of fob's variables, in alphabetical order.
var Variables = []EnvVariable{
	{"FOB_AGENT", "the socket of an agent, or \"off\"", false},
	{"FOB_ALLOW_CONFIG_COMMANDS", "1 trusts the configuration in a CI job's workspace", false},
	{"FOB_CONFIG", "the configuration file", false},
	{"FOB_DEBUG", "1 shows requests, storage, locks and caches, as --debug", false},
	{"FOB_HOME", "the folder for all of fob's files", false},
	{"FOB_ID_TOKEN", "the identity token of a GitLab CI job", true},
	{"FOB_ISSUER", "the only issuer that a CI job's profile may name", false},
	{"FOB_MIN_TTL", "the minimum lifetime of a printed token, such as 10m", false},
	{"FOB_NO_BROWSER", "1 prints the URL of a login and opens no browser", false},
	{"FOB_PASSPHRASE_FILE", "a file with the passphrase of the encrypted files", true},
	{"FOB_PROFILE", "the profile to use where none is named", false},
	{"FOB_REFRESH_TOKEN_", "a refresh token for a configured profile", true},
	{"FOB_REGISTRY", "the registry of API keys: sqlite:/PATH or postgres://...", true},
	{"FOB_SEAL_KEY", "the key of the encrypted files", true},
	{"FOB_SECRET_", "the value of a secret, instead of the stored one", true},
	{"FOB_STORAGE", "where new logins are stored: keyring or file; none ignores stored ones", false},
	{"FOB_TOKEN", "an access token where no profile is named", true},
	{"FOB_TOKEN_", "an access token for a profile", true},
}
