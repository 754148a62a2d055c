package config

// Keys is the table [keys]: the API keys that the user issues.
type Keys struct {
	Registry     string   `toml:"registry"`     // sqlite:/PATH or postgres://…; FOB_REGISTRY wins
	Brand        string   `toml:"brand"`        // what every key starts with
	Environments []string `toml:"environments"` // what keys are for
	// PepperStorage is where peppers were moved to: keyring or file.
	PepperStorage string `toml:"pepper_storage"`
	// RequirePepper refuses keys whose hash has no pepper. It is a setting of each machine
	// that verifies: who can write rows of a shared registry must not be able to turn it off.
	RequirePepper bool `toml:"require_pepper"`
	// AddPepper gives hashes that have no pepper the one in use, when their key is verified.
	AddPepper bool `toml:"add_pepper"`
}

// Serve is the table [serve]: what routes need where fob checks keys for a proxy.
type Serve struct {
	Rules []ServeRule `toml:"rule"`
}

// ServeRule is a table [[serve.rule]].
type ServeRule struct {
	Path        string   `toml:"path"`    // decoded; /orders/* covers /orders and all below
	Methods     []string `toml:"methods"` // empty: all
	Environment string   `toml:"env"`
	Scopes      []string `toml:"scopes"`
}
