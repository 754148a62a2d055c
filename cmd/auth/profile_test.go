package auth

import (
	"reflect"
	"strings"
	"testing"

	"github.com/fobcli/fob/internal/config"
)

// TestProfileShowsEverySetting: what config.toml can hold, `fob profile show --json`
// tells. An endpoint shows as the server.
func TestProfileShowsEverySetting(t *testing.T) {
	shown := map[string]bool{}
	for _, field := range reflect.VisibleFields(reflect.TypeFor[profileJSON]()) {
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		shown[name] = true
	}
	for _, field := range reflect.VisibleFields(reflect.TypeFor[config.Profile]()) {
		name := field.Tag.Get("toml")
		if name != "-" && name != "issuer" && !strings.HasSuffix(name, "_endpoint") && !shown[name] {
			t.Errorf("%s is not shown", name)
		}
	}
}
