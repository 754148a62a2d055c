package e2e

import (
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// device is a login that waits for its code to be entered.
type device struct {
	login          *running
	page, userCode string
	complete       string // the page with the code
}

func (f *flow) device(profile string, flags ...string) device {
	f.Helper()
	login := f.m.start(f.loginArgs(profile, append([]string{"--device", "--timeout", "60s"}, flags...)...)...)
	d := device{login: login, page: login.find(shownURL), userCode: login.find(`(?m)^  ([A-Z0-9]+-[A-Z0-9]+)$`)}
	d.complete = d.page + "?user_code=" + url.QueryEscape(d.userCode)
	return d
}

// enter is the person who types the code at the device page, or follows an address
// that holds it; says is the button for those who do not go on.
func (f *flow) enter(page, userCode, says, wanted string) {
	f.Helper()
	b := f.browser()
	b.userCode, b.says = userCode, says
	if err := b.visit(page); err != nil || !strings.Contains(b.page, wanted) {
		f.Errorf("the page %s says %.900s, %v", page, b.page, err)
	}
}

func TestFlowDevice_RFC8628_OIDC_OIDCProvider(t *testing.T) {
	eachWay(t, providerOptions{}, []string{overHTTP, overTLS, inChromium}, func(f *flow) {
		d := f.device("work", "--client-id", "fob-e2e")
		switch f.Name()[strings.LastIndex(f.Name(), "/")+1:] {
		case overHTTP: // the code is typed
			f.enter(d.page, strings.ToLower(d.userCode), "", "Sign-in Success")
		case overTLS: // the address of the QR code holds it
			f.enter(d.complete, "", "", "Sign-in Success")
		case inChromium:
			f.m.env = append(f.m.env, "USER_CODE="+d.userCode)
			if out, err := f.m.command(append(chromium(f), d.page)...).CombinedOutput(); err != nil || !strings.Contains(string(out), "Sign-in Success") {
				f.Errorf("%v: %s", err, out)
			}
		}
		if r := d.login.end(); r.status != 0 || !strings.Contains(r.stderr, "Logged in to work as Ada Lovelace <ada@example.com>") {
			f.Fatalf("exit status %d\n%s", r.status, r.stderr)
		}
		if f.p.count("device") != 1 || f.p.count("approved") != 1 || f.p.count("authorized") != 0 {
			f.Errorf("%d codes, %d approved", f.p.count("device"), f.p.count("approved"))
		}
		if _, known := f.token("work", "--force-refresh"); known.Subject != "ada" || !strings.Contains(known.Scope, "offline_access") {
			f.Errorf("the server says of the token %+v", known)
		}
		f.m.noneInTheClear(f.p.tokens(), "")
		if strings.Contains(d.login.shown(), "device_code") {
			f.Error("the device code is shown")
		}
	})
}

func TestFlowDevice_RFC8628_OIDCProvider_Refused(t *testing.T) {
	t.Parallel()
	f := newFlow(t, providerOptions{}, overTLS)
	d := f.device("work", "--client-id", "fob-e2e")
	f.enter(d.page, d.userCode, "abort", "interrupted")
	if r := d.login.end(); r.status != 1 || !strings.Contains(r.stderr, "access_denied") {
		t.Errorf("exit status %d\n%s", r.status, r.stderr)
	}
	if _, err := os.Stat(filepath.Join(f.m.home, ".local/share/fob/records/login/work")); err == nil {
		t.Error("something was stored")
	}
}

func TestFlowDevice_RFC8628_OIDCProvider_Expired(t *testing.T) {
	t.Parallel()
	f := newFlow(t, providerOptions{DeviceCodeSeconds: 3}, overTLS)
	d := f.device("work", "--client-id", "fob-e2e")
	if r := d.login.end(); r.status != 1 || !strings.Contains(r.stderr, "the code has expired") {
		t.Errorf("exit status %d\n%s", r.status, r.stderr)
	}
	f.enter(d.page, d.userCode, "", complaint)
}

// A wrong code, twice, then the right one; meanwhile fob asks no more often than it may.
func TestFlowDevice_RFC8628_OIDCProvider_WrongCode(t *testing.T) {
	t.Parallel()
	f := newFlow(t, providerOptions{}, overHTTP)
	d := f.device("work", "--client-id", "fob-e2e")
	for range 2 {
		f.enter(d.page, "WRNG-CODE", "", "The code you entered is incorrect")
	}
	for f.p.requests("POST /token") == 0 {
		d.login.find(`Waiting`)
	}
	if f.p.count("authorized") != 0 {
		t.Error("a wrong code was taken")
	}
	f.enter(d.page, d.userCode, "", "Sign-in Success")
	if r := d.login.end(); r.status != 0 || f.p.requests("POST /token") != 2 {
		t.Errorf("exit status %d after %d requests\n%s", r.status, f.p.requests("POST /token"), r.stderr)
	}
}

// A device login with tokens that are bound to a key, for an API, of a client that fob
// has registered.
func TestFlowDevice_RFC8628_RFC9449_RFC8707_RFC7591_OIDCProvider(t *testing.T) {
	t.Parallel()
	f := newFlow(t, providerOptions{DPoPNonce: true}, overTLS)
	const two = "https://api.example.com/two"
	d := f.device("work", "--dpop", "--resource", two, "--scope", "openid offline_access read")
	f.enter(d.complete, "", "", "Sign-in Success")
	if r := d.login.end(); r.status != 0 {
		t.Fatalf("exit status %d\n%s%s", r.status, r.stderr, f.p.refusals())
	}
	if _, known := f.token("work"); known.Audience != two || known.TokenType != "DPoP" || known.Confirmation.Thumbprint == "" || known.ClientID != f.p.last("registered").Client {
		t.Errorf("the server says of the token %+v", known)
	}
}
