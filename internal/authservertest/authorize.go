package authservertest

import (
	"html/template"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// authCode is an authorization code and what it was given for.
type authCode struct {
	client                 Client
	redirectURI, challenge string
	nonce, scope           string
	used                   bool
	family                 *family
}

var page = template.Must(template.New("").Parse(`<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark"><title>Test issuer</title>
<style>
body { font: 17px/1.5 system-ui, sans-serif; max-width: 26rem; margin: 12vh auto; padding: 0 24px; }
h1 { font-size: 1.4rem; } button { font: inherit; padding: .5em 1.4em; border-radius: 8px; border: 1px solid; cursor: pointer; }
</style>
<h1>Test issuer</h1>
<p>You are <b>Ada Lovelace</b>. <b>{{.ClientID}}</b> asks for: {{.Scope}}.</p>
<form method="post">
{{range $name, $values := .Query}}{{range $values}}<input type="hidden" name="{{$name}}" value="{{.}}">{{end}}{{end}}
<button name="answer" value="yes" autofocus>Allow</button> <button name="answer" value="no">Deny</button>
</form>
</html>`))

// serveAuthorize checks the request as strictly as a good server would, and asks.
func (s *Server) serveAuthorize(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	if problem := checkAuthorization(q); problem != "" {
		http.Error(w, "This request is wrong: "+problem, http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_ = page.Execute(w, map[string]any{"ClientID": q.Get("client_id"), "Scope": q.Get("scope"), "Query": q})
}

// checkAuthorization names the first thing that is wrong with a request.
func checkAuthorization(q url.Values) string {
	for name, values := range q {
		if len(values) != 1 {
			return "more than one " + name
		}
	}
	client, known := clientByID(q.Get("client_id"))
	challenge := q.Get("code_challenge")
	switch {
	case !known:
		return "unknown client"
	case !sameRedirect(client.RedirectURI, q.Get("redirect_uri")):
		return "the redirect URI is not registered"
	case q.Get("response_type") != "code":
		return "response_type is not code"
	case len(q.Get("state")) < 22:
		return "state has less than 128 bits"
	case q.Get("code_challenge_method") != "S256" || len(challenge) != 43:
		return "no PKCE with S256"
	case slices.Contains(space(q.Get("scope")), "openid") && len(q.Get("nonce")) < 22:
		return "nonce has less than 128 bits"
	}
	return ""
}

// sameRedirect compares all but the port (RFC 8252 §7.3).
func sameRedirect(registered, given string) bool {
	a, errA := url.Parse(registered)
	b, errB := url.Parse(given)
	return errA == nil && errB == nil && a.Scheme == b.Scheme && a.Hostname() == b.Hostname() && a.Path == b.Path && b.Port() != "" && b.RawQuery == ""
}

// serveConsent sends the browser back with a code or an error.
func (s *Server) serveConsent(w http.ResponseWriter, r *http.Request) {
	if err := r.ParseForm(); err != nil || checkAuthorization(without(r.PostForm, "answer")) != "" {
		http.Error(w, "This request is wrong.", http.StatusBadRequest)
		return
	}
	q := r.PostForm
	back := url.Values{"state": {q.Get("state")}, "iss": {s.Issuer()}}
	if q.Get("answer") == "yes" {
		back.Set("code", s.newCode(q))
	} else {
		back.Set("error", "access_denied")
		back.Set("error_description", "The user said no")
	}
	s.faultQuery(back)
	http.Redirect(w, r, q.Get("redirect_uri")+"?"+back.Encode(), http.StatusSeeOther)
}

func without(q url.Values, name string) url.Values {
	rest := url.Values{}
	for key, values := range q {
		if key != name {
			rest[key] = values
		}
	}
	return rest
}

func (s *Server) newCode(q url.Values) string {
	client, _ := clientByID(q.Get("client_id"))
	s.mu.Lock()
	defer s.mu.Unlock()
	code := s.newSecret("code")
	s.codes[code] = &authCode{
		client: client, redirectURI: q.Get("redirect_uri"), challenge: q.Get("code_challenge"),
		nonce: q.Get("nonce"), scope: granted(q.Get("scope"), q.Get("prompt")), family: &family{},
	}
	return code
}

// granted is what the server knows, and offline_access only with consent (OIDC
// Core §11).
func granted(scope, prompt string) string {
	return strings.Join(slices.DeleteFunc(space(scope), func(one string) bool {
		return one == "reports:read" || one == "offline_access" && !strings.Contains(prompt, "consent")
	}), " ")
}
