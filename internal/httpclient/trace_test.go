package httpclient

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/fobcli/fob/internal/trace"
)

const canary = "canary-0123456789"

// traceOf sends a request to a server with a fixed answer, and returns what the trace shows.
func traceOf(t *testing.T, contentType, answer, requestType, request string) string {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if body, _ := io.ReadAll(r.Body); string(body) != request {
			t.Errorf("the server got %q", body)
		}
		w.Header().Set("Content-Type", contentType)
		w.Header().Set("Set-Cookie", "session="+canary)
		_, _ = io.WriteString(w, answer)
	}))
	defer server.Close()
	hc, err := New(Options{})
	if err != nil {
		t.Fatal(err)
	}
	var shown strings.Builder
	ctx := trace.With(t.Context(), func(line string) { shown.WriteString(line + "\n") })
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, server.URL+"/token?code="+canary+"&client_id=app", strings.NewReader(request))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", requestType)
	req.Header.Set("Authorization", "Bearer "+canary)
	req.Header.Set("X-Vault-Token", canary)
	resp, err := hc.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if body, err := io.ReadAll(resp.Body); err != nil || string(body) != answer {
		t.Errorf("the caller got %q, %v", body, err)
	}
	_ = resp.Body.Close()
	return shown.String()
}

func TestTraceRedactsWhatItDoesNotKnow(t *testing.T) {
	for _, body := range []struct{ contentType, text, want string }{
		{"application/x-www-form-urlencoded", "grant_type=refresh_token&refresh_token=" + canary + "&custom=" + canary, "custom=[redacted]&grant_type=refresh_token&refresh_token=[redacted]"},
		{"application/json", `{"access_token":"` + canary + `","expires_in":60}`, `{"access_token":"[redacted]","expires_in":60}`},
		{"application/json; charset=utf-8", `{"data":{"keys":[["` + canary + `"],4711]},"lease":true,"x":null}`, `{"data":{"keys":[["[redacted]"],"[redacted]"]},"lease":true,"x":null}`},
		{"application/problem+json", `"` + canary + `"`, `"[redacted]"`},
		{"application/json", `{"error":"` + canary + ` is used","scope":"openid"}`, `{"error":"[redacted] is used","scope":"openid"}`},
		{"application/json", `{"access_token":"` + canary, "[34 bytes]"},
		{"text/plain", canary, "[17 bytes]"},
		{"", canary, "[17 bytes]"},
		{"application/json", `"` + strings.Repeat(canary, 1000) + `"`, "[more than 16384 bytes]"},
	} {
		for _, shown := range []string{
			traceOf(t, body.contentType, body.text, "", ""),
			traceOf(t, "", "", body.contentType, body.text),
		} {
			if strings.Contains(shown, canary) {
				t.Errorf("%s %.60s: a secret is in\n%s", body.contentType, body.text, shown)
			}
			if !slices.ContainsFunc(strings.Split(shown, "\n"), func(line string) bool {
				return line == "> "+body.want || line == "< "+body.want
			}) {
				t.Errorf("%s %.60s: no line %s in\n%s", body.contentType, body.text, body.want, shown)
			}
			if !strings.Contains(shown, "/token?client_id=app&code=[redacted]\n") || !strings.Contains(shown, "> Authorization: [redacted]\n") {
				t.Errorf("the request is not shown: %s", shown)
			}
		}
	}
}

// In a vault and in Kubernetes the names of fields are the user's own: one may be called
// client_id, or webhook_endpoint.
func TestH64_TraceOfSecretsUnderPlainNames(t *testing.T) {
	for _, body := range []string{
		`{"data":{"client_id":"` + canary + `","webhook_endpoint":"` + canary + `","kid":4711},"options":{"cas":3}}`,
		`{"data":{"data":{"issuer":["` + canary + `"]},"keys":[{"kid":"` + canary + `"}]}}`,
	} {
		for _, shown := range []string{
			traceOf(t, "application/json", body, "", ""),
			traceOf(t, "", "", "application/json", body),
		} {
			if strings.Contains(shown, canary) || strings.Contains(shown, "4711") {
				t.Errorf("a secret is in\n%s", shown)
			}
		}
	}
	const keys = `{"keys":[{"alg":"RS256","kid":"first","kty":"RSA","n":"[redacted]"}]}`
	if shown := traceOf(t, "application/json", strings.Replace(keys, "[redacted]", canary, 1), "", ""); !strings.Contains(shown, "< "+keys) {
		t.Errorf("no keys in\n%s", shown)
	}
}

// A hostile server repeats what it was sent, and what it sends, wherever a trace shows text.
func TestH64_TraceOfAnEcho(t *testing.T) {
	const fresh, password = "Fresh-9876543210", "pass word+%41"
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = r.ParseForm()
		sent := r.Form.Get("refresh_token")
		_, basic, _ := r.BasicAuth()
		decoded, _ := url.QueryUnescape(basic)
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Server", sent+" "+fresh+" "+basic+" "+decoded)
		w.Header().Set("X-"+sent, "1")
		answer := map[string]any{
			"error": fresh + decoded, "issuer": "https://user:" + canary + "@example.com/", "refresh_token": fresh, sent: 1,
			"token_endpoint": "https://example.com/token?key=" + canary + "&resource=api#" + canary,
		}
		_ = json.NewEncoder(w).Encode(answer)
	}))
	defer server.Close()
	hc, err := New(Options{})
	if err != nil {
		t.Fatal(err)
	}
	var shown strings.Builder
	ctx := trace.With(t.Context(), func(line string) { shown.WriteString(line + "\n") })
	form := url.Values{"refresh_token": {canary}, "resource": {"https://user:secret-of-api@example.com"}}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, server.URL+"/token", strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.SetBasicAuth("app", url.QueryEscape(password))
	resp, err := hc.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_, err = io.Copy(io.Discard, resp.Body)
	if err = errors.Join(err, resp.Body.Close()); err != nil {
		t.Fatal(err)
	}
	for _, secret := range []string{canary, fresh, password, url.QueryEscape(password), "secret-of-api"} {
		if strings.Contains(strings.ToLower(shown.String()), strings.ToLower(secret)) {
			t.Errorf("%q is in\n%s", secret, shown.String())
		}
	}
	if !strings.Contains(shown.String(), `"token_endpoint":"https://example.com/token?key=[redacted]\u0026resource=api"`) {
		t.Errorf("no endpoint in\n%s", shown.String())
	}
}
