package e2e

import (
	"net/url"
	"strings"
	"testing"
)

// A person at a remote machine pastes what the browser at home ends on, by way of a
// real terminal: wrong addresses first, then one that no line of a terminal takes.
func TestFlowPasteMode_RFC8252_OIDCProvider(t *testing.T) {
	for name, bracketed := range map[string]bool{"Typed": false, "Pasted": false, "BracketedPaste": true} {
		t.Run(name, func(t *testing.T) {
			eachWay(t, providerOptions{}, []string{overTLS}, func(f *flow) {
				program := f.m.program
				if bracketed { // a program that was killed has left the terminal so
					f.m.program = append([]string{"sh", "-c", `printf '\033[?2004h'; exec "$@"`, "sh"}, f.m.program...)
				}
				term := f.inTerminal(100, 50, "--client-id", "fob-e2e")
				f.m.program = program
				back := f.goAlong(term)
				if name == "Typed" {
					term.tmux("send-keys", "-l", back)
				} else {
					term.tmux("set-buffer", back)
					term.tmux("paste-buffer", "-p")
				}
				term.tmux("send-keys", "Enter")
				if status := term.status(); status != 0 {
					f.Fatalf("exit status %d\n%s", status, term.shown())
				}
				shown := term.shown()
				if !strings.Contains(shown, "Logged in to work as Ada Lovelace") || strings.Contains(shown, "code=") {
					f.Errorf("the terminal shows\n%s", shown)
				}
				if _, known := f.token("work"); known.Subject != "ada" {
					f.Errorf("the server says of the token %+v", known)
				}
			})
		})
	}
}

// goAlong follows the URL in the terminal up to the redirect, pastes wrong ones, and
// returns the right one, as long as some servers make it.
func (f *flow) goAlong(term *terminal) string {
	f.Helper()
	b := f.browser()
	if err := b.visit(term.find(shownURL)); err != nil {
		f.Fatal(err)
	}
	back, err := url.Parse(b.back)
	if err != nil || b.back == "" {
		f.Fatalf("the browser is at %q: %v", b.back, err)
	}
	forged := *back
	q := forged.Query()
	q.Set("state", "somebody-elses")
	forged.RawQuery = q.Encode()
	for wrong, complaint := range map[string]string{
		"https://example.com/callback?code=x&state=y": `does not begin with\shttp://127\.0\.0\.1`,
		forged.String(): `not of this login`,
	} {
		term.tmux("send-keys", "-l", wrong)
		term.tmux("send-keys", "Enter")
		term.find(complaint)
	}
	if term.ended() || f.p.requests("POST /token") != 0 {
		f.Fatalf("a wrong address has ended the login:\n%s", term.shown())
	}
	return back.String() + "&session_state=" + strings.Repeat("x", 6000)
}

// The code to enter, and a picture of its address for a phone where there is room.
func TestFlowDevice_RFC8628_OIDCProvider_QRCode(t *testing.T) {
	eachWay(t, providerOptions{}, []string{overHTTP, overTLS}, func(f *flow) {
		term := f.inTerminal(100, 50, "--client-id", "fob-e2e", "--device")
		userCode := term.find(`(?m)^  ([A-Z]{4}-[A-Z]{4})$`)
		term.find(`Scan the QR code, which includes the user code, or:`)
		if shown := term.shown(); strings.Count(shown, "█") < 100 || !strings.Contains(shown, "▀") || !strings.Contains(shown, "▄") {
			f.Errorf("there is no QR code in\n%s", shown)
		}
		term.find(`the code expires in \d+`)
		f.enter(f.p.issuer+"/device", userCode, "", "Sign-in Success")
		if status := term.status(); status != 0 || !strings.Contains(term.shown(), "Logged in to work as Ada Lovelace") {
			f.Errorf("exit status %d\n%s", status, term.shown())
		}
	})
}

func TestFlowDevice_RFC8628_OIDCProvider_SmallTerminal(t *testing.T) {
	t.Parallel()
	f := newFlow(t, providerOptions{}, overHTTP)
	term := f.inTerminal(80, 12, "--client-id", "fob-e2e", "--device")
	userCode := term.find(`(?m)^  ([A-Z]{4}-[A-Z]{4})$`)
	f.enter(f.p.issuer+"/device", userCode, "", "Sign-in Success")
	if status := term.status(); status != 0 || strings.Contains(term.shown(), "█") {
		t.Errorf("exit status %d\n%s", status, term.shown())
	}
}
