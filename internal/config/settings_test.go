package config

import (
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"testing"
)

func TestEverySettingIsDocumented(t *testing.T) {
	var count func(reflect.Type) int
	count = func(typ reflect.Type) (n int) {
		for f := range typ.Fields() {
			if !f.IsExported() || f.Tag.Get("toml") == "-" {
				continue
			}
			below := f.Type
			for below.Kind() == reflect.Map || below.Kind() == reflect.Slice {
				below = below.Elem()
			}
			if f.Tag.Get("doc") == "" && below.Kind() == reflect.Struct {
				n += count(below)
			} else {
				n++
			}
		}
		return n
	}
	all := Settings()
	if want := count(reflect.TypeFor[Config]()); len(all) != want || want < 50 {
		t.Errorf("%d of %d settings have a doc tag", len(all), want)
	}
	for _, want := range []Setting{
		{"", "storage", "string", "keyring", "where new logins and secrets are stored: keyring, file or none"},
		{"keys", "require_pepper", "boolean", "", "refuse keys whose hash has no pepper"},
		{"profile.NAME", "issuer", "string", "", "the authorization server's URL"},
		{"secret.NAME", "expires", "time", "", "when its issuer ends it: a date or a time"},
		{"[serve.rule]", "scopes", "list", "", "the scopes that a key must have"},
		{"destination", "as", "table", "", "the credential for a platform, by its name: token/PROFILE or secret/NAME"},
	} {
		if !slices.Contains(all, want) {
			t.Errorf("no %+v", want)
		}
	}
}

func TestSchemaDescribesWhatFobReads(t *testing.T) {
	var schema struct {
		Schema     string                    `json:"$schema"`
		Properties map[string]map[string]any `json:"properties"`
	}
	if err := json.Unmarshal(Schema(), &schema); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(schema.Schema, "json-schema.org") || schema.Properties["storage"]["type"] != "string" {
		t.Errorf("%+v", schema)
	}
	profiles, _ := schema.Properties["profile"]["additionalProperties"].(map[string]any)
	if profiles["additionalProperties"] != false {
		t.Error("an unknown setting of a profile passes the schema, and not fob")
	}
	settings, _ := profiles["properties"].(map[string]any)
	if scopes, _ := settings["scopes"].(map[string]any); scopes["type"] != "array" {
		t.Errorf("scopes: %v", scopes)
	}
}
