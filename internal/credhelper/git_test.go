package credhelper

import (
	"bytes"
	"encoding/base64"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/fobcli/fob/internal/secret"
)

var rules = []Rule{
	{place("https://github.com"), "github", "x-access-token"},
	{place("https://git.example.com:8443"), "work", ""},
	{place("https://git.example.com:8443/team"), "team", ""},
	{place("http://127.0.0.1:3000"), "local", ""},
	{place("https://shared.example.com"), "one", "ada"},
	{place("https://shared.example.com"), "two", "bob"},
}

func place(text string) Place {
	p, err := ParsePlace(text)
	if err != nil {
		panic(err)
	}
	return p
}

// H62: what no git sends is refused.
func TestH62InputThatIsRefused(t *testing.T) {
	for name, input := range map[string]string{
		"CR in a value":         "protocol=https\nhost=github.com\r\n\n",
		"CR between hosts":      "protocol=https\nhost=a\rhost=b\n\n",
		"NUL":                   "protocol=https\nhost=github.com\x00.evil.test\n\n",
		"NUL in a key":          "protocol=https\nho\x00st=github.com\n\n",
		"escape":                "protocol=https\nhost=github.com\nusername=\x1b]0;x\n\n",
		"DEL":                   "protocol=https\nhost=git\x7fhub.com\n\n",
		"two hosts":             "protocol=https\nhost=evil.test\nhost=github.com\n\n",
		"two protocols":         "protocol=http\nprotocol=https\nhost=github.com\n\n",
		"two hosts, the same":   "protocol=https\nhost=github.com\nhost=github.com\n\n",
		"cut off":               "protocol=https\nhost=github.co",
		"cut off in a key":      "protocol=https\nhost=github.com\npa",
		"cut off before a host": "protocol=https\n",
		"no protocol":           "host=github.com\n\n",
		"nothing":               "",
		"a blank line alone":    "\n",
		"a line without =":      "protocol=https\nhost=github.com\nhello\n\n",
		"a line without a key":  "protocol=https\nhost=github.com\n=x\n\n",
		"too long":              "protocol=https\nhost=github.com\npath=" + strings.Repeat("x", maxInput) + "\n\n",
		"too many lines":        "protocol=https\nhost=github.com\n" + strings.Repeat("wwwauth[]=Basic\n", maxGitLines) + "\n",
	} {
		if q, err := ReadGit(strings.NewReader(input)); !errors.Is(err, ErrInput) {
			t.Errorf("%s: %+v, %v", name, q, err)
		}
	}
}

func ask(t *testing.T, protocol, host, path string) []Rule {
	t.Helper()
	input := "protocol=" + protocol + "\nhost=" + host + "\n"
	if path != "" {
		input += "path=" + path + "\n"
	}
	q, err := ReadGit(strings.NewReader(input + "\n"))
	if err != nil {
		t.Fatal(err)
	}
	return Choose(rules, q.Place, q.Username)
}

// H63: a host that only looks like one of ours gets nothing.
func TestH63HostsThatGetNothing(t *testing.T) {
	for _, asked := range [][2]string{
		{"https", "github.com.evil.test"}, {"https", "evilgithub.com"}, {"https", "evil.test"}, {"https", "www.github.com"},
		{"https", "github.com."}, {"https", "github.com:443."}, {"https", ".github.com"}, {"https", "github..com"},
		{"https", "gith\u0443b.com"}, {"https", "g\u0131thub.com"}, {"https", "github\u3002com"}, {"https", "\u212aithub.com"}, {"https", "xn--gthub-n4a.com"},
		{"https", "github.com@evil.test"}, {"https", "evil.test@github.com"}, {"https", "a:b@github.com"}, {"https", "@github.com"},
		{"https", "github.com:8443"}, {"https", "github.com:80"}, {"https", "github.com:"}, {"https", "github.com:0443"}, {"https", "github.com:443:443"}, {"https", "github.com:+443"}, {"https", "github.com:65979"},
		{"https", "git.example.com"}, {"https", "git.example.com:443"},
		{"http", "github.com"}, {"http", "github.com:443"}, {"HTTPS", "github.com"}, {"ssh", "github.com"}, {"", "github.com"}, {"cert", ""}, {"https", ""},
		{"https", "github.com/"}, {"https", "github.com/evil"}, {"https", "github.com?x"}, {"https", "github.com#x"}, {"https", "github.com%2eevil.test"}, {"https", "github.com\\@evil.test"}, {"https", " github.com"}, {"https", "github.com "},
		{"https", "127.0.0.1:3000"}, {"http", "127.0.0.1"}, {"http", "2130706433:3000"}, {"http", "127.1:3000"}, {"http", "[::1"}, {"http", "::1"}, {"http", "[::1%25lo]:3000"},
	} {
		if got := ask(t, asked[0], asked[1], ""); len(got) != 0 {
			t.Errorf("%s://%s gets the credential of %s", asked[0], asked[1], got[0].Profile)
		}
	}
}

func TestPlacesThatGetOne(t *testing.T) {
	for _, row := range []struct{ protocol, host, path, want string }{
		{"https", "github.com", "", "github"},
		{"https", "GitHub.com", "acme/x.git", "github"},
		{"https", "github.com:443", "", "github"},
		{"http", "127.0.0.1:3000", "", "local"},
		{"https", "git.example.com:8443", "", "work"},
		{"https", "git.example.com:8443", "other/x.git", "work"},
		{"https", "git.example.com:8443", "team", "team"},
		{"https", "git.example.com:8443", "team/x.git", "team"},
		{"https", "git.example.com:8443", "teams/x.git", "work"},
		// What a client would make another path of is no part of the team's.
		{"https", "git.example.com:8443", "team/../other/x.git", "work"},
		{"https", "git.example.com:8443", "team/./x.git", "work"},
		{"https", "git.example.com:8443", "team//x.git", "work"},
		{"https", "git.example.com:8443", "team\\..\\x.git", "work"},
		{"https", "git.example.com:8443", "team/%2e%2e/x.git", "work"},
	} {
		if got := ask(t, row.protocol, row.host, row.path); len(got) != 1 || got[0].Profile != row.want {
			t.Errorf("%s://%s/%s: %v, not %s", row.protocol, row.host, row.path, got, row.want)
		}
	}
}

func TestTheUsernameTellsProfilesOfOneHostApart(t *testing.T) {
	shared := place("https://shared.example.com")
	for username, want := range map[string]int{"ada": 1, "bob": 1, "": 2, "eve": 2} {
		if got := Choose(rules, shared, username); len(got) != want || want == 1 && got[0].Username != username {
			t.Errorf("%q: %v", username, got)
		}
	}
	if got := Choose(rules, place("https://github.com"), "ada"); len(got) != 1 {
		t.Errorf("the only profile of a host: %v", got)
	}
}

func TestPlacesOfAConfiguration(t *testing.T) {
	for _, wrong := range []string{"", "github.com", "https://", "https:///x", "ssh://github.com", "https://github.com.", "https://a@github.com", "https://github.com/a/../b", "https://github.com/a?b", "https://*.github.com", "https://github.com/%61"} {
		if p, err := ParsePlace(wrong); err == nil {
			t.Errorf("%q is taken for %s", wrong, p)
		}
	}
	for text, want := range map[string]string{
		"https://GitHub.com/":               "https://github.com",
		"https://github.com:443/acme/":      "https://github.com/acme",
		"https://git.example.com:8443":      "https://git.example.com:8443",
		"http://[0:0:0:0:0:0:0:1]:3000/a/b": "http://[::1]:3000/a/b",
	} {
		if got := place(text); got.String() != want || place(got.String()) != got {
			t.Errorf("%q is %s, not %s", text, got, want)
		}
	}
}

// A git of 2.46 or later takes the header as it stands, an older one a password.
func TestAnswers(t *testing.T) {
	const described = "protocol=https\nhost=github.com\n"
	end := time.Unix(1800000000, 0)
	withBasic := base64.StdEncoding.EncodeToString([]byte("x-access-token:tok"))
	for name, row := range map[string]struct {
		input string
		c     Credential
		want  string
	}{
		"old git":                     {described, Credential{Username: "x-access-token", ExpiresAt: end}, "username=x-access-token\npassword=tok\npassword_expiry_utc=1800000000\n"},
		"old git, any name":           {described, Credential{}, "username=oauth2\npassword=tok\n"},
		"other capability":            {described + "capability[]=state\n", Credential{}, "username=oauth2\npassword=tok\n"},
		"capability taken back":       {described + "capability[]=authtype\ncapability[]=\n", Credential{}, "username=oauth2\npassword=tok\n"},
		"header":                      {described + "capability[]=authtype\n", Credential{ExpiresAt: end}, "capability[]=authtype\nauthtype=Bearer\ncredential=tok\nephemeral=1\npassword_expiry_utc=1800000000\n"},
		"header, the host says so":    {described + "capability[]=authtype\nwwwauth[]=Basic realm=\"x\"\nwwwauth[]=bearer\n", Credential{Username: "x-access-token"}, "capability[]=authtype\nauthtype=Bearer\ncredential=tok\nephemeral=1\n"},
		"header, with a username":     {described + "capability[]=authtype\n", Credential{Username: "x-access-token"}, "capability[]=authtype\nauthtype=Basic\ncredential=" + withBasic + "\nephemeral=1\n"},
		"header, host takes no other": {described + "capability[]=authtype\nwwwauth[]=Basic realm=\"GitHub\"\n", Credential{Username: "x-access-token"}, "capability[]=authtype\nauthtype=Basic\ncredential=" + withBasic + "\nephemeral=1\n"},
	} {
		q, err := ReadGit(strings.NewReader(row.input))
		if err != nil {
			t.Fatal(err)
		}
		row.c.Token = secret.New("tok")
		var out bytes.Buffer
		if err := q.WriteGit(&out, row.c); err != nil || out.String() != row.want {
			t.Errorf("%s: %v\n%s", name, err, out.String())
		}
		// What git gives back with erase is the token again.
		again, err := ReadGit(strings.NewReader(described + strings.ReplaceAll(out.String(), "capability[]=authtype\n", "")))
		if err != nil || again.Refused != row.c.Token {
			t.Errorf("%s: erase finds %q, %v", name, again.Refused.Reveal(), err)
		}
	}
}

func TestNoTokenIsWrittenThatBreaksTheProtocol(t *testing.T) {
	q := &GitRequest{}
	for _, c := range []Credential{
		{Token: secret.New("a\nhost=evil.test")}, {Token: secret.New("a b")}, {Token: secret.New("a\x00")}, {},
		{Token: secret.New("tok"), Username: "a\npassword=b"},
	} {
		var out bytes.Buffer
		if err := q.WriteGit(&out, c); err == nil || out.Len() > 0 {
			t.Errorf("%q was written", out.String())
		}
	}
}

// Whatever comes in: a description is refused, or a credential is answered for exactly
// the place that stands in it.
func FuzzGit(f *testing.F) {
	f.Add("protocol=https\nhost=github.com\n\n")
	f.Add("protocol=https\nhost=git.example.com:8443\npath=team/x.git\ncapability[]=authtype\nwwwauth[]=Bearer\n")
	f.Add("protocol=https\nhost=a\rhost=github.com\n\n")
	f.Fuzz(func(t *testing.T, input string) {
		q, err := ReadGit(strings.NewReader(input))
		if err != nil {
			if q != nil || !errors.Is(err, ErrInput) {
				t.Fatalf("%+v, %v", q, err)
			}
			return
		}
		for _, rule := range Choose(rules, q.Place, q.Username) {
			scheme, host, _ := strings.Cut(rule.Place.String(), "://")
			host, _, _ = strings.Cut(host, "/")
			described, _, _ := strings.Cut(strings.ToLower(input), "\n\n")
			described = "\n" + described + "\n"
			if !strings.Contains(described, "\nprotocol="+scheme+"\n") || !strings.Contains(described, "\nhost="+host+"\n") && !strings.Contains(described, "\nhost="+host+":443\n") && !strings.Contains(described, "\nhost="+host+":80\n") {
				t.Errorf("%q gets the credential of %s", input, rule.Place)
			}
			var out bytes.Buffer
			if err := q.WriteGit(&out, Credential{Token: secret.New("tok")}); err != nil {
				t.Error(err)
			}
			for line := range strings.Lines(out.String()) {
				if !strings.Contains(line, "=") {
					t.Errorf("%q", out.String())
				}
			}
		}
	})
}

func FuzzPlace(f *testing.F) {
	f.Add("https://github.com/acme")
	f.Add("http://[::1]:3000")
	f.Fuzz(func(t *testing.T, text string) {
		p, err := ParsePlace(text)
		if err != nil {
			return
		}
		again, err := ParsePlace(p.String())
		if err != nil || again != p || !p.covers(p) {
			t.Errorf("%q is %s, and that is %s, %v", text, p, again, err)
		}
	})
}

func TestGitControlAnswers(t *testing.T) {
	for want, write := range map[string]func(io.Writer) error{"quit=1\n": QuitGit, "version 0\ncapability authtype\n": CapabilitiesOfGit} {
		var out bytes.Buffer
		if err := write(&out); err != nil || out.String() != want {
			t.Errorf("%q, not %q: %v", out.String(), want, err)
		}
	}
}
