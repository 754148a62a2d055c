package app

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
)

// setenv sets variables of this process until the test ends.
func setenv(t *testing.T, variables map[string]string) {
	t.Helper()
	for name, value := range variables {
		t.Setenv(name, value)
	}
}

var jobVariables = map[string]string{
	"FOB_TOKEN": "canary-1", "FOB_TOKEN_WORK": "canary-2", "FOB_REFRESH_TOKEN_WORK": "canary-3", "FOB_SECRET_DB": "canary-4",
	"FOB_SEAL_KEY": "canary-5", "FOB_PASSPHRASE_FILE": "canary-6", "FOB_REGISTRY": "canary-7", "FOB_ID_TOKEN": "canary-8",
	"ACTIONS_ID_TOKEN_REQUEST_URL": "canary-9", "ACTIONS_ID_TOKEN_REQUEST_TOKEN": "canary-10",
	"MY_IDENTITY": "canary-11", "FOB_PROFILE": "work", "FOB_TEST_PLAIN": "plain",
}

func TestTakeEnviron(t *testing.T) {
	setenv(t, jobVariables)
	taken := TakeEnviron()
	for name, value := range jobVariables {
		if taken[name] != value {
			t.Errorf("%s is %q", name, taken[name])
		}
		_, left := os.LookupEnv(name)
		if public := name == "MY_IDENTITY" || value == "work" || value == "plain"; left != public {
			t.Errorf("%s is in the process's own environment: %v", name, left)
		}
	}
}

func TestChildEnviron(t *testing.T) {
	configuration := "[profile.ci]\nissuer = \"https://sso.example.com\"\nclient_id = \"fob\"\ngrant = \"jwt-bearer\"\nidentity = \"env:%s\"\n"
	github := []string{"ACTIONS_ID_TOKEN_REQUEST_TOKEN", "ACTIONS_ID_TOKEN_REQUEST_URL", "FOB_ID_TOKEN"}
	for name, test := range map[string]struct {
		identity string // the variable
		keep     bool
		added    map[string]string
		want     []string // of jobVariables, beside the public ones
	}{
		"no secret and no identity":             {identity: "MY_IDENTITY"},
		"the identity of the job":               {identity: "MY_IDENTITY", keep: true, want: append([]string{"MY_IDENTITY"}, github...)},
		"a secret of fob's is never kept":       {identity: "FOB_TOKEN_WORK", keep: true, want: append([]string{"MY_IDENTITY"}, github...)},
		"nor is it without the flag":            {identity: "FOB_SECRET_DB", want: []string{"MY_IDENTITY"}},
		"what is added":                         {identity: "MY_IDENTITY", added: map[string]string{"FOB_TOKEN": "canary-1"}, want: []string{"FOB_TOKEN"}},
		"what is added replaces what was there": {identity: "MY_IDENTITY", keep: true, added: map[string]string{"MY_IDENTITY": "new"}, want: append([]string{"MY_IDENTITY=new"}, github...)},
	} {
		t.Run(name, func(t *testing.T) {
			setenv(t, jobVariables)
			f := newFixture(t, fmt.Sprintf(configuration, test.identity))
			maps.Copy(f.Environ, TakeEnviron())
			f.Environ["FOB_HOME"], f.Environ["CI"] = f.home, ""
			environ, err := f.ChildEnviron(test.keep, test.added)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, entry := range environ {
				name, value, _ := strings.Cut(entry, "=")
				if old := jobVariables[name]; old == value && strings.HasPrefix(old, "canary") {
					got = append(got, name)
				} else if old != value && old != "" {
					got = append(got, entry)
				}
			}
			slices.Sort(got)
			slices.Sort(test.want)
			if !slices.Equal(got, test.want) {
				t.Errorf("%q, not %q", got, test.want)
			}
			if !slices.Contains(environ, "FOB_TEST_PLAIN=plain") || !slices.Contains(environ, "FOB_PROFILE=work") {
				t.Error("an ordinary variable is missing")
			}
		})
	}
}

func TestChildEnviron_NeedsAConfiguration(t *testing.T) {
	f := newFixture(t, "not toml")
	if environ, err := f.ChildEnviron(false, nil); err == nil || environ != nil {
		t.Errorf("%d variables, though the identities that are withheld are not known: %v", len(environ), err)
	}
}

func TestHoldsSecret(t *testing.T) {
	for name, want := range map[string]bool{
		"FOB_TOKEN": true, "FOB_TOKEN_X": true, "FOB_REFRESH_TOKEN_X": true, "FOB_SECRET_X": true, "FOB_SEAL_KEY": true,
		"FOB_PASSPHRASE": true, "FOB_PASSPHRASE_FILE": true, "FOB_REGISTRY": true, "FOB_ID_TOKEN": true,
		"FOB_HOME": false, "FOB_PROFILE": false, "FOB_STORAGE": false, "FOB_MIN_TTL": false, "PATH": false, "XFOB_TOKEN": false,
	} {
		if HoldsSecret(name) != want {
			t.Errorf("%s: %v", name, !want)
		}
	}
}

func TestWithVariables(t *testing.T) {
	got := withVariables([]string{"B=1", "A=1", "AB=1", "odd"}, map[string]string{"A": "2", "C": "x=y"})
	if want := []string{"A=2", "AB=1", "B=1", "C=x=y", "odd"}; !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
}
