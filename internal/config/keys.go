package config

// Keys is the table [keys]: the API keys that the user issues.
type Keys struct {
	Registry      string   `toml:"registry" doc:"the registry of API keys: sqlite:/PATH or postgres://..." default:"registry.db in the data folder"`
	Brand         string   `toml:"brand" doc:"what every key starts with" default:"fob"`
	Environments  []string `toml:"environments" doc:"the environments that keys are issued for" default:"test, dev, staging, live"`
	PepperStorage string   `toml:"pepper_storage" doc:"where the peppers were moved to: keyring or file"`
	// RequirePepper refuses keys whose hash has no pepper. Each verifying machine has its
	// own setting, so that write access to a shared registry is not enough to turn it off.
	RequirePepper bool `toml:"require_pepper" doc:"refuse keys whose hash has no pepper"`
	AddPepper     bool `toml:"add_pepper" doc:"add the current pepper to hashes without one when their key is verified"`
}

// Serve is the table [serve]: how fob checks keys for a proxy, and what routes require.
type Serve struct {
	Headers []string `toml:"headers" doc:"the headers besides Authorization that may contain the key" default:"X-API-Key"`

	Rules []ServeRule `toml:"rule"`
}

// ServeRule is a table [[serve.rule]].
type ServeRule struct {
	Path        string   `toml:"path" doc:"a decoded path; /orders/* covers /orders and everything below it"`
	Methods     []string `toml:"methods" doc:"the methods that the rule is for; all if absent"`
	Environment string   `toml:"env" doc:"the environment that a key must have"`
	Scopes      []string `toml:"scopes" doc:"the scopes that a key must have"`
	Preflight   bool     `toml:"preflight" doc:"let browsers ask without a key whether they may send such requests (CORS)"`
}
