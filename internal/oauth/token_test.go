package oauth

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fobcli/fob/internal/authservertest"
	"github.com/fobcli/fob/internal/discovery"
	"github.com/fobcli/fob/internal/httpclient"
	"github.com/fobcli/fob/internal/secret"
)

const goodAnswer = `{"access_token":"at","token_type":"Bearer","expires_in":3600,"refresh_token":"rotated"}`

func TestB16OneRequestWhateverComes(t *testing.T) {
	for name, test := range map[string]struct {
		handler http.HandlerFunc
		want    error
	}{
		"500": {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500) }, ErrUnavailable},
		"503": {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(503) }, ErrUnavailable},
		"429": {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(429) }, ErrUnavailable},
		"500 with JSON": {func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(500)
			_, _ = io.WriteString(w, `{"error":"invalid_grant"}`)
		}, ErrUnavailable},
		"400 and HTML": {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(400); _, _ = io.WriteString(w, "<html>") }, ErrMalformed},
		"401, empty":   {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(401) }, ErrRefused},
		"HTML":         {text("<html>"), ErrMalformed},
		"empty":        {text(""), ErrMalformed},
		"null":         {text("null"), ErrMalformed},
		"array":        {text("[]"), ErrMalformed},
		"connection":   {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, ErrUnavailable},
	} {
		t.Run("B16 "+name, func(t *testing.T) {
			c, requests := answering(t, test.handler)
			_, err := c.Refresh(t.Context(), someToken, Target{})
			if !errors.Is(err, test.want) || EndsLogin(err) {
				t.Errorf("%v, want %v", err, test.want)
			}
			if requests.Load() != 1 {
				t.Errorf("%d requests", requests.Load())
			}
			if strings.Contains(fmt.Sprint(err), someToken.Reveal()) {
				t.Errorf("the error holds the token: %v", err)
			}
		})
	}
}

func TestB17TruncatedAtEveryByte(t *testing.T) {
	for n := range len(goodAnswer) {
		c, _ := answering(t, text(goodAnswer[:n]))
		if r, err := c.Refresh(t.Context(), someToken, Target{}); err == nil {
			t.Errorf("B17 cut to %d bytes: %+v", n, r)
		}
	}
	for n := range len(goodAnswer) { // the connection ends before the body does
		c, _ := answering(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", fmt.Sprint(len(goodAnswer)))
			_, _ = io.WriteString(w, goodAnswer[:n])
		})
		if _, err := c.Refresh(t.Context(), someToken, Target{}); !errors.Is(err, ErrUnavailable) {
			t.Errorf("B17 connection lost after %d bytes: %v", n, err)
		}
	}
}

func TestB18LargeBodies(t *testing.T) {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, _ = z.Write(bytes.Repeat([]byte(" "), 20<<20))
	_ = z.Close()
	bomb := func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		_, _ = w.Write(b.Bytes())
	}
	for name, handler := range map[string]http.HandlerFunc{"3 MiB": text(strings.Repeat(" ", 3<<20)), "gzip bomb": bomb} {
		c, _ := answering(t, handler)
		if _, err := c.Refresh(t.Context(), someToken, Target{}); !errors.Is(err, httpclient.ErrTooLarge) {
			t.Errorf("B18 %s: %v", name, err)
		}
	}
}

// A refusal whose text is nested as deep as JSON may be takes no minutes to read.
func TestB18_NestedErrorText(t *testing.T) {
	const levels = 300
	for open, end := range map[string]string{`{"error":`: "}", `{"errors":[`: "]}"} {
		body := strings.Repeat(open, levels) + `"` + strings.Repeat("x", 512<<10) + `"` + strings.Repeat(end, levels)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		err := responseError(http.StatusBadRequest, []byte(body))
		runtime.ReadMemStats(&after)
		if parsed := after.TotalAlloc - before.TotalAlloc; err == nil || parsed > 32<<20 {
			t.Errorf("%s: %d MiB were allocated: %v", open, parsed>>20, err)
		}
	}
}

func TestB19RedirectsAreRefused(t *testing.T) {
	for _, status := range []int{301, 302, 303, 307, 308} {
		seen := 0
		other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { seen++ }))
		c, _ := answering(t, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, other.URL, status) })
		if _, err := c.Refresh(t.Context(), someToken, Target{}); !errors.Is(err, httpclient.ErrRedirect) {
			t.Errorf("B19 %d: %v", status, err)
		}
		if err := c.Revoke(t.Context(), someToken, HintRefreshToken); !errors.Is(err, httpclient.ErrRedirect) {
			t.Errorf("B19 %d, revocation: %v", status, err)
		}
		if seen != 0 {
			t.Errorf("B19 %d: the other host saw %d requests", status, seen)
		}
		other.Close()
	}
}

func TestB20Lifetimes(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for field, want := range map[string]time.Duration{
		`,"expires_in":1800`: 30 * time.Minute, `,"expires_in":"1800"`: 30 * time.Minute, `,"expires_in":1800.5`: 1800500 * time.Millisecond,
		`,"expires_in":1.8e3`: 30 * time.Minute, `,"expires_in":1e400`: maxLifetime, `,"expires_in":99999999999999`: maxLifetime, `,"expires_in":"Infinity"`: maxLifetime,
		`,"expires_in":-5`: 0, `,"expires_in":0`: 0, `,"expires_in":null`: 0, `,"expires_in":"soon"`: 0, `,"expires_in":{}`: 0, `,"expires_in":true`: 0, `,"expires_in":"NaN"`: 0, ``: 0,
	} {
		r, err := parseTokenResponse(http.StatusOK, []byte(`{"access_token":"at","refresh_token":"rt"`+field+`}`), now)
		if err != nil {
			t.Errorf("B20 %s: %v", field, err)
			continue
		}
		token, err := r.AccessToken()
		if err != nil || r.RefreshToken.Reveal() != "rt" {
			t.Errorf("B20 %s: %v", field, err)
		}
		wantAt := time.Time{}
		if want != 0 {
			wantAt = now.Add(want)
		}
		if !token.ExpiresAt.Equal(wantAt) {
			t.Errorf("B20 %s: expires at %v, want %v", field, token.ExpiresAt, wantAt)
		}
	}
}

func TestTokenFields(t *testing.T) {
	for answer, want := range map[string]error{
		`{"access_token":"at"}`:                        nil, // B21 token_type missing
		`{"access_token":"at","token_type":"bearer"}`:  nil,
		`{"access_token":"at","token_type":"BEARER"}`:  nil,
		`{"access_token":"at","token_type":null}`:      nil,
		`{"access_token":"at","token_type":"mac"}`:     ErrUnsupported, // B21
		`{"access_token":"at","token_type":7}`:         ErrUnsupported,
		`{"access_token":"a\r\nb"}`:                    ErrMalformed, // B22
		`{"access_token":"a\u0000b"}`:                  ErrMalformed,
		`{"access_token":"a b"}`:                       ErrMalformed,
		`{"access_token":"a\u00e9"}`:                   ErrMalformed,
		`{"access_token":""}`:                          ErrMalformed,
		`{"access_token":7}`:                           ErrMalformed,
		`{"token_type":"Bearer"}`:                      ErrMalformed,
		`{"access_token":"at","error":"not an error"}`: nil,
	} {
		r, err := parseTokenResponse(200, []byte(answer), time.Now())
		if err != nil {
			t.Errorf("%s: %v", answer, err)
			continue
		}
		if _, err := r.AccessToken(); !errors.Is(err, want) {
			t.Errorf("B21, B22 %s: %v, want %v", answer, err, want)
		}
	}
}

func TestB23RefreshTokenAbsentOrEmpty(t *testing.T) {
	for _, answer := range []string{`{"access_token":"at"}`, `{"access_token":"at","refresh_token":""}`, `{"access_token":"at","refresh_token":null}`} {
		if r, err := parseTokenResponse(200, []byte(answer), time.Now()); err != nil || !r.RefreshToken.IsZero() {
			t.Errorf("B23 %s: %v", answer, err)
		}
	}
	// Whatever else is wrong with an answer, its refresh token can be saved.
	if r, err := parseTokenResponse(200, []byte(`{"refresh_token":"rotated","access_token":"a\nb","token_type":[],"expires_in":{}}`), time.Now()); err != nil || r.RefreshToken.Reveal() != "rotated" {
		t.Errorf("B23: %v", err)
	}
}

func TestB25ErrorAnswers(t *testing.T) {
	for _, test := range []struct {
		status  int
		body    string
		invalid bool
	}{
		{400, `{"error":"invalid_grant","error_description":"expired"}`, true},
		{401, `{"error":"invalid_client"}`, false},
		{200, `{"error":"bad_verification_code","error_description":"x"}`, false}, // GitHub
		{200, `{"ok":false,"error":"invalid_code"}`, false},                       // Slack
	} {
		c, _ := answering(t, func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(test.status)
			_, _ = io.WriteString(w, test.body)
		})
		_, err := c.Refresh(t.Context(), someToken, Target{})
		var e *Error
		if !errors.As(err, &e) || EndsLogin(err) != test.invalid || errors.Is(err, ErrUnavailable) {
			t.Errorf("B25 %d %s: %v", test.status, test.body, err)
		}
	}
	for _, status := range []int{401, 403} { // glewlwyd names no error
		c, _ := answering(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) })
		if _, err := c.Refresh(t.Context(), someToken, Target{}); !errors.Is(err, ErrRefused) || errors.Is(err, ErrMalformed) || EndsLogin(err) {
			t.Errorf("B25 %d and no more: %v", status, err)
		}
	}
}

func TestB27ASlowServerMeetsTheDeadline(t *testing.T) {
	server, c := atServer(t, authservertest.Options{})
	hc, err := httpclient.New(httpclient.Options{Timeout: 200 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	c.HTTP = hc
	injectFault(t, server, "token-slow")
	if _, err := c.Refresh(t.Context(), someToken, Target{}); !errors.Is(err, ErrUnavailable) {
		t.Errorf("B27: %v", err)
	}
}

// HTTP/2 reports every end of a request as "canceled", which is what Ctrl-C is.
func TestB27TheDeadlineHasItsNameWithHTTP2(t *testing.T) {
	release := make(chan struct{})
	c, _ := answering(t, nil)
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-release }))
	server.EnableHTTP2 = true
	server.StartTLS()
	defer server.Close()
	defer close(release)
	c.HTTP, c.Metadata.TokenEndpoint = server.Client(), server.URL
	c.HTTP.Timeout = 100 * time.Millisecond
	_, err := c.Refresh(t.Context(), someToken, Target{})
	if !errors.Is(err, ErrUnavailable) || errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "no complete response within 100ms") {
		t.Errorf("B27: %v", err)
	}
}

func TestClientAuthentication(t *testing.T) {
	for _, method := range []string{AuthNone, AuthBasic, AuthPost} {
		var form url.Values
		var id, password string
		var basic bool
		c, _ := answering(t, func(w http.ResponseWriter, r *http.Request) {
			id, password, basic = r.BasicAuth()
			_ = r.ParseForm()
			form = r.PostForm
			_, _ = io.WriteString(w, goodAnswer)
		})
		c.ClientID = "fob id"
		if method != AuthNone {
			c.ClientSecret = secret.New("a:b +%ä")
		}
		if err := c.UseAuthMethod(method); err != nil || c.AuthMethod != method {
			t.Fatalf("%s: %s, %v", method, c.AuthMethod, err)
		}
		if _, err := c.Refresh(t.Context(), someToken, Target{}); err != nil {
			t.Fatal(err)
		}
		switch method {
		case AuthBasic:
			if !basic || id != "fob+id" || password != "a%3Ab+%2B%25%C3%A4" || form.Has("client_secret") {
				t.Errorf("%s: %v %q %q %v", method, basic, id, password, form)
			}
		case AuthPost:
			if basic || form.Get("client_id") != "fob id" || form.Get("client_secret") != "a:b +%ä" {
				t.Errorf("%s: %v %v", method, basic, form)
			}
		default:
			if basic || form.Get("client_id") != "fob id" || form.Has("client_secret") {
				t.Errorf("%s: %v %v", method, basic, form)
			}
		}
	}
}

func TestUseAuthMethodChooses(t *testing.T) {
	for _, test := range []struct {
		supported []string
		secret    string
		want      string
	}{
		{nil, "", AuthNone}, {nil, "s", AuthBasic}, {[]string{"client_secret_post"}, "s", AuthPost},
		{[]string{"client_secret_post", "client_secret_basic"}, "s", AuthBasic}, {[]string{"client_secret_basic"}, "", AuthNone},
	} {
		c := &Client{Metadata: &discovery.Metadata{TokenEndpointAuthMethodsSupported: test.supported}, ClientSecret: secret.New(test.secret)}
		if err := c.UseAuthMethod(""); err != nil || c.AuthMethod != test.want {
			t.Errorf("%+v: %s, %v", test, c.AuthMethod, err)
		}
	}
	c := &Client{Metadata: &discovery.Metadata{}}
	if c.UseAuthMethod(AuthBasic) == nil || c.UseAuthMethod("private_key_jwt") == nil {
		t.Error("a method without its secret, or one that fob does not speak, is accepted")
	}
}

func TestB30Revocation(t *testing.T) {
	for name, test := range map[string]struct {
		handler http.HandlerFunc
		want    error
	}{
		"200": {text(""), nil},
		"204": {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(204) }, nil},
		"503": {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(503) }, ErrUnavailable},
		"404": {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(404) }, ErrMalformed},
		"unsupported": {func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(400)
			_, _ = io.WriteString(w, `{"error":"unsupported_token_type"}`)
		}, ErrUnsupported},
	} {
		c, requests := answering(t, test.handler)
		if err := c.Revoke(t.Context(), someToken, HintRefreshToken); !errors.Is(err, test.want) || requests.Load() != 1 {
			t.Errorf("B30 %s: %v, %d requests", name, err, requests.Load())
		}
	}
	if err := (&Client{Metadata: &discovery.Metadata{}}).Revoke(t.Context(), someToken, HintAccessToken); !errors.Is(err, ErrUnsupported) {
		t.Errorf("B30 no endpoint: %v", err)
	}
}

func TestH61ErrorTextsAreInert(t *testing.T) {
	err := error(&Error{Code: "x\x1b]52;c;aGk=\a", Description: "a\u202eb\nerror: c" + strings.Repeat("d", 1000)})
	if got := err.Error(); strings.ContainsAny(got, "\x1b\a\n\u202e") || len(got) > 500 {
		t.Errorf("H61: %q", got)
	}
}

// Some servers repeat what they refuse.
func TestH64ErrorsHoldNoSecretOfTheRequest(t *testing.T) {
	c, _ := answering(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		form, _ := url.ParseQuery(string(body))
		form.Del("client_assertion_type")
		w.WriteHeader(http.StatusBadRequest)
		said, _ := json.Marshal(map[string]string{"error": "invalid_request", "error_description": "refused: " + strings.Join(slices.Concat(
			form["refresh_token"], form["subject_token"], form["assertion"], form["code"], form["code_verifier"], form["token"], form["client_secret"]), " ")})
		_, _ = w.Write(said)
	})
	c.ClientSecret, c.AuthMethod = secret.New("the-client-secret"), AuthPost
	canary := secret.New("canary-of-the-request")
	request := &AuthorizationRequest{codeVerifier: canary}
	for name, send := range map[string]func() error{
		"refresh":    func() error { _, err := c.Refresh(t.Context(), canary, Target{}); return err },
		"code":       func() error { _, err := c.Exchange(t.Context(), request, canary.Reveal()); return err },
		"exchange":   func() error { _, err := c.TokenExchange(t.Context(), canary, TokenTypeJWT, Target{}); return err },
		"jwt-bearer": func() error { _, err := c.JWTBearer(t.Context(), canary, Target{}); return err },
		"revocation": func() error { return c.Revoke(t.Context(), canary, HintRefreshToken) },
	} {
		if err := send(); err == nil || !strings.Contains(err.Error(), "the server says invalid_request: refused: [redacted]") ||
			strings.Contains(err.Error(), "canary") || strings.Contains(err.Error(), "the-client-secret") {
			t.Errorf("H64 %s: %v", name, err)
		}
	}
}

// A server may write what it repeats as its JSON writer or its page does, or say so with
// status 200, as GitHub's and Slack's do with errors.
func TestH64ErrorsHoldNoEscapedSecret(t *testing.T) {
	const canary, password = "1//canary+of&the=request", "pass%word/+"
	for name, answer := range map[string]func(w http.ResponseWriter, text string){
		"status 200": func(w http.ResponseWriter, text string) {
			_ = json.NewEncoder(w).Encode(map[string]string{"error": "bad", "error_description": text})
		},
		"escaped slashes": func(w http.ResponseWriter, text string) {
			w.WriteHeader(http.StatusBadRequest)
			_, _ = io.WriteString(w, strings.ReplaceAll(`{"error":"bad","error_description":"`+text+`"}`, "/", `\/`))
		},
		"invisible characters": func(w http.ResponseWriter, text string) {
			w.WriteHeader(http.StatusBadRequest)
			_ = json.NewEncoder(w).Encode(map[string]string{"error": "bad", "error_description": strings.ReplaceAll(text, "a", "a\u200b")})
		},
		"as the code": func(w http.ResponseWriter, text string) {
			w.WriteHeader(http.StatusBadRequest)
			_ = json.NewEncoder(w).Encode(map[string]string{"error": text})
		},
		"as a message": func(w http.ResponseWriter, text string) {
			w.WriteHeader(http.StatusBadGateway)
			_ = json.NewEncoder(w).Encode(map[string]any{"errors": []any{map[string]string{"message": text}}})
		},
	} {
		c, _ := answering(t, func(w http.ResponseWriter, r *http.Request) {
			_, encoded, _ := r.BasicAuth()
			decoded, _ := url.QueryUnescape(encoded)
			answer(w, r.FormValue("refresh_token")+" "+encoded+" "+decoded+" "+r.Header.Get("Authorization")+" "+url.QueryEscape(canary))
		})
		c.ClientSecret, c.AuthMethod = secret.New(password), AuthBasic
		_, err := c.Refresh(t.Context(), secret.New(canary), Target{})
		if err == nil || strings.Count(err.Error(), "[redacted]") != 5 {
			t.Errorf("H64 %s: %v", name, err)
		}
	}
}

func TestGivenToken(t *testing.T) {
	c := &Client{Now: time.Now}
	for given, want := range map[string]string{
		" plain \n": "plain", `{"access_token":"at","refresh_token":"rt","expires_in":60}`: "at",
	} {
		r, err := c.GivenToken(secret.New(given))
		if err != nil {
			t.Errorf("%q: %v", given, err)
			continue
		}
		if token, err := r.AccessToken(); err != nil || token.Value.Reveal() != want {
			t.Errorf("%q: %v", given, err)
		}
	}
	for _, given := range []string{"", "two words", "{", "a\x00b", `{"error":"x"}`} {
		if _, err := c.GivenToken(secret.New(given)); err == nil {
			t.Errorf("%q is accepted", given)
		}
	}
}

func FuzzTokenResponse(f *testing.F) {
	f.Add([]byte(goodAnswer))
	f.Add([]byte(`{"access_token":"a","expires_in":"1e999","scope":7,"id_token":{}}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		r, err := parseTokenResponse(200, body, time.Now())
		if err != nil {
			return
		}
		token, err := r.AccessToken()
		if err == nil && strings.ContainsAny(token.Value.Reveal(), " \r\n\x00\x7f") {
			t.Fatalf("a token %q is accepted", token.Value.Reveal())
		}
		if !token.ExpiresAt.IsZero() && !token.ExpiresAt.After(token.IssuedAt) {
			t.Fatal("a token is issued expired")
		}
		_, _, _ = r.Scope(), r.IDToken(), r.RefreshExpiry()
	})
}
