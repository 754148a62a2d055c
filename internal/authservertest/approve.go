package authservertest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
)

// Approve is a browser of a few lines: it opens an authorization URL of this
// server, says yes, and follows the redirect to the client's loopback listener.
// It returns the status and the text of the last page.
func Approve(ctx context.Context, authorizationURL string, hc *http.Client) (int, string, error) {
	back, err := Redirect(ctx, authorizationURL, hc)
	if err != nil {
		return 0, "", err
	}
	return get(ctx, hc, back)
}

// Redirect is Approve up to the redirect, which it returns and does not follow.
func Redirect(ctx context.Context, authorizationURL string, hc *http.Client) (string, error) {
	status, text, err := get(ctx, hc, authorizationURL)
	if err != nil {
		return "", err
	}
	if status != http.StatusOK {
		return "", fmt.Errorf("the server says %d: %s", status, strings.TrimSpace(text))
	}
	u, err := url.Parse(authorizationURL)
	if err != nil {
		return "", err
	}
	form := u.Query()
	form.Set("answer", "yes")
	u.RawQuery = ""
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, u.String(), strings.NewReader(form.Encode()))
	if err != nil {
		return "", err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	staying := *hc
	staying.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	resp, err := staying.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	back, err := resp.Location()
	if err != nil {
		return "", errors.New("the server did not send the browser back")
	}
	return back.String(), nil
}

func get(ctx context.Context, hc *http.Client, target string) (int, string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, target, nil)
	if err != nil {
		return 0, "", err
	}
	resp, err := hc.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(text), err
}
