package config

import (
	"encoding/json"
	"reflect"
	"strings"
	"time"
)

// Setting is a line of the reference of config.toml.
type Setting struct {
	Table   string // as in [keys], [profile.NAME] or [[serve.rule]]; empty: the top level
	Key     string
	Type    string // string, boolean, time, list, or table
	Default string
	Doc     string
}

// Settings returns all settings of config.toml by table.
func Settings() []Setting { return settingsIn("", reflect.TypeFor[Config]()) }

func settingsIn(table string, t reflect.Type) []Setting {
	var here, below []Setting
	for f := range t.Fields() {
		key, doc := f.Tag.Get("toml"), f.Tag.Get("doc")
		path := strings.TrimPrefix(table+"."+key, ".")
		switch kind := f.Type.Kind(); {
		case key == "" || key == "-":
		case doc != "":
			here = append(here, Setting{table, key, typeName(f.Type), f.Tag.Get("default"), doc})
		case kind == reflect.Map:
			below = append(below, settingsIn(path+".NAME", f.Type.Elem())...)
		case kind == reflect.Slice:
			below = append(below, settingsIn("["+path+"]", f.Type.Elem())...)
		default:
			below = append(below, settingsIn(path, f.Type)...)
		}
	}
	return append(here, below...)
}

func typeName(t reflect.Type) string {
	switch {
	case t == reflect.TypeFor[time.Time]():
		return "time"
	case t.Kind() == reflect.Bool:
		return "boolean"
	case t.Kind() == reflect.Slice:
		return "list"
	case t.Kind() == reflect.Map:
		return "table"
	}
	return "string"
}

// Schema returns the JSON Schema (draft 2020-12) of config.toml, for editors.
func Schema() []byte {
	schema := schemaOf(reflect.TypeFor[Config]())
	schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	schema["title"] = "fob's config.toml"
	text, _ := json.MarshalIndent(schema, "", "  ") // maps and strings: it cannot fail
	return append(text, '\n')
}

func schemaOf(t reflect.Type) map[string]any {
	switch {
	case t == reflect.TypeFor[time.Time]():
		return map[string]any{"anyOf": []any{map[string]any{"type": "string", "format": "date-time"}, map[string]any{"type": "string", "format": "date"}}}
	case t.Kind() == reflect.Bool:
		return map[string]any{"type": "boolean"}
	case t.Kind() == reflect.Slice:
		return map[string]any{"type": "array", "items": schemaOf(t.Elem())}
	case t.Kind() == reflect.Map:
		return map[string]any{"type": "object", "additionalProperties": schemaOf(t.Elem())}
	case t.Kind() == reflect.Struct:
		properties := map[string]any{}
		for f := range t.Fields() {
			key := f.Tag.Get("toml")
			if key == "" || key == "-" {
				continue
			}
			property := schemaOf(f.Type)
			if doc := f.Tag.Get("doc"); doc != "" {
				property["description"] = doc
			}
			properties[key] = property
		}
		return map[string]any{"type": "object", "properties": properties, "additionalProperties": false}
	}
	return map[string]any{"type": "string"}
}
