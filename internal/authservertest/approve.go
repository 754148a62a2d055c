package authservertest

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
)

// Approve is a browser of a few lines, with cookies: it opens an authorization URL of
// this server, or a client's page on loopback that redirects there, says yes, and follows
// the redirect to the client's loopback listener, and no other. It returns the status and the text of the last page. At a device's
// verification_uri_complete, and where one signs out, the answer is the last page.
func Approve(ctx context.Context, target string, hc *http.Client) (int, string, error) {
	withCookies := *hc
	hc = &withCookies
	var err error
	if hc.Jar, err = cookiejar.New(nil); err != nil {
		return 0, "", err
	}
	if target, err = leaveStartPage(ctx, target, hc); err != nil {
		return 0, "", err
	}
	answer, err := answerConsent(ctx, target, hc)
	if err != nil {
		return 0, "", err
	}
	if answer.location != nil || answer.status != http.StatusOK {
		back, err := answer.redirect()
		if err != nil {
			return 0, "", err
		}
		answer, err = openPage(ctx, hc, http.MethodGet, back, "")
		return answer.status, answer.text, err
	}
	return answer.status, answer.text, nil
}

// leaveStartPage is where a client's own page sends its browser, else the target.
func leaveStartPage(ctx context.Context, target string, hc *http.Client) (string, error) {
	u, err := url.Parse(target)
	if err != nil || u.RawQuery != "" || !onLoopback(u) {
		return target, err
	}
	page, err := openPage(ctx, hc, http.MethodGet, target, "")
	switch {
	case err != nil:
		return "", err
	case page.location != nil && page.location.Query().Has("client_id"):
		return page.location.String(), nil
	case page.status == http.StatusOK:
		return target, nil
	}
	return "", fmt.Errorf("the start page says %d: %s", page.status, page.text)
}

// Redirect is Approve up to the redirect, which it returns and does not follow.
func Redirect(ctx context.Context, authorizationURL string, hc *http.Client) (string, error) {
	answer, err := answerConsent(ctx, authorizationURL, hc)
	if err != nil {
		return "", err
	}
	return answer.redirect()
}

// answerConsent opens a page with a question and answers it. A request that is refused
// without a question returns that page. A server may redirect the browser to another server.
func answerConsent(ctx context.Context, target string, hc *http.Client) (visitedPage, error) {
	u, err := url.Parse(target)
	if err != nil {
		return visitedPage{}, err
	}
	question, err := openPage(ctx, hc, http.MethodGet, u.String(), "")
	if err == nil && onLoopback(question.location) && strings.HasSuffix(question.location.Path, "/authorize") {
		u = question.location
		question, err = openPage(ctx, hc, http.MethodGet, u.String(), "")
	}
	if err != nil {
		return visitedPage{}, err
	}
	if client := u.Query().Get("redirect_uri"); client != "" && question.location != nil && strings.HasPrefix(question.location.String(), client+"?") {
		return question, nil
	}
	if question.status != http.StatusOK {
		return visitedPage{}, fmt.Errorf("the server says %d: %s", question.status, question.text)
	}
	form := u.Query()
	form.Set("answer", "yes")
	u.RawQuery = ""
	return openPage(ctx, hc, http.MethodPost, u.String(), form.Encode())
}

// redirect returns the client's loopback address that a page sends the browser to.
func (o visitedPage) redirect() (string, error) {
	if !onLoopback(o.location) {
		return "", fmt.Errorf("the server does not send the browser to a loopback address but says %d: %s", o.status, o.text)
	}
	return o.location.String(), nil
}

func onLoopback(u *url.URL) bool {
	return u != nil && u.Scheme == "http" && (u.Hostname() == "localhost" || net.ParseIP(u.Hostname()).IsLoopback())
}

type visitedPage struct {
	status   int
	text     string
	location *url.URL // where it leads; nil: nowhere
}

func openPage(ctx context.Context, hc *http.Client, method, target, form string) (visitedPage, error) {
	req, err := http.NewRequestWithContext(ctx, method, target, strings.NewReader(form))
	if err != nil {
		return visitedPage{}, err
	}
	if method == http.MethodPost {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	staying := *hc
	staying.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	resp, err := staying.Do(req)
	if err != nil {
		return visitedPage{}, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	location, _ := resp.Location()
	return visitedPage{resp.StatusCode, string(text), location}, err
}
