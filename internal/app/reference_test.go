package app

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/fobcli/fob/internal/cli"
	"github.com/fobcli/fob/internal/envfile"
	"github.com/fobcli/fob/internal/secret"
)

func TestLinesToMask(t *testing.T) {
	got := linesToMask(secret.New("-----BEGIN\nabcdef\r\nab\n\n-----END"))
	if want := []string{"-----BEGIN\nabcdef\r\nab\n\n-----END", "-----BEGIN", "abcdef", "-----END"}; !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
	if got := linesToMask(secret.New("one")); !slices.Equal(got, []string{"one"}) {
		t.Errorf("%q", got)
	}
}

func TestCheckExists(t *testing.T) {
	f := newFixture(t, "[profile.work]\nprovider = \"github\"\n[secret.db]\n[secret.db-prod]\n[secret.\"db/test\"]\n",
		"FOB_TOKEN_JOB=x", "FOB_SECRET_ADHOC=x", "FOB_SECRET_DB_TEST=x")
	for reference, problem := range map[string]string{
		"token/work": "", "token/job": "", "secret/db": "", "secret/adhoc": "",
		"token/home":     `"home"`,
		"secret/none":    `unknown secret "none"`,
		"secret/db/test": "",
		"secret/db-test": `FOB_SECRET_DB_TEST belongs to "db/test"`,
	} {
		err := f.CheckExists(reference)
		if (err == nil) != (problem == "") || err != nil && (!strings.Contains(err.Error(), problem) || !IsUsage(err)) {
			t.Errorf("%s: %v", reference, err)
		}
	}
}

func TestReferenced(t *testing.T) {
	f := newFixture(t, "", "FOB_TOKEN_WORK=a-token", "FOB_SECRET_DB=a-secret")
	for reference, want := range map[string]string{
		"token/work": "a-token", "secret/db": "a-secret", "work": "", "fob://token/work": "", "token/": "", "secret/../x": "", "token/other": "", "secret/other": "",
	} {
		got, err := f.Referenced(t.Context(), reference)
		if got.Reveal() != want || (err == nil) != (want != "") {
			t.Errorf("%s: %q, %v", reference, got.Reveal(), err)
		}
	}
}

func TestResolve(t *testing.T) {
	f := newFixture(t, "", "FOB_TOKEN_WORK=a-token", "FOB_SECRET_DB=p@ss", "FOB_SECRET_PEM=first line\nsecond line\nend\n")
	added, secrets, err := f.Resolve(t.Context(), []envfile.Variable{
		{Name: "PLAIN", Value: "no reference"},
		{Name: "TOKEN", Value: "fob://token/work"},
		{Name: "URL", Value: "postgres://shop:fob://secret/db@localhost/shop?t=fob://token/work"},
		{Name: "PEM", Value: "fob://secret/pem"},
		{Name: "EMPTY", Value: ""},
	})
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"PLAIN": "no reference", "TOKEN": "a-token", "URL": "postgres://shop:p@ss@localhost/shop?t=a-token", "PEM": "first line\nsecond line\nend\n", "EMPTY": "",
	}
	if !maps.Equal(added, want) {
		t.Errorf("%q", added)
	}
	if masked := []string{"a-token", "p@ss", "first line\nsecond line\nend\n", "first line", "second line"}; !slices.Equal(secrets, masked) {
		t.Errorf("masked: %q", secrets) // each once, and no line of few characters
	}
	if added, _, err := f.Resolve(t.Context(), []envfile.Variable{{Name: "A", Value: "fob://token/work"}, {Name: "B", Value: "fob://secret/none"}}); err == nil || added != nil {
		t.Errorf("with one that is missing: %q, %v", added, err)
	}
}

func TestReadRefs(t *testing.T) {
	f := newFixture(t, "")
	f.write(".env", "A=plain\nexport B='quoted'\n# comment\n")
	f.write("more.env", "B=later\n")
	refs, err := f.ReadRefs(t.Context(), []string{"C=token/work", "A=secret/db/prod"}, []string{f.path(".env"), f.path("more.env")})
	want := []envfile.Variable{{Name: "A", Value: "plain"}, {Name: "B", Value: "quoted"}, {Name: "B", Value: "later"}, {Name: "C", Value: "fob://token/work"}, {Name: "A", Value: "fob://secret/db/prod"}}
	if err != nil || !slices.Equal(refs, want) { // the last one of a name counts
		t.Errorf("%q, %v", refs, err)
	}
	for _, variable := range []string{"", "A", "A=", "=token/work", "A=work", "A=fob://token/work", "1A=token/work", "A B=token/work", "A=token/work x"} {
		if _, err := f.ReadRefs(t.Context(), []string{variable}, nil); !IsUsage(err) || cli.CarriedHint(err) == "" {
			t.Errorf("%q: %v", variable, err)
		}
	}
	for text, problem := range map[string]string{"A\n": "not NAME=VALUE", "A=fob://tokens/x\n": "neither", "A=fob://token/work\n": "without confirmation"} {
		f.write(".env", text)
		if _, err := f.ReadRefs(t.Context(), nil, []string{f.path(".env")}); !IsUsage(err) || !strings.Contains(err.Error(), problem) || cli.CarriedHint(err) == "" {
			t.Errorf("%q: %v", text, err)
		}
	}
	if _, err := f.ReadRefs(t.Context(), nil, []string{f.path("missing")}); !IsUsage(err) {
		t.Errorf("a missing file: %v", err)
	}
}

func TestReadRefs_AllowedFiles(t *testing.T) {
	const text = "A=fob://token/work\nB=fob://secret/db\n"
	for name, test := range map[string]struct {
		allow   string // [env_files]
		approve bool
		hint    string // empty: it may
	}{
		"asked for nothing":  {hint: "review the file, then run 'fob allow "},
		"approved":           {approve: true},
		"allowed by folder":  {allow: `["token/work", "secret/db"]`},
		"allowed in part":    {allow: `["token/work"]`, hint: "review the file, then add these to the folder's [env_files], or run 'fob allow "},
		"allowed other ones": {allow: `["secret/other"]`, hint: "review the file, then run 'fob allow "},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t, "")
			if test.allow != "" {
				f.write("config.toml", fmt.Sprintf("[env_files]\n%q = %s\n", f.home, test.allow))
			}
			f.write(".env", text)
			if test.approve {
				file, err := ReadEnvFile(t.Context(), f.path(".env"))
				if err != nil {
					t.Fatal(err)
				}
				approvals, err := f.Approvals(file)
				if err != nil || approvals.Add(file) != nil {
					t.Fatal(err)
				}
			}
			refs, err := f.ReadRefs(t.Context(), nil, []string{f.path(".env")})
			if (err == nil) != (test.hint == "") || err == nil && len(refs) != 2 {
				t.Fatalf("%q, %v", refs, err)
			}
			if !strings.HasPrefix(cli.CarriedHint(err), test.hint) {
				t.Errorf("hint %q", cli.CarriedHint(err))
			}
		})
	}
}

func TestVetEnvFile(t *testing.T) {
	f := newFixture(t, "")
	for text, want := range map[string]string{"A=b\n": "refers to no credential", "A=fob://token/work\n": ""} {
		f.write(".env", text)
		file, err := ReadEnvFile(t.Context(), f.path(".env"))
		if err != nil {
			t.Fatal(err)
		}
		if unneeded, err := VetEnvFile(f.path(".env"), file, f.Getenv); unneeded != want || err != nil {
			t.Errorf("%q: %q, %v", text, unneeded, err)
		}
	}
	if _, err := f.Approvals(&envfile.File{}); !IsUsage(err) {
		t.Errorf("a pipe is approved: %v", err)
	}
}

func TestUsesText(t *testing.T) {
	file := &envfile.File{Path: "/srv/it's", Target: "/home/x", Variables: []envfile.Variable{{Name: "B", Value: "fob://secret/db"}, {Name: "A", Value: "x fob://token/work"}}}
	want := `'/srv/it'\''s' (a link to '/home/x') uses` + "\n  token/work  (A)\n  secret/db  (B)"
	if got := string(UsesText(file)); got != want {
		t.Errorf("%s", got)
	}
}
