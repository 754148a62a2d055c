package secretstore

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/fobcli/fob/internal/httpclient"
	"github.com/fobcli/fob/internal/secret"
)

func askGitLab(t *testing.T, answer http.HandlerFunc, end time.Time) (Minted, time.Time, error) {
	t.Helper()
	server := httptest.NewServer(answer)
	defer server.Close()
	hc, err := httpclient.New(httpclient.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return GitLab(t.Context(), hc, server.URL+"/", secret.New("glpat-canary-old"), end)
}

func TestGitLabReplacesItsOwnToken(t *testing.T) {
	asked := 0
	minted, expires, err := askGitLab(t, func(w http.ResponseWriter, r *http.Request) {
		asked++
		body, _ := io.ReadAll(r.Body)
		if r.Method != http.MethodPost || r.URL.Path != "/api/v4/personal_access_tokens/self/rotate" ||
			r.Header.Get("PRIVATE-TOKEN") != "glpat-canary-old" || string(body) != `{"expires_at":"2027-03-04"}` {
			t.Errorf("%s %s %s", r.Method, r.URL, body)
		}
		_, _ = io.WriteString(w, `{"id":42,"token":"glpat-new","expires_at":"2027-03-04"}`)
	}, time.Date(2027, 3, 4, 0, 0, 0, 0, time.UTC))
	if err != nil || minted.Value.Reveal() != "glpat-new" || !minted.OldEnded || asked != 1 {
		t.Errorf("%v, %d, %v", minted, asked, err)
	}
	if got := expires.Format(time.DateOnly); got != "2027-03-04" {
		t.Error(got)
	}
}

// A refusal is told from an answer that never came, and neither shows a token.
func TestWhatGitLabAnswers(t *testing.T) {
	for _, c := range []struct {
		status     int
		body       string
		token      string
		unanswered bool
		says       string
	}{
		{200, `{"token":"new","expires_at":12}`, "new", false, ""},
		{200, `{"token":"new"}`, "new", false, ""},
		{201, `{"token":"new","expires_at":"soon"}`, "new", false, ""},
		{500, `{"token":"new"}`, "new", false, ""},
		{200, `{"token":""}`, "", true, "200"},
		{200, `<html>`, "", true, "200"},
		{204, ``, "", true, "204"},
		{502, `bad gateway`, "", true, "502"},
		{401, `{"message":"401 Unauthorized"}`, "", false, "401 Unauthorized"},
		{403, `{"error":"insufficient_scope glpat-canary-old\u001b[2J"}`, "", false, "insufficient_scope ***"},
		{429, `slow down`, "", false, "429"},
		{302, ``, "", false, "redirect"},
	} {
		asked := 0
		minted, _, err := askGitLab(t, func(w http.ResponseWriter, _ *http.Request) {
			asked++
			if c.status == 302 {
				w.Header().Set("Location", "https://evil.test/")
			}
			w.WriteHeader(c.status)
			_, _ = io.WriteString(w, c.body)
		}, time.Time{})
		if minted.Value.Reveal() != c.token || (err == nil) != (c.token != "") || errors.Is(err, ErrUnanswered) != c.unanswered || asked != 1 {
			t.Errorf("%d %s: %q, asked %d times, %v", c.status, c.body, minted.Value.Reveal(), asked, err)
		}
		if err != nil && (strings.Contains(err.Error(), "canary") || strings.Contains(err.Error(), "\x1b") || !strings.Contains(err.Error(), c.says)) {
			t.Errorf("%d: %v", c.status, err)
		}
	}
}

func TestGitLabThatCannotBeAsked(t *testing.T) {
	hc, _ := httpclient.New(httpclient.Options{})
	for base, unanswered := range map[string]bool{"http://gitlab.example.com": false, "https://user@x": false, "javascript:x": false, "http://127.0.0.1:1": false} {
		if _, _, err := GitLab(t.Context(), hc, base, secret.New("canary"), time.Time{}); err == nil || errors.Is(err, ErrUnanswered) != unanswered {
			t.Errorf("%s: %v", base, err)
		}
	}
	_, _, err := askGitLab(t, func(w http.ResponseWriter, _ *http.Request) {
		conn, _, _ := http.NewResponseController(w).Hijack()
		_ = conn.Close()
	}, time.Time{})
	if !errors.Is(err, ErrUnanswered) {
		t.Errorf("cut off: %v", err)
	}
}
