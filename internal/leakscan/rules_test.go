package leakscan

import (
	"strings"
	"testing"

	"github.com/pelletier/go-toml/v2"
	"go.yaml.in/yaml/v3"
)

func TestRules(t *testing.T) {
	for _, format := range []string{"gitleaks", "betterleaks", "trufflehog", "github"} {
		text, err := Rules(format, []string{"acme", "other"})
		if err != nil {
			t.Fatal(format, err)
		}
		if strings.Count(text, "acme_[a-z0-9]") != 1 || strings.Count(text, "other_[a-z0-9]") != 1 {
			t.Errorf("%s: not one rule for each brand:\n%s", format, text)
		}
	}
	if _, err := Rules("grep", []string{"acme"}); err == nil {
		t.Error(err)
	}
}

func TestRules_AreValidConfigurations(t *testing.T) {
	var gitleaks struct {
		Extend struct {
			UseDefault bool `toml:"useDefault"`
		} `toml:"extend"`
		Rules []struct {
			ID       string   `toml:"id"`
			Regex    string   `toml:"regex"`
			Keywords []string `toml:"keywords"`
		} `toml:"rules"`
	}
	text, err := Rules("gitleaks", []string{"acme", "other"})
	if err != nil {
		t.Fatal(err)
	}
	if err := toml.Unmarshal([]byte(text), &gitleaks); err != nil {
		t.Fatal(err)
	}
	if !gitleaks.Extend.UseDefault || len(gitleaks.Rules) != 2 || gitleaks.Rules[0].Regex != Expression("acme") || gitleaks.Rules[1].ID != "other-api-key" || gitleaks.Rules[0].Keywords[0] != "acme_" {
		t.Errorf("gitleaks: %+v", gitleaks)
	}
	var trufflehog struct {
		Detectors []struct {
			Name     string
			Keywords []string
			Regex    struct{ Key string }
		}
	}
	if text, err = Rules("trufflehog", []string{"acme", "other"}); err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal([]byte(text), &trufflehog); err != nil {
		t.Fatal(err)
	}
	if len(trufflehog.Detectors) != 2 || trufflehog.Detectors[0].Regex.Key != Expression("acme") || trufflehog.Detectors[1].Keywords[0] != "other_" {
		t.Errorf("trufflehog: %+v", trufflehog)
	}
}

func TestNewScanner_ChecksBrands(t *testing.T) {
	for _, brands := range [][]string{nil, {""}, {"Acme"}, {"acme", "a_b"}, {"toolongforabrandofakeys"}} {
		if _, err := NewScanner(brands); err == nil {
			t.Errorf("%q is accepted", brands)
		}
	}
}
