package config

// Keys is the table [keys]: the API keys that the user issues.
type Keys struct {
	Registry     string   `toml:"registry"`     // sqlite:/PATH or postgres://…; FOB_REGISTRY wins
	Brand        string   `toml:"brand"`        // what every key starts with
	Environments []string `toml:"environments"` // what keys are for
}
