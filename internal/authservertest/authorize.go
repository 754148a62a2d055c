package authservertest

import (
	"crypto/sha256"
	_ "embed"
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
	nonce                  string
	jkt                    string // of the key that it is bound to (RFC 9449 §10)
	used                   bool
	family                 *family
}

// page is one question, or one word that nobody need answer.
type page struct {
	Title, Text string
	Items       []string
	Query       url.Values // goes along with the answer
	Field       string     // that is to be filled in
	Yes, No     string     // the buttons; none: nothing is asked
	Get         bool       // the answer is no change
}

//go:embed page.html
var layoutText string

var layout = template.Must(template.New("").Parse(layoutText))

func (p page) show(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_ = layout.Execute(w, p)
}

func consent(client, scope string, resources []string, q url.Values) page {
	return page{
		Title: "Let " + client + " act for you?", Text: "You are signed in as Ada Lovelace. It asks for:",
		Items: append(strings.Fields(scope), resources...), Query: q, Yes: "Allow", No: "Deny",
	}
}

// serveAuthorize checks the request as strictly as a good server would, and asks.
func (s *Server) serveAuthorize(w http.ResponseWriter, r *http.Request) {
	if s.forwardBrowser(w, r) {
		return
	}
	q, problem := s.authorizationParams(r.URL.Query())
	if problem != "" {
		http.Error(w, "This request is wrong: "+problem, http.StatusBadRequest)
		return
	}
	if problem := s.checkResources(q["resource"]); problem != "" {
		s.sendBack(w, r, q, url.Values{"error": {"invalid_target"}, "error_description": {problem}})
		return
	}
	consent(q.Get("client_id"), q.Get("scope"), q["resource"], r.URL.Query()).show(w)
}

// authorizationParams returns the parameters of an authorization request, which may have
// been pushed, or what is wrong with it.
func (s *Server) authorizationParams(q url.Values) (url.Values, string) {
	if q.Has("request_uri") {
		return s.pushedFor(q)
	}
	if s.opts.RequirePAR {
		return nil, "it was not pushed" // RFC 9126 §5
	}
	return q, s.checkAuthorization(q)
}

// checkAuthorization names the first thing that is wrong with a request.
func (s *Server) checkAuthorization(q url.Values) string {
	if problem := repeatedParam(q, "resource"); problem != "" {
		return problem
	}
	client, known := s.client(q.Get("client_id"))
	challenge, err := base64.RawURLEncoding.Strict().DecodeString(q.Get("code_challenge"))
	switch {
	case !known:
		return "unknown client"
	case !slices.ContainsFunc(client.RedirectURIs, func(one string) bool { return sameRedirect(one, q.Get("redirect_uri")) }):
		return "the redirect URI is not registered"
	case !slices.Contains(client.Grants, grantCode):
		return "the client is not registered for codes"
	case q.Get("response_type") != "code":
		return "response_type is not code"
	case len(q.Get("state")) < 22:
		return "state has less than 128 bits"
	case q.Get("code_challenge_method") != "S256" || err != nil || len(challenge) != sha256.Size:
		return "no PKCE with S256"
	case slices.Contains(strings.Fields(q.Get("scope")), "openid") && len(q.Get("nonce")) < 22:
		return "nonce has less than 128 bits"
	case q.Has("dpop_jkt") && len(q.Get("dpop_jkt")) != 43:
		return "dpop_jkt is no SHA-256"
	}
	return ""
}

// sameRedirect compares all but the port, byte for byte (RFC 8252 §7.3).
func sameRedirect(registered, given string) bool {
	u, err := url.Parse(given)
	if err != nil || u.Port() == "" {
		return false
	}
	known, err := url.Parse(registered)
	if err != nil {
		return false
	}
	u.Host, known.Host = u.Hostname(), known.Hostname()
	return u.String() == known.String()
}

// serveConsent sends the browser back with a code or an error.
func (s *Server) serveConsent(w http.ResponseWriter, r *http.Request) {
	if err := r.ParseForm(); err != nil {
		http.Error(w, "This request is wrong.", http.StatusBadRequest)
		return
	}
	answer := r.PostForm.Get("answer")
	r.PostForm.Del("answer")
	q, problem := s.authorizationParams(r.PostForm)
	if problem == "" && s.checkResources(q["resource"]) != "" {
		problem = "unknown resource"
	}
	if problem == "" && !s.useRequestURI(r.PostForm) {
		problem = "the request was used before"
	}
	if problem != "" {
		http.Error(w, "This request is wrong: "+problem, http.StatusBadRequest)
		return
	}
	if answer == "yes" {
		s.sendBack(w, r, q, url.Values{"code": {s.newCode(q)}})
	} else {
		s.sendBack(w, r, q, url.Values{"error": {"access_denied"}, "error_description": {"The user said no"}})
	}
}

func (s *Server) sendBack(w http.ResponseWriter, r *http.Request, q, back url.Values) {
	back.Set("state", q.Get("state"))
	if !s.opts.NoIss {
		back.Set("iss", s.Issuer())
	}
	for f := range s.takeAll("callback", nil) {
		f.query(back)
	}
	http.Redirect(w, r, q.Get("redirect_uri")+"?"+back.Encode(), http.StatusSeeOther)
}

func (s *Server) newCode(q url.Values) string {
	client, _ := s.client(q.Get("client_id"))
	s.mu.Lock()
	defer s.mu.Unlock()
	code := s.newSecret("code")
	s.codes[code] = &authCode{
		redirectURI: q.Get("redirect_uri"), challenge: q.Get("code_challenge"), nonce: q.Get("nonce"), jkt: q.Get("dpop_jkt"),
		family: s.newFamily(client, "ada", grantScopes(q.Get("scope"), q.Get("prompt")), q["resource"]),
	}
	return code
}

// grantScopes leaves out reports:read, which Ada may not have, and offline_access
// where consent was not asked for (OIDC Core §11).
func grantScopes(scope, prompt string) string {
	return strings.Join(slices.DeleteFunc(strings.Fields(scope), func(one string) bool {
		return one == "reports:read" || one == "offline_access" && !slices.Contains(strings.Fields(prompt), "consent")
	}), " ")
}
