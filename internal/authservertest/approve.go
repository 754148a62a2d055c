package authservertest

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
)

// Approve is a browser of a few lines: it opens an authorization URL of this
// server, says yes, and follows the redirect to the client's loopback listener,
// and no other. It returns the status and the text of the last page.
func Approve(ctx context.Context, authorizationURL string, hc *http.Client) (int, string, error) {
	back, err := Redirect(ctx, authorizationURL, hc)
	if err != nil {
		return 0, "", err
	}
	last, err := visit(ctx, hc, http.MethodGet, back, "")
	return last.status, last.text, err
}

// Redirect is Approve up to the redirect, which it returns and does not follow.
func Redirect(ctx context.Context, authorizationURL string, hc *http.Client) (string, error) {
	u, err := url.Parse(authorizationURL)
	if err != nil {
		return "", err
	}
	question, err := visit(ctx, hc, http.MethodGet, u.String(), "")
	if err != nil {
		return "", err
	}
	if question.status != http.StatusOK {
		return "", fmt.Errorf("the server says %d: %s", question.status, question.text)
	}
	form := u.Query()
	form.Set("answer", "yes")
	u.RawQuery = ""
	answer, err := visit(ctx, hc, http.MethodPost, u.String(), form.Encode())
	if err != nil {
		return "", err
	}
	if !onLoopback(answer.location) {
		return "", fmt.Errorf("the server does not send the browser to a loopback address but says %d: %s", answer.status, answer.text)
	}
	return answer.location.String(), nil
}

func onLoopback(u *url.URL) bool {
	return u != nil && u.Scheme == "http" && (u.Hostname() == "localhost" || net.ParseIP(u.Hostname()).IsLoopback())
}

// opened is what the browser sees of an answer.
type opened struct {
	status   int
	text     string
	location *url.URL // where it leads; nil: nowhere
}

// visit opens one page, and stays there.
func visit(ctx context.Context, hc *http.Client, method, target, form string) (opened, error) {
	req, err := http.NewRequestWithContext(ctx, method, target, strings.NewReader(form))
	if err != nil {
		return opened{}, err
	}
	if method == http.MethodPost {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	staying := *hc
	staying.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	resp, err := staying.Do(req)
	if err != nil {
		return opened{}, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	location, _ := resp.Location()
	return opened{resp.StatusCode, string(text), location}, err
}
