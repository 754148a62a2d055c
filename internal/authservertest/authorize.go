package authservertest

import (
	"crypto/sha256"
	"encoding/base64"
	"html/template"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// authCode is an authorization code and what it was given for.
type authCode struct {
	redirectURI, challenge string
	nonce, scope           string
	used                   bool
	family                 *family
}

var page = template.Must(template.New("").Parse(`<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark"><title>Test issuer</title>
<style>
body { font: 17px/1.5 system-ui, sans-serif; max-width: 24rem; margin: 12vh auto; padding: 0 24px; }
h1 { font-size: 1.4rem; } small { opacity: .7; } li { margin: .2em 0; }
button { font: inherit; padding: .5em 1.6em; margin: .6em .4em 0 0; border: 1px solid #7a7f87; border-radius: 8px; background: none; color: inherit; cursor: pointer; }
button[value=yes] { background: #1f6feb; border-color: #1f6feb; color: #fff; }
</style>
<small>Test issuer</small>
<h1>Let {{.ClientID}} act for you?</h1>
<p>You are signed in as <b>Ada Lovelace</b>. It asks for:</p>
<ul>{{range .Scopes}}<li>{{.}}</li>{{end}}</ul>
<form method="post">
{{range $name, $values := .Query}}{{range $values}}<input type="hidden" name="{{$name}}" value="{{.}}">{{end}}{{end}}
<button name="answer" value="yes" autofocus>Allow</button><button name="answer" value="no">Deny</button>
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
	_ = page.Execute(w, map[string]any{"ClientID": q.Get("client_id"), "Scopes": space(q.Get("scope")), "Query": q})
}

// checkAuthorization names the first thing that is wrong with a request.
func checkAuthorization(q url.Values) string {
	if problem := repeated(q); problem != "" {
		return problem
	}
	client, known := clientByID(q.Get("client_id"))
	challenge, err := base64.RawURLEncoding.Strict().DecodeString(q.Get("code_challenge"))
	switch {
	case !known:
		return "unknown client"
	case !sameRedirect(client.RedirectURI, q.Get("redirect_uri")):
		return "the redirect URI is not registered"
	case q.Get("response_type") != "code":
		return "response_type is not code"
	case len(q.Get("state")) < 22:
		return "state has less than 128 bits"
	case q.Get("code_challenge_method") != "S256" || err != nil || len(challenge) != sha256.Size:
		return "no PKCE with S256"
	case slices.Contains(space(q.Get("scope")), "openid") && len(q.Get("nonce")) < 22:
		return "nonce has less than 128 bits"
	}
	return ""
}

// sameRedirect compares all but the port (RFC 8252 §7.3).
func sameRedirect(registered, given string) bool {
	u, err := url.Parse(given)
	if err != nil || u.Port() == "" {
		return false
	}
	u.Host = u.Hostname()
	return u.String() == registered
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
	s.families++
	s.codes[code] = &authCode{
		redirectURI: q.Get("redirect_uri"), challenge: q.Get("code_challenge"),
		nonce: q.Get("nonce"), scope: granted(q.Get("scope"), q.Get("prompt")), family: &family{number: s.families, client: client},
	}
	return code
}

// granted leaves out reports:read, which Ada may not have, and offline_access
// where consent was not asked for (OIDC Core §11).
func granted(scope, prompt string) string {
	return strings.Join(slices.DeleteFunc(space(scope), func(one string) bool {
		return one == "reports:read" || one == "offline_access" && !slices.Contains(space(prompt), "consent")
	}), " ")
}
