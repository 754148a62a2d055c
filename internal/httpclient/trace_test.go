package httpclient

import (
	"io"
	"net/http"
	"net/http/httptest"
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
