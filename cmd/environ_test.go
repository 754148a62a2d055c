package cmd

import (
	"testing"

	"github.com/fobcli/fob/internal/app"
	"github.com/fobcli/fob/internal/config"
)

// A profile's name has no _ in it, so that no two have the same variable.
func TestI81_VariablesOfProfilesAreDistinct(t *testing.T) {
	seen := map[string]string{"FOB_TOKEN": "no profile"}
	var add func(name string)
	count := 0
	add = func(name string) {
		if config.CheckName(name) == nil {
			count++
			for _, prefix := range []string{"FOB_TOKEN_", "FOB_REFRESH_TOKEN_"} {
				v := app.Variable(prefix, name)
				if other := seen[v]; other != "" {
					t.Errorf("%s is the variable of %q and of %q", v, name, other)
				}
				seen[v] = name
			}
		}
		if len(name) < 5 {
			for _, c := range "aA0-_/." {
				add(name + string(c))
			}
		}
	}
	add("")
	if count < 100 {
		t.Errorf("only %d names were tried", count)
	}
}
